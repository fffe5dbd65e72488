"""Slurm's Fair Tree on decayed GPU-seconds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.fairshare import DecayedUsage, Person, entitlements, explain, weighted_gpus
from aiplatform_hub.domain.policy import Policy

SLURM = Policy(level_ratio=1.0)
DAY = 86400.0


def people(**usage):
    """Return usage by person from ``project_user=gpu_seconds``."""
    return {Person(*name.split("_")): float(used) for name, used in usage.items()}


def order(usage, policy=SLURM):
    placed = entitlements(usage, policy)
    return [f"{p.project}_{p.user}" for p in sorted(usage, key=lambda p: (placed[p].rank, p))]


ORDERS = {
    "less use comes first": (people(a_x=10, a_y=5), {}, ["a_y", "a_x"]),
    "no use at all comes first": (people(a_x=1e-9, a_y=0), {}, ["a_y", "a_x"]),
    "projects before people": (people(a_idle=0, a_busy=100, b_some=10), {}, ["b_some", "a_idle", "a_busy"]),
    "depth first: all of the better project": (people(a_x=1, a_y=8, b_z=10), {}, ["a_x", "a_y", "b_z"]),
    "a larger share bears more use": (people(a_x=30, b_y=20), {"a": 2.0}, ["a_x", "b_y"]),
    "a share of nothing comes last": (people(a_x=0, b_y=99), {"a": 0.0}, ["b_y", "a_x"]),
}


@pytest.mark.parametrize(("usage", "shares", "expected"), ORDERS.values(), ids=ORDERS)
def test_fair_tree_orders_projects_then_their_people(usage, shares, expected):
    assert order(usage, Policy(level_ratio=1.0, project_shares=shares)) == expected


def test_projects_that_tie_merge_their_people():
    usage = people(a_low=1, a_high=9, b_low=2, b_high=8)
    assert order(usage) == ["a_low", "b_low", "b_high", "a_high"]


def test_people_with_equal_levels_tie():
    placed = entitlements(people(a_x=5, a_y=5, a_z=6), SLURM)
    assert placed[Person("a", "x")].rank == placed[Person("a", "y")].rank == 0
    assert placed[Person("a", "z")].rank == 1


def test_level_is_share_by_use():
    placed = entitlements(people(a_x=30, a_y=10, b_z=40), Policy(level_ratio=1.0, project_shares={"a": 3.0}))
    assert placed[Person("a", "x")].project_level == pytest.approx((3 / 4) / (40 / 80))
    assert placed[Person("a", "x")].user_level == pytest.approx((1 / 2) / (30 / 40))


def test_levels_closer_than_the_ratio_tie():
    usage = people(a_x=10, a_y=11, a_z=200)
    assert len({e.rank for e in entitlements(usage, Policy(level_ratio=3.0)).values()}) == 2
    assert len({e.rank for e in entitlements(usage, SLURM).values()}) == 3


EXPLANATIONS = {
    "their projects differ": (Person("a", "x"), Person("b", "z"), ("", "a", "b")),
    "within one project": (Person("a", "y"), Person("a", "x"), ("a", "x", "y")),
}


@pytest.mark.parametrize(("one", "other", "expected"), EXPLANATIONS.values(), ids=EXPLANATIONS)
def test_first_common_ancestor_explains_who_is_ahead(one, other, expected):
    placed = entitlements(people(a_x=1, a_y=4, b_z=10), SLURM)
    for pair in ((one, other), (other, one)):
        said = explain(*pair, placed, SLURM)
        assert (said.ancestor, said.ahead, said.behind) == expected
        assert said.ahead_level > said.behind_level


def test_explanation_of_a_tie_names_nobody_ahead():
    placed = entitlements(people(a_x=3, a_y=3), SLURM)
    assert explain(Person("a", "x"), Person("a", "y"), placed, SLURM).ahead == ""


def test_people_of_projects_that_tie_are_compared_themselves():
    placed = entitlements(people(a_x=1, a_y=9, b_z=5, b_w=5), SLURM)
    said = explain(Person("a", "y"), Person("b", "z"), placed, SLURM)
    assert (said.ancestor, said.ahead, said.behind) == ("", "z", "y")


def test_use_loses_half_its_weight_in_a_half_life():
    used = DecayedUsage(gpu_seconds=800.0, at_seconds=0.0)
    assert used.at(3 * DAY, 3 * DAY) == pytest.approx(400)
    assert used.at(6 * DAY, 3 * DAY) == pytest.approx(200)


def test_held_gpus_count_while_they_are_held():
    held = DecayedUsage().changed(0.0, 2, 3 * DAY)
    assert held.at(60.0, 3 * DAY) == pytest.approx(120, rel=1e-3)
    assert held.at(1000 * DAY, 3 * DAY) == pytest.approx(2 * 3 * DAY / math.log(2))


def test_use_decayed_to_almost_nothing_is_still_ordered():
    assert order(people(a_x=5e-324, a_y=3)) == ["a_x", "a_y"]


def test_gpu_types_count_by_their_weight():
    policy = Policy(gpu_type_weights={"l4": 0.25})
    assert [weighted_gpus(4, gpu_type, policy) for gpu_type in ("l4", "h100", None)] == [1, 4, 4]


def test_a_clock_that_jumps_back_takes_no_use_away():
    assert DecayedUsage(100.0, 50.0, 1.0).at(0.0, DAY) == 100.0


@given(cuts=st.lists(st.floats(0, 10 * DAY), max_size=6), gpus=st.integers(1, 8))
def test_counter_kept_up_in_steps_equals_one_step(cuts, gpus):
    stepwise = DecayedUsage().changed(0.0, gpus, DAY)
    for at in sorted(cuts):
        stepwise = stepwise.changed(at, 0, DAY)
    assert stepwise.at(10 * DAY, DAY) == pytest.approx(DecayedUsage(0, 0, gpus).at(10 * DAY, DAY))


@given(
    usage=st.dictionaries(st.builds(Person, st.sampled_from("abc"), st.sampled_from("uvwx")), st.floats(0, 1e9), min_size=2),
    ratio=st.sampled_from([1.0, 3.0]),
)
def test_more_use_never_improves_a_rank(usage, ratio):
    policy = Policy(level_ratio=ratio)
    person = min(usage)
    before = entitlements(usage, policy)
    after = entitlements({**usage, person: usage[person] * 2 + 1}, policy)
    overtaken_before = {p for p in usage if before[p].rank > before[person].rank}
    overtaken_after = {p for p in usage if after[p].rank > after[person].rank and p.project == person.project}
    assert overtaken_after <= overtaken_before
