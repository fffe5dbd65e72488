"""What the owner of a session is told, how far an extension reaches, and which sessions the planner may count on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.planner import plan
from aiplatform_hub.domain.policy import FAIR_SHARE_ONLY, SHIPPED, Policy
from aiplatform_hub.domain.queue_facts import HeldSession, running
from aiplatform_hub.domain.queue_values import Node, PlannerInput, ReasonCode, Running, Waiting
from aiplatform_hub.domain.queueing import Outlook, Takeable
from aiplatform_hub.domain.release import (
    Action,
    Cause,
    SessionFacts,
    Surroundings,
    Verdict,
    extension,
    facts_of,
    is_of_use,
    is_unused_for_sure,
    verdict,
    view_of,
)
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.session_lengths import SessionKind, SessionLengths
from aiplatform_hub.domain.taking import promised_now, takeable_of, with_takeable

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
REQUEST = LaunchRequest("jupyterlab", 2, "h100", 1, 1, "personal", "university")


def allocation(number: int = 1, state: AllocationState = AllocationState.ACTIVE, **values: object) -> Allocation:
    plain = Allocation(UUID(int=number), 1, "ada", "a", 1, REQUEST, state, ("GPU-0", "GPU-1"), "rest", "ada", NOON, NOON, NOON, NOON)
    return replace(plain, **values)


SESSION = allocation()


def around(after: timedelta, **values: object) -> Surroundings:
    return Surroundings(NOON + after, **values)


def test_view_tells_what_is_near_and_what_can_be_done() -> None:
    found = view_of(SESSION, around(HOUR, idle_since=NOON + 53 * MINUTE, warned_at=NOON + 58 * MINUTE, is_wanted=True), SHIPPED)
    assert found is not None
    assert (found.action, found.why, found.deadline) == (Action.WARN, Cause.IDLE, NOON + 63 * MINUTE)
    assert (found.is_if_somebody_waits, found.is_somebody_waiting) == (True, True)
    assert (found.can_extend_until, found.guaranteed_until) == (NOON + 3 * HOUR, NOON + 30 * MINUTE)
    claimed = view_of(SESSION, around(64 * MINUTE, idle_since=NOON + 53 * MINUTE, warned_at=NOON + 58 * MINUTE, is_claimed=True), SHIPPED)
    assert claimed is not None
    assert claimed.action is Action.RELEASE
    assert view_of(allocation(stop_cause=EndCause.IDLE), around(HOUR), SHIPPED).can_extend_until is None


@pytest.mark.parametrize("policy", [SHIPPED, FAIR_SHARE_ONLY])
def test_what_kueue_wants_back_goes_after_a_warning_of_its_own_and_not_to_the_line(policy: Policy) -> None:
    known = around(HOUR, reclaimed_at=NOON + HOUR, warned_at=NOON, is_wanted=True)
    found = view_of(allocation(extended_until=NOON + 9 * HOUR), known, policy)
    assert found is not None
    assert (found.action, found.why, found.deadline) == (Action.WARN, Cause.PREEMPTED, NOON + HOUR + timedelta(seconds=policy.idle_warning_seconds))
    assert (found.can_extend_until, found.is_if_somebody_waits) == (None, False)
    assert takeable_of(SESSION, known, policy) is None
    held = HeldSession("s", Person("p", "u"), SessionKind("u", 2), "n", facts_of(SESSION, known))
    assert running(held, SessionLengths(), policy).takeable_from_seconds is None


@pytest.mark.parametrize("state", [state for state in AllocationState if state is not AllocationState.ACTIVE])
def test_what_is_not_active_has_no_view(state: AllocationState) -> None:
    assert view_of(allocation(state=state), around(HOUR), SHIPPED) is None


@pytest.mark.parametrize(
    ("deadline_passed", "warned", "action"),
    [(30 * MINUTE, None, Action.WARN), (30 * MINUTE, 4 * MINUTE, Action.WARN), (30 * MINUTE, 5 * MINUTE, Action.RELEASE), (-MINUTE, 60 * MINUTE, Action.WARN)],
)
def test_nobody_is_released_sooner_than_a_whole_warning_after_it_began(deadline_passed: timedelta, warned: timedelta | None, action: Action) -> None:
    now = 6 * HOUR + deadline_passed
    facts = around(now, warned_at=None if warned is None else NOON + now - warned, is_claimed=True)
    assert view_of(SESSION, facts, SHIPPED).action is action


def test_warning_that_has_not_begun_moves_no_deadline_that_is_far() -> None:
    assert view_of(SESSION, around(HOUR), SHIPPED).deadline == NOON + 6 * HOUR


EXTENSIONS = {
    "from now on, not from the deadline": (SessionFacts(600, 0), 600 + 7200),
    "a second one renews the first": (SessionFacts(3600, 0, extended_until_seconds=7200), 3600 + 7200),
    "up to the ceiling": (SessionFacts(23 * 3600, 0), 24 * 3600),
    "nothing is left at the ceiling": (SessionFacts(24 * 3600, 0), None),
    "extended up to the ceiling already": (SessionFacts(23.5 * 3600, 0, extended_until_seconds=24 * 3600), None),
    "up to the class": (SessionFacts(3600, 0, must_end_seconds=5400), 5400),
    "not beyond the class": (SessionFacts(5400, 0, must_end_seconds=5400), None),
}


@pytest.mark.parametrize(("facts", "until"), EXTENSIONS.values(), ids=EXTENSIONS)
def test_how_far_an_extension_reaches(facts: SessionFacts, until: float | None) -> None:
    assert extension(facts, SHIPPED) == until


def test_nothing_is_extended_where_nothing_is_taken() -> None:
    assert extension(SessionFacts(600, 0), FAIR_SHARE_ONLY) is None


def test_inactive_server_ends_whether_somebody_waits_or_not() -> None:
    facts = SessionFacts(5 * 3600, 0, inactive_since_seconds=3600, inactive_after_seconds=4 * 3600)
    found = verdict(facts, Policy(session_cap_seconds=None), is_somebody_waiting=False)
    assert (found.action, found.why, found.is_if_somebody_waits) == (Action.RELEASE, Cause.INACTIVE, False)
    assert verdict(replace(facts, inactive_since_seconds=3601), Policy(session_cap_seconds=None), is_somebody_waiting=False).action is Action.WARN
    assert verdict(replace(facts, inactive_since_seconds=None), Policy(session_cap_seconds=None), is_somebody_waiting=True).action is Action.KEEP


def test_server_without_gpus_ends_for_nothing_else() -> None:
    facts = SessionFacts(30 * 3600, 0, inactive_since_seconds=29 * 3600, inactive_after_seconds=None)
    assert verdict(facts, Policy(acts_only_while_somebody_waits=False), is_somebody_waiting=True).action is Action.KEEP


def test_unused_server_is_stopped_only_when_the_hub_would_know_of_use_before_the_deadline() -> None:
    due = Verdict(Action.RELEASE, 1000, Cause.INACTIVE)
    assert [is_unused_for_sure(due, now) for now in (1000, 1299, 1300)] == [False, False, True]
    assert not is_unused_for_sure(Verdict(Action.RELEASE, 1000, Cause.CAP), 9999)
    assert not is_unused_for_sure(Verdict(Action.KEEP, None, None), 9999)


def test_owner_of_a_server_without_gpus_is_told_what_the_culler_recorded() -> None:
    bare = allocation(devices=(), request=replace(REQUEST, gpus=0, gpu_type=None))
    found = view_of(bare, around(5 * HOUR, unused_until=NOON + 5 * HOUR + 2 * MINUTE), SHIPPED)
    assert (found.action, found.why, found.deadline, found.can_extend_until) == (Action.WARN, Cause.INACTIVE, NOON + 5 * HOUR + 2 * MINUTE, None)
    assert view_of(bare, around(5 * HOUR), SHIPPED).action is Action.KEEP
    assert view_of(SESSION, around(5 * HOUR, unused_until=NOON + 5 * HOUR), SHIPPED).why is not Cause.INACTIVE


def test_who_could_use_the_gpus() -> None:
    queued = allocation(2, AllocationState.QUEUED, devices=())
    assert is_of_use(SESSION, queued, frozenset())
    assert not is_of_use(SESSION, queued, frozenset({queued.id}))
    assert not is_of_use(SESSION, replace(queued, request=replace(REQUEST, gpu_type="a100")), frozenset())
    assert not is_of_use(SESSION, replace(queued, request=replace(REQUEST, gpus=0, gpu_type=None)), frozenset())
    assert not is_of_use(SESSION, allocation(2), frozenset())


def test_planner_is_told_of_idle_capped_and_ending_sessions() -> None:
    idle, stopped, starting, bound = allocation(1), allocation(2, stop_cause=EndCause.STOPPED_BY_USER), allocation(3, AllocationState.HELD), allocation(4)
    bound = replace(bound, must_end_at=NOON + HOUR)
    now = around(HOUR)
    known = {a.id: now for a in (stopped, starting, bound)} | {idle.id: around(HOUR, idle_since=NOON + 40 * MINUTE, warned_at=NOON + 50 * MINUTE)}
    outlook = with_takeable(Outlook(ends={idle.id: 9e9, bound.id: 9e9}), (idle, stopped, starting, bound), known, SHIPPED)
    idle_from = (NOON + 55 * MINUTE).timestamp()
    assert outlook.takeable == {idle.id: Takeable(idle_from, is_idle=True), stopped.id: Takeable(now.now.timestamp(), is_ending=True)}
    assert outlook.ends == {idle.id: idle_from, stopped.id: now.now.timestamp(), bound.id: 9e9}


def test_promise_holds_until_its_request_starts_or_a_session_goes_on() -> None:
    request, ending, gone = allocation(1, AllocationState.QUEUED, devices=()), allocation(2, stop_cause=EndCause.IDLE), UUID(int=3)
    live = {request.id: request, ending.id: ending}
    known = {request.id: frozenset({ending.id, gone})}
    assert promised_now(known, live, frozenset()) == known
    assert promised_now(known, live, frozenset({request.id})) == {}
    assert promised_now(known, {**live, ending.id: allocation(2)}, frozenset()) == {}
    assert promised_now(known, {ending.id: ending}, frozenset()) == {}


def line(running: list[Running], waiting: list[Waiting], gpus: int = 4) -> PlannerInput:
    people = {each.person for each in (*running, *waiting)}
    return PlannerInput(1e6, (Node("box", "h100", gpus),), tuple(running), tuple(waiting), dict.fromkeys(people, 0), SHIPPED)


def runs(name: str, gpus: int, **values: object) -> Running:
    return Running(name, Person("lab", name), gpus, "box", 1e6 + 9e4, **{"takeable_from_seconds": 1e6 - 1, **values})


def asks(name: str, gpus: int, **values: object) -> Waiting:
    return Waiting(name, Person("lab", name), gpus, "h100", 1e6 - 60, 3600, 3600, **values)


def test_session_that_ends_anyway_is_counted_on_before_an_idle_one() -> None:
    found = plan(line([runs("idle", 2, is_idle=True), runs("ending", 2, is_ending=True)], [asks("ada", 2)]))
    assert (found.claims, found.decisions[0].because_of) == ({"ending"}, ("ending",))


def test_idle_sessions_beyond_the_need_are_left_alone() -> None:
    found = plan(line([runs("one", 1, is_idle=True), runs("two", 1, is_idle=True), runs("three", 2, takeable_from_seconds=None)], [asks("ada", 1)]))
    assert len(found.claims) == 1
    both = plan(line([runs("one", 1, is_idle=True), runs("two", 1, is_idle=True), runs("three", 2, takeable_from_seconds=None)], [asks("ada", 4)]))
    assert both.claims == {"one", "two"}, "whoever needs more than that can use both"


def test_promised_request_comes_before_all_others() -> None:
    overdue = replace(asks("old", 2), requested_seconds=0.0)
    found = plan(line([runs("ending", 2, is_ending=True), runs("busy", 2, takeable_from_seconds=None)], [overdue, asks("ada", 2, is_promised=True)]))
    assert next((each.request_id, each.code) for each in found.decisions) == ("ada", ReasonCode.RELEASE)
