"""The Launch form: forgiving in what it shows, exact in what it sends."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from aiplatform_hub.domain.catalog import NodePool
from aiplatform_hub.domain.quota import Decision, Outcome
from aiplatform_hub.errors import InvalidOptionError, QuotaInUseError, Reason
from aiplatform_hub.web.launch_form import Choices, choices_of, options_of_choices, options_of_fields
from aiplatform_hub.web.view_models.launch import LaunchForm, Offer, launch_form
from aiplatform_hub.web.view_models.launch_chips import Quote, chip_note
from aiplatform_hub.web.view_models.launch_terms import price_sentence
from aiplatform_hub.web.view_models.problem import problem_of
from tests.web.samples import CATALOG

PROJECTS = CATALOG.projects_of(frozenset({"vision"}), frozenset())
ADMIT = Decision(Outcome.ADMIT)


def choices(**fields: str) -> Choices:
    return choices_of(fields, catalog=CATALOG, gpu_types=("h100",), projects=PROJECTS, startable=["jupyterlab", "pytorch"])


def deny(code: str, **values: object) -> Decision:
    values.setdefault("message", "No.")
    return Decision(Outcome.DENY, code, (Reason(code, **values),))  # type: ignore[arg-type]


def form(one: Choices, decisions: dict[int, Decision] | None = None, **values: object) -> LaunchForm:
    offer = Offer(CATALOG, PROJECTS, ("h100",), {"pytorch": "PyTorch is not built."} if values.pop("is_unbuilt", False) else {})
    return launch_form(one, offer, Quote(decisions or {}, Decimal("1.5"), "EUR"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("jupyterlab", 0, 4)),
        ({"environment_template": "pytorch"}, ("pytorch", 1, 16)),
        ({"environment_template": "nonsense", "gpus": "2"}, ("jupyterlab", 2, 4)),
        ({"environment_template": "multi-gpu", "gpus": "1"}, ("multi-gpu", 4, 16)),
        ({"gpus": "99", "memory_gib": "-1"}, ("jupyterlab", 0, 4)),
        ({"gpus": "two", "memory_gib": "٣"}, ("jupyterlab", 0, 4)),
    ],
)
def test_a_link_always_shows_a_usable_form(fields: dict[str, str], expected: tuple[str, int, int]) -> None:
    one = choices(**fields)
    assert (one.environment_template, one.gpus, one.memory_gib) == expected


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"environment_template": "pytorch", "gpus": "2"}, {"environment_template": "pytorch", "gpus": 2}),
        ({"gpus": "0", "gpu_type": "h100"}, {"gpus": 0}),
        ({"gpus": "2.0"}, {"gpus": "2.0"}),
        ({"gpus": " 2"}, {"gpus": " 2"}),
        ({"max_hours": "", "project": ""}, {}),
        ({"unknown": "x"}, {}),
    ],
)
def test_sent_options_keep_what_is_wrong_so_that_it_is_refused(fields: dict[str, str], options: dict[str, object]) -> None:
    assert options_of_fields(fields) == options


def test_choices_become_options_without_a_type_for_zero_gpus() -> None:
    assert "gpu_type" not in options_of_choices(choices(gpus="0"))
    assert options_of_choices(choices(gpus="2"))["gpu_type"] == "h100"


@pytest.mark.parametrize(
    ("count", "decision", "note"),
    [
        (0, ADMIT, ("starts now", "good")),
        (2, ADMIT, ("free now", "good")),
        (3, deny("quota_exceeded", dimension="gpus", limit="2"), ("over your limit: 2", "warn")),
        (2, deny("quota_in_use", dimension="gpus", limit="2", used="1", held_by=("train-1",)), ("1 of 2 in use: train-1", "warn")),
        (2, deny("capacity", dimension="gpus", limit="4", used="3"), ("not free now: 3 of 4 in use", "warn")),
        (0, deny("quota_exceeded", dimension="memory_bytes", limit=str(8 * 1024**3)), ("over your limit: 8 GiB memory", "warn")),
        (0, deny("quota_exceeded", dimension="memory_bytes", limit="1", scope="machine", message="No node has it."), ("No node has it.", "warn")),
        (1, deny("invalid_option", message="Not here."), ("Not here.", "warn")),
        (1, None, ("", "")),
    ],
)
def test_each_chip_says_what_would_happen(count: int, decision: Decision | None, note: tuple[str, str]) -> None:
    assert chip_note(count, decision) == note


def test_counts_outside_the_template_are_off_and_say_why() -> None:
    chips = {chip.value: chip for chip in form(choices(environment_template="multi-gpu")).chips}
    assert [chip.is_enabled for chip in chips.values()] == [False, False, True, True, True]
    assert chips[1].note == "Multi-GPU training takes 2 to 4 GPUs"
    assert chips[4].is_chosen


def test_count_that_no_node_can_give_is_greyed_with_the_sentence() -> None:
    never = replace(deny("quota_exceeded", dimension="gpus", limit="4", scope="machine"), impossible_because="No node has 3 × NVIDIA H100; the largest has 2.")
    chips = {chip.value: chip for chip in form(choices(environment_template="pytorch", gpus="3"), {2: ADMIT, 3: never}).chips}
    assert (chips[3].is_enabled, chips[3].is_chosen, chips[3].note) == (False, False, "No node has 3 × NVIDIA H100; the largest has 2.")
    assert (chips[2].is_enabled, chips[2].note) == (True, "free now")


def test_start_that_waits_for_a_new_node_says_how_long() -> None:
    waits = Decision(Outcome.ADMIT, devices=("spot+0/nvidia.com/gpu/0",), node_pool="spot")
    pools = {"spot": NodePool("spot", "Spot", "h100", 4, 2, 6, {"pool": "spot"})}
    assert chip_note(1, waits, pools) == ("on a new node, in about 6 min", "good")
    assert chip_note(1, waits) == ("on a new node", "good")
    offer = Offer(replace(CATALOG, node_pools=pools), PROJECTS, ("h100",), {})
    assert launch_form(choices(gpus="1"), offer, Quote({1: waits})).verdict == "It starts on a new node, in about 6 min."


def test_templates_that_cannot_start_come_last_with_the_reason() -> None:
    cards = form(choices(), is_unbuilt=True).templates
    assert [card.name for card in cards] == ["jupyterlab", "multi-gpu", "hostile", "pytorch"]
    assert cards[-1].unavailable_reason == "PyTorch is not built."


def test_choice_that_would_be_refused_is_explained_before_it_is_sent() -> None:
    refused = form(choices(gpus="2"), {2: deny("quota_in_use", message="train-1 holds 1.", remedies=("Stop train-1.",))})
    assert refused.warning
    assert (refused.warning.detail, refused.warning.remedies, refused.tone) == ("train-1 holds 1.", ("Stop train-1.",), "warn")
    assert form(choices(gpus="2"), {2: ADMIT}).warning is None


@pytest.mark.parametrize(
    ("per_hour", "planned", "sentence"),
    [
        ("3", None, "3.00 EUR per hour."),
        ("3", 8, "3.00 EUR per hour, 24.00 EUR for 8 hours."),
        ("0", 8, "Free of charge."),
        ("1.5", 1, "1.50 EUR per hour, 1.50 EUR for 1 hour."),
    ],
)
def test_price_sentence(per_hour: str, planned: int | None, sentence: str) -> None:
    assert price_sentence(Decimal(per_hour), "EUR", planned) == sentence


def test_problem_repeats_nothing_and_knows_its_field() -> None:
    error = InvalidOptionError("gpus is out of range.", (Reason("invalid_option", "gpus is out of range.", field="gpus", remedies=("Choose 0 to 4.",)),))
    problem = problem_of(error)
    assert (problem.lines, problem.remedies, problem.fields) == ((), ("Choose 0 to 4.",), {"gpus": "gpus is out of range."})
    two = Reason("quota_in_use", "A.", remedies=("Stop x.",)), Reason("quota_in_use", "B.", remedies=("Stop x.",))
    assert problem_of(QuotaInUseError("A. B.", two)).remedies == ("Stop x.",)


def test_folded_part_opens_for_a_fault_in_it() -> None:
    assert not form(choices()).is_advanced_open
    assert form(choices(server_name="train-1")).is_advanced_open
