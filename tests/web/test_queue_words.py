"""Queued requests in words, for their owners, the others, and the Launch form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from aiplatform_hub.domain.allocations import Allocation, AllocationEvent, AllocationState, EndCause
from aiplatform_hub.domain.catalog import Catalog, NodePool
from aiplatform_hub.domain.queue_reasons import QUEUE_IT
from aiplatform_hub.domain.queue_sentences import Reader
from aiplatform_hub.domain.queueing import QueueEntry, WaitCode, WaitReason
from aiplatform_hub.domain.quota import Decision, Outcome
from aiplatform_hub.domain.wait_estimates import WaitEstimate
from aiplatform_hub.errors import QUEUE, TRY_LATER, Reason
from aiplatform_hub.operations.prospects import Prospect
from aiplatform_hub.web.launch_form import choices_of
from aiplatform_hub.web.view_models.environments import EnvironmentCard, environment_card
from aiplatform_hub.web.view_models.launch import BY_ITSELF, LaunchForm, Offer, launch_form
from aiplatform_hub.web.view_models.launch_chips import Quote, chip_note
from aiplatform_hub.web.view_models.queue import Line, Wait, position, wait, why
from aiplatform_hub.web.view_models.session import steps
from aiplatform_hub.web.view_models.session import why as verdict_of
from tests.web.samples import CATALOG, ENDED, INTEREST, NOW, PATHS, QUEUED, STARTING

ADMIT, LATER = Decision(Outcome.ADMIT), Decision(Outcome.QUEUE, None, (Reason("capacity", "All are in use.", "gpus", "machine", "4", "4", "2"),))
CAPACITY = WaitReason(WaitCode.CAPACITY, requested="2", free="1")


def entry(reason: WaitReason = CAPACITY, place: int = 2) -> QueueEntry:
    return QueueEntry(QUEUED.id, place, reason)


def card(allocation: Allocation = QUEUED, line: Line | None = None, *, catalog: Catalog = CATALOG) -> EnvironmentCard:
    return environment_card(allocation, cost=None, catalog=catalog, now=NOW, paths=PATHS, line=line or Line(entry(), INTEREST))


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (entry(place=1), "Next in line"),
        (entry(place=2), "2nd in line"),
        (entry(WaitReason(WaitCode.BEHIND), place=13), "13th in line"),
        (entry(WaitReason(WaitCode.QUOTA_IN_USE), place=3), "Waiting"),
        (entry(WaitReason(WaitCode.NEW), place=3), "Waiting"),
        (None, "Waiting"),
    ],
)
def test_place_is_named_only_where_one_counts(one: QueueEntry | None, words: str) -> None:
    assert position(one) == words


@pytest.mark.parametrize("code", WaitCode)
def test_reason_stands_alone_because_the_place_is_said_beside_it(code: WaitCode) -> None:
    scope = "user:ada" if code in {WaitCode.QUOTA_IN_USE, WaitCode.UNKNOWN_OWNER} else "machine"
    sentence = why(entry(WaitReason(code, scope=scope, requested="2", limit="2", used="1")), QUEUED, Reader(NOW, "ada"))
    assert "in line" not in sentence
    assert sentence[0].isupper() or sentence[0].isdigit()
    assert sentence.endswith(".")


def test_request_that_nobody_looked_at_yet_says_so() -> None:
    assert why(None, QUEUED, Reader(NOW, "ada")) == "It has just joined the queue; in a moment it has its place."


def test_owner_is_called_you_and_others_by_their_name() -> None:
    reason = WaitReason(WaitCode.QUOTA_IN_USE, "gpus", "user:ada", "2", "1", "2", "1")
    assert why(entry(reason), QUEUED, Reader(NOW, "ada")).startswith("You hold 1 of 2 GPUs")
    assert why(entry(reason), QUEUED, Reader(NOW, "root")).startswith("ada holds 1 of 2 GPUs")


def waits(fewer: Mapping[int, Decision], said: timedelta = timedelta(), interest: timedelta = INTEREST, *, reader: str = "ada") -> Wait:
    prospects = {gpus: Prospect(decision) for gpus, decision in fewer.items()}
    return wait(replace(QUEUED, confirmed_at=NOW - said), Line(entry(), interest, prospects, reader), NOW)


@pytest.mark.parametrize(
    ("fewer", "labels", "start_now"),
    [
        ({0: ADMIT, 1: ADMIT}, ["1 GPU, starts now", "No GPU, starts now"], (1, "Start with 1 GPU now")),
        ({0: ADMIT, 1: LATER}, ["1 GPU", "No GPU, starts now"], (0, "Start without GPUs now")),
        ({1: LATER, 2: ADMIT, 3: LATER}, ["3 GPUs", "2 GPUs, starts now", "1 GPU"], (2, "Start with 2 GPUs now")),
        ({1: LATER}, ["1 GPU"], None),
        ({}, [], None),
    ],
)
def test_fewer_gpus_are_offered_and_what_would_start_at_once(fewer: Mapping[int, Decision], labels: list[str], start_now: tuple[int, str] | None) -> None:
    one = waits(fewer)
    assert [choice.label for choice in one.fewer] == labels
    assert (one.start_now and (one.start_now.value, one.start_now.label)) == start_now


@pytest.mark.parametrize(
    ("said_hours", "interest_hours", "is_soon_over"),
    [(0, 24, False), (17.9, 24, False), (18, 24, True), (23, 24, True), (0, 2, False), (1.4, 2, False), (1.5, 2, True), (30, 48, False), (42, 48, True)],
)
def test_owner_is_asked_in_the_last_quarter_and_at_most_six_hours_before(said_hours: float, interest_hours: float, is_soon_over: bool) -> None:
    assert waits({}, timedelta(hours=said_hours), timedelta(hours=interest_hours)).is_soon_over is is_soon_over


def test_only_the_owner_is_offered_a_change() -> None:
    assert waits({}).can_change
    assert not waits({}, reader="root").can_change


def test_card_says_place_reason_since_when_and_until_when() -> None:
    one = card()
    facts = {fact.label: (fact.text, fact.at.iso if fact.at else "") for fact in one.facts}
    assert (one.state, one.badge, one.tone, one.why) == ("queued", "2nd in line", "queue", "Waiting for 2 h100 GPUs: 1 is free.")
    assert facts["Asks for"] == ("2 × NVIDIA H100, 16 GiB, 4 cores", "")
    assert facts["In line since"] == ("(25 min)", "2026-11-12T13:35:00.000000Z")
    assert facts["Kept until"] == ("", "2026-11-13T13:35:00.000000Z")
    assert one.ending.verb == "Withdraw"
    assert not (one.open_url or one.pending_url or one.again)


@pytest.mark.parametrize(("wait", "says"), [(None, False), (WaitEstimate(600, 2100, 7200), True)])
def test_nothing_is_expected_beside_a_wait_that_nobody_knows(wait: WaitEstimate | None, says: bool) -> None:
    behind = WaitReason(WaitCode.BEHIND, requested="2", free="2", until_seconds=NOW.timestamp() + 8400)
    one = card(line=Line(entry(behind), INTEREST, wait=wait))
    assert ("in about 2 h 20 min" in one.why) is says
    assert ("Nobody knows yet" in [fact.text for fact in one.facts]) is not says


def test_the_end_of_a_class_is_known_without_estimates() -> None:
    known = entry(WaitReason(WaitCode.CLASS, until_seconds=5.0))
    assert known.as_known(has_estimate=False) == known


@pytest.mark.parametrize("code", [WaitCode.CAPACITY, WaitCode.RESERVED, WaitCode.RELEASE])
def test_how_long_it_waits_itself_is_told_once(code: WaitCode) -> None:
    reason = WaitReason(code, requested="2", free="1", until_seconds=NOW.timestamp() + 8400)
    one = card(line=Line(entry(reason), INTEREST, wait=WaitEstimate(600, 2100, 7200)))
    assert "xpected" not in one.why
    assert "About 35 min; 80 % between 10 min and 2 h" in [fact.text for fact in one.facts]


def test_hold_that_was_waited_for_says_that_its_turn_has_come() -> None:
    held = replace(QUEUED, state=AllocationState.HELD, held_at=NOW)
    assert card(held).why == "Its turn has come. GPUs and memory are held; the start begins (0 s)."
    assert "turn" not in card(replace(STARTING, starting_at=None)).why


def test_card_of_a_start_that_needs_a_node_says_so_and_how_long_that_takes() -> None:
    catalog = replace(CATALOG, node_pools={"spot": NodePool("spot", "Spot", "h100", 4, 2, 6, {})})
    on_a_new_node = replace(STARTING, devices=("spot+0/nvidia.com/gpu/0",))
    assert card(on_a_new_node, catalog=catalog).why.startswith("It starts a node, about 6 min (")
    assert "node" not in card(replace(STARTING, devices=("a/nvidia.com/gpu/0",)), catalog=catalog).why


@pytest.mark.parametrize(
    ("state", "cause", "badge", "sentence"),
    [
        (AllocationState.WITHDRAWN, EndCause.STOPPED_BY_USER, "Withdrawn", "You withdrew it from the queue."),
        (AllocationState.WITHDRAWN, EndCause.STOPPED_BY_ADMIN, "Withdrawn", "An admin withdrew it from the queue."),
        (AllocationState.EXPIRED, EndCause.INTEREST_EXPIRED, "Left the queue", "It left the queue, because nobody confirmed that it was still wanted."),
        (AllocationState.EXPIRED, EndCause.PROJECT_CLOSED, "Left the queue", "It left the queue, because its project is closed."),
    ],
)
def test_request_that_left_the_queue_says_why_and_can_be_asked_for_again(state: AllocationState, cause: EndCause, badge: str, sentence: str) -> None:
    one = card(replace(QUEUED, state=state, end_cause=cause, ended_at=NOW))
    assert (one.state, one.badge, one.why) == ("ended", badge, sentence)
    assert one.facts[0].label == "Asked for"
    assert one.again


def test_session_that_ran_keeps_its_own_words() -> None:
    assert card(replace(ENDED, end_cause=EndCause.STOPPED_BY_USER)).why == "You stopped it."


def timeline(*changes: tuple[AllocationState | None, AllocationState, str]) -> list[str]:
    events = [AllocationEvent(number, QUEUED.id, NOW, was, now, cause, "ada") for number, (was, now, cause) in enumerate(changes)]
    return [step.text for step in steps(QUEUED, events)]


def test_history_tells_the_wait_in_words() -> None:
    queued, held = AllocationState.QUEUED, AllocationState.HELD
    told = timeline(
        (None, queued, "queued"), (queued, queued, "changed"), (queued, queued, "confirmed"), (queued, held, "dispatched"), (held, queued, "requeued")
    )
    assert told == [
        "Asked for; it did not fit then, so it joined the queue",
        "Asked for another number of GPUs",
        "Its owner still wants it",
        "Its turn came: GPUs and memory held",
        "The start failed: back to the front of the queue",
    ]


def test_history_of_a_withdrawn_request_says_withdrawn() -> None:
    told = timeline((None, AllocationState.QUEUED, "queued"), (AllocationState.QUEUED, AllocationState.WITHDRAWN, "stopped_by_admin"))
    assert told[-1] == "An admin withdrew it from the queue"


def test_repetition_of_a_failed_start_begins_in_the_queue() -> None:
    assert timeline((None, AllocationState.QUEUED, "requeued")) == ["The start failed: back to the front of the queue"]


def test_decision_to_queue_is_no_refusal() -> None:
    reason = Reason("capacity", "All are in use.", remedies=("Choose 1 GPU.", "Try again later."), remedy_codes=("", TRY_LATER))
    assert verdict_of("queue", (reason,)) == ("It joined the queue:", ("All are in use.", "Choose 1 GPU."))
    assert verdict_of("deny", (reason,))[1][-1] == "Try again later."


OWN_LIMIT = Decision(
    Outcome.QUEUE,
    None,
    (Reason("capacity", "Full.", "gpus", "machine", "4", "4"), Reason("quota_in_use", "Yours.", "gpus", "user:ada", "2", "1", held_by=("a",))),
)


def test_chip_says_about_how_long_where_it_is_known() -> None:
    assert chip_note(2, LATER, before=3, wait=WaitEstimate(600, 2100, 7200)) == ("about 35 min (10 min – 2 h)", "queue")


def test_verdict_says_how_long_and_what_would_be_quicker() -> None:
    choices = choices_of({"environment_template": "pytorch", "gpus": "2"}, catalog=CATALOG, gpu_types=("h100",), projects=(), startable=["pytorch"])
    quote = Quote({1: LATER, 2: LATER}, before={1: 2, 2: 2}, waits={1: WaitEstimate(0, 300, 900), 2: WaitEstimate(600, 2100, 7200)})
    form = launch_form(choices, Offer(CATALOG, (), ("h100",), {}), quote)
    assert form.verdict == "2 wait before you. About 35 min; 80 % between 10 min and 2 h. With 1 GPU about 5 min."
    free = replace(quote, decisions={1: ADMIT, 2: LATER})
    assert launch_form(choices, Offer(CATALOG, (), ("h100",), {}), free).verdict.endswith("With 1 GPU you could start now.")


def test_card_says_how_long_or_that_nobody_knows() -> None:
    known = Line(entry(), INTEREST, {1: Prospect(LATER, wait=WaitEstimate(0, 300, 900))}, "ada", wait=WaitEstimate(600, 2100, 7200))
    assert wait(QUEUED, known, NOW).how_long == "About 35 min; 80 % between 10 min and 2 h."
    assert wait(QUEUED, known, NOW).advice == "With 1 GPU about 5 min."
    assert wait(QUEUED, Line(entry(), INTEREST, reader="ada"), NOW).how_long == "How long, nobody knows yet."


def test_fact_of_a_wait_that_nobody_knows_does_not_ask_how_long_again() -> None:
    assert [fact.text for fact in card().facts if fact.label == "Wait"] == ["Nobody knows yet"]


def test_card_says_nothing_of_how_long_where_that_depends_on_its_owner() -> None:
    own = WaitReason(WaitCode.QUOTA_IN_USE, "gpus", "user:ada", "2", "1", "2", "1")
    assert not wait(QUEUED, Line(entry(own), INTEREST, reader="ada"), NOW).how_long


@pytest.mark.parametrize(
    ("decision", "before", "note"),
    [
        (LATER, 0, "queue, next in line"),
        (LATER, 1, "queue, 1 waits before you"),
        (LATER, 3, "queue, 3 wait before you"),
        (LATER, None, "queue, not free now: 4 of 4 in use"),
        (OWN_LIMIT, None, "over your limit: stop a"),
    ],
)
def test_chip_of_what_can_wait_says_queue(decision: Decision, before: int | None, note: str) -> None:
    assert chip_note(2, decision, before=before) == (note, "queue")


def launch(decision: Decision, before: Mapping[int, int], unavailable: Mapping[str, str] | None = None) -> LaunchForm:
    choices = choices_of({"environment_template": "pytorch", "gpus": "2"}, catalog=CATALOG, gpu_types=("h100",), projects=(), startable=["pytorch"])
    return launch_form(choices, Offer(CATALOG, (), ("h100",), unavailable or {}), Quote({2: decision}, before=before))


@pytest.mark.parametrize(
    ("before", "verdict"),
    [
        ({2: 0}, "You would be next in line. How long, nobody knows yet."),
        ({2: 2}, "2 wait before you. How long, nobody knows yet."),
        ({}, "It waits until your limit has room."),
    ],
)
def test_button_joins_the_queue_and_says_what_will_happen(before: Mapping[int, int], verdict: str) -> None:
    form = launch(LATER, before)
    assert (form.button, form.verdict, form.promise, form.tone) == ("Join the queue", verdict, BY_ITSELF, "queue")
    assert form.chips[2].is_enabled
    assert form.chips[2].is_chosen


def test_button_starts_what_is_free() -> None:
    form = launch(ADMIT, {})
    assert (form.button, form.promise) == ("Start", "")


def test_environment_that_cannot_be_started_cannot_be_queued() -> None:
    assert launch(LATER, {2: 0}, {"pytorch": "PyTorch is not built."}).button == "Start"


def test_reasons_to_wait_are_told_without_the_advice_to_queue() -> None:
    remedies = ("Choose 1 GPU.", "Try again later.", QUEUE_IT)
    reason = Reason("capacity", "All are in use.", "gpus", "machine", "4", "4", "2", (), remedies, remedy_codes=("", TRY_LATER, QUEUE))
    warning = launch(Decision(Outcome.QUEUE, None, (reason,)), {2: 0}).warning
    assert warning
    assert (warning.detail, warning.remedies) == ("All are in use.", ("Choose 1 GPU.",))
