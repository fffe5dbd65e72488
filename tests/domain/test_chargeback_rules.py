"""Chargeback: total = used + idle + unallocated, every cent has one payer, and used and idle time apart cost the same as together."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from domain_values import card, interval
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.budgets import Scope
from aiplatform_hub.domain.catalog import Share, Unallocated
from aiplatform_hub.domain.chargeback import HOURS, NUMBERS, Spare, chargeback, with_idle_prices
from aiplatform_hub.domain.charges import charges, total
from aiplatform_hub.domain.credits import Credit, burn
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.domain.unallocated import CapacityChange, GpuTime, HeldChange, gpu_times, parts, price_of

START = datetime(2026, 2, 1, tzinfo=UTC)
HOUR = 3_600_000_000


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def report(found, spare=(), cards=(), payments=()):
    return chargeback(found, spare, cards, payments, start=START, end=at(24), complete_until=at(24), capacity_known_from=START)


def test_each_hour_of_each_gpu_is_held_or_unallocated():
    capacity = [CapacityChange(at(1), "h100", 4), CapacityChange(at(5), "h100", 1)]
    held = [HeldChange(at(0), 1), HeldChange(at(2), 2), HeldChange(at(6), -3)]
    first, second = gpu_times(capacity, held, [(at(0), at(3)), (at(3), at(8))])
    assert first == GpuTime(held=5 * HOUR, unallocated=(0 + 3 + 1) * HOUR), "in the first hour nobody knew what there was"
    assert second == GpuTime(held=9 * HOUR, unallocated=(2 * 1 + 0 + 2 * 1) * HOUR), "3 run on where 1 counts any more: none of them is spare"
    assert second.total == (2 * 4 + 1 * 3 + 2 * 1) * HOUR


def test_what_was_noted_before_the_span_counts_in_it():
    assert gpu_times([CapacityChange(at(-700), "h100", 2)], [], [(at(0), at(1))]) == (GpuTime(0, 2 * HOUR),)
    assert gpu_times([], [], [(at(0), at(1))]) == (GpuTime(0, 0),)


STEPS = st.lists(st.tuples(st.integers(-100, 2000), st.integers(0, 9)), max_size=8).map(lambda found: sorted(found, key=lambda step: step[0]))


@settings(max_examples=60, deadline=None)
@given(
    capacity=STEPS, sessions=st.lists(st.tuples(st.integers(0, 1400), st.integers(1, 300), st.integers(1, 4)), max_size=8), cuts=st.sets(st.integers(1, 1439))
)
def test_pieces_add_up_and_agree_with_looking_each_minute(capacity, sessions, cuts):
    changes = [CapacityChange(START + timedelta(minutes=minute), "h100", gpus) for minute, gpus in capacity]
    ends = [(low, high, gpus) for low, length, gpus in sessions if (high := min(1440, low + length)) > low]
    held = sorted(
        [HeldChange(START + timedelta(minutes=minute), gpus) for low, high, amount in ends for minute, gpus in ((low, amount), (high, -amount))],
        key=lambda change: change.at,
    )
    edges = [at(0), *(START + timedelta(minutes=cut) for cut in sorted(cuts)), at(24)]
    found = gpu_times(changes, held, list(itertools.pairwise(edges)))
    wanted_held = wanted_spare = 0
    for minute in range(1440):
        usable = next((gpus for from_, gpus in reversed(capacity) if from_ <= minute), 0)
        in_use = sum(gpus for low, high, gpus in ends if low <= minute < high)
        wanted_held += in_use
        wanted_spare += max(0, usable - in_use)
    assert (sum(each.held for each in found), sum(each.unallocated for each in found)) == (wanted_held * 60_000_000, wanted_spare * 60_000_000)


def test_three_ways_to_share():
    held = {"lab": Fraction(30), "library": Fraction(10), "guests": Fraction(0)}
    assert parts(Unallocated(), held) == {None: 1}
    assert parts(Unallocated(Share.EVENLY), held) == dict.fromkeys(held, Fraction(1, 3))
    assert parts(Unallocated(Share.EVENLY, cost_centres=("lab", "owners")), held) == {"lab": Fraction(1, 2), "owners": Fraction(1, 2)}
    assert parts(Unallocated(Share.PROPORTIONALLY), held) == {"lab": Fraction(3, 4), "library": Fraction(1, 4)}


@pytest.mark.parametrize("share", Share)
def test_where_nobody_was_charged_nobody_pays(share):
    assert parts(Unallocated(share), {}) == {None: 1}


def test_a_card_may_price_it_apart():
    plain = card("1", START)
    assert price_of(plain, "h100") == plain.gpu_hour["h100"]
    cheap = replace(plain, unallocated=Unallocated(Share.EVENLY, {"*": Decimal("0.5"), "h100": Decimal("0.7")}))
    assert (price_of(cheap, "h100"), price_of(cheap, "a100")) == (Decimal("0.7"), Decimal("0.5"))


@pytest.mark.parametrize(
    "own", [{}, {"h100": Decimal("0.25")}, {"*": Decimal("0.25")}, {"h100": Decimal(0)}, {"a100": Decimal(9)}], ids=["none", "own", "any", "free", "other"]
)
def test_used_and_idle_time_apart_cost_the_same(own):
    priced = (
        replace(card("1", at(-100)), idle_gpu_hour=own),
        replace(card("2", at(9)), cpu_core_hour=Decimal("0.01"), project_discount_percent={"p": Decimal(7)}),
    )
    idle = ((at(2), at(5)), (at(8), at(11)))
    one = interval(at(1), at(13), gpus=3, gpu_type="h100", project="p")
    together, apart = charges(one, priced, at(24), idle=idle), charges(one, with_idle_prices(priced), at(24), idle=idle)
    assert total(together) == total(apart)
    (row,) = report(apart).rows
    assert (row.numbers["used_gpu_hours"], row.numbers["idle_gpu_hours"]) == (18, 18)


@settings(max_examples=60, deadline=None)
@given(
    share=st.sampled_from(Share),
    sessions=st.lists(st.tuples(st.integers(0, 80_000), st.integers(1, 6_000), st.integers(0, 3), st.sampled_from("abc"), st.booleans()), max_size=6),
    spare=st.lists(st.tuples(st.sampled_from(["h100", "a100"]), st.integers(0, 10**13), st.booleans()), max_size=4),
)
def test_every_digit_has_one_payer(share, sessions, spare):
    rule = Unallocated(share, {"a100": Decimal("0.333333")})
    cards = with_idle_prices((replace(card("1", at(-9)), unallocated=rule), replace(card("2", at(11)), unallocated=rule)))
    found = []
    for low, length, gpus, centre, is_idle in sessions:
        start, end = START + timedelta(seconds=low), START + timedelta(seconds=low + length)
        one = replace(interval(start, end, gpus=gpus, gpu_type="h100" if gpus else None), cost_centre=centre)
        found.extend(charges(one, cards, at(24), idle=((start, end),) if is_idle else ()))
    free = [Spare(gpu_type, cards[is_late], time) for gpu_type, time, is_late in spare]
    got = report(found, free, cards)
    exact = total(found).get("EUR", Fraction(0)) + sum(Fraction(each.gpu_microseconds, HOUR) * Fraction(price_of(each.card, each.gpu_type)) for each in free)
    for whole in got.totals:
        numbers = whole.numbers
        assert abs(numbers["total"] - rounded(exact, 6)) <= Decimal("0.000003"), "four rounded sums"
        assert numbers["total"] == sum(numbers[name] for name in ("used_cost", "idle_cost", "other_cost", "unallocated_cost")) - numbers["discount"]
        for name in NUMBERS:
            assert sum(row.numbers[name] for row in got.rows) == numbers[name]
        for name in HOURS:
            assert abs(numbers[name] - sum(each.hours[name] for each in got.gpu_types)) <= Decimal("0.000001")
    for each in got.gpu_types:
        assert each.hours["total_gpu_hours"] == sum(each.hours[name] for name in HOURS)
    unpaid = [row for row in got.rows if row.cost_centre is None]
    assert not unpaid or share is Share.NONE or not any(charge.gpu_type for charge in found)


def test_three_who_share_one_hour_pay_it_whole():
    """Thirds have no last digit: one of the three pays a millionth more."""
    rule = Unallocated(Share.EVENLY, {"*": Decimal(1)}, ("a", "b", "c"))
    one = replace(card("1", at(-9)), unallocated=rule)
    got = report((), [Spare("h100", one, HOUR)], (one,))
    assert [row.numbers["total"] for row in got.rows] == [Decimal("0.333334"), Decimal("0.333333"), Decimal("0.333333")]
    assert got.totals[0].numbers["total"] == got.totals[0].numbers["unallocated_gpu_hours"] == 1


def test_discounts_and_shares_of_a_made_day():
    """Two cost centres: lab holds 2 GPUs for 6 h, 1 h idle; library 1 GPU for 4 h with 25 % off; 8 GPU-hours were nobody's."""
    rule = Unallocated(Share.PROPORTIONALLY, {"*": Decimal("1.50")})
    one = replace(card("1", at(-9)), gpu_hour={"*": Decimal(4)}, project_discount_percent={"books": Decimal(25)}, unallocated=rule)
    cards = with_idle_prices((one,))
    lab = replace(interval(at(0), at(6), gpus=2, gpu_type="h100"), cost_centre="lab")
    library = replace(interval(at(1), at(5), gpus=1, gpu_type="h100", project="books"), cost_centre="library")
    found = [*charges(lab, cards, at(24), idle=((at(3), at(4)),)), *charges(library, cards, at(24))]
    got = report(found, [Spare("h100", cards[0], 8 * HOUR)], cards)
    by_name = {row.cost_centre: [row.numbers[name] for name in NUMBERS[:-2]] for row in got.rows}
    assert by_name == {"lab": [10, 2, 6, 40, 8, 0, 0, 9, 57], "library": [4, 0, 2, 16, 0, 0, 4, 3, 15]}
    assert got.totals[0].numbers["total"] == 72
    assert got.shares == (("1", Share.PROPORTIONALLY),)
    given = Credit(UUID(int=1), Scope.COST_CENTRE, "library", 5_000_000, "EUR", 0, START, None, "a course", "root", START)
    paid = report(found, [Spare("h100", cards[0], 8 * HOUR)], cards, burn([given], found, {}))
    numbers = {row.cost_centre: [row.numbers[name] for name in ("total", "credits", "net_total")] for row in (*paid.rows, *paid.totals)}
    assert numbers == {"lab": [57, 0, 57], "library": [15, 5, 10], None: [72, 5, 67]}
