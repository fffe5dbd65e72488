"""Spans of an allocation follow each other from request to end, whatever is known of what its GPUs did."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.activity import Activity, ActivityInterval
from aiplatform_hub.domain.allocations import Allocation, AllocationEvent, AllocationState
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.timeline import Phase, Span, condensed, idle_spans, merged, spans

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SESSION = UUID(int=1)
REQUEST = LaunchRequest("jupyterlab", 2, "h100", 1, 1, "p", "c")


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def allocation(state: AllocationState, *, started: float | None = None, ended: float | None = None, gpus: int = 2) -> Allocation:
    times = {"started_at": None if started is None else at(started), "ended_at": None if ended is None else at(ended)}
    return Allocation(SESSION, 1, "ada", "a", 1, replace(REQUEST, gpus=gpus), state, ("a", "b"), "page", "ada", NOON, **times)


def event(number: int, minutes: float, before: AllocationState | None, to: AllocationState) -> AllocationEvent:
    return AllocationEvent(number, SESSION, at(minutes), before, to, "because", "keeper")


def did(activity: Activity, start: float, end: float) -> ActivityInterval:
    return ActivityInterval(SESSION, activity, at(start), at(end))


QUEUED, HELD, ACTIVE, ENDED, DENIED = (AllocationState[name] for name in ("QUEUED", "HELD", "ACTIVE", "ENDED", "DENIED"))
WAITED = [event(1, 0, None, QUEUED), event(2, 10, QUEUED, HELD), event(3, 12.5, HELD, ACTIVE)]


def shown(found: tuple[Span, ...]) -> list[tuple[str, float, float]]:
    return [(span.phase.value, (span.start - NOON).total_seconds() / 60, (span.end - NOON).total_seconds() / 60) for span in found]


def test_a_session_that_waited_ran_and_ended() -> None:
    activity = [did(Activity.USED, 12, 30), did(Activity.IDLE, 30, 45), did(Activity.UNKNOWN, 50, 55)]
    found = spans(allocation(ENDED, started=12, ended=60), [*WAITED, event(4, 60, ACTIVE, ENDED)], activity, at(999))
    assert shown(found) == [
        ("waiting", 0, 10), ("starting", 10, 12), ("used", 12, 30), ("idle", 30, 45), ("unknown", 45, 50), ("unknown", 50, 55), ("unknown", 55, 60),
    ]  # fmt: skip
    assert shown(merged(found))[-1] == ("unknown", 45, 60)


def test_what_goes_on_reaches_until_now() -> None:
    assert shown(spans(allocation(QUEUED), WAITED[:1], (), at(7))) == [("waiting", 0, 7)]
    assert shown(spans(allocation(ACTIVE, started=12), WAITED, [did(Activity.IDLE, 12, 20)], at(30)))[2:] == [("idle", 12, 20), ("unknown", 20, 30)]
    assert shown(spans(allocation(ACTIVE, started=12, gpus=0), WAITED, (), at(30)))[2:] == [("running", 12, 30)]


def test_what_was_refused_did_nothing() -> None:
    assert spans(allocation(DENIED, ended=0), [event(1, 0, None, DENIED)], (), at(5)) == ()


def test_only_long_idleness_is_told_the_longest_of_it_in_order() -> None:
    found = [Span(Phase.IDLE, at(start), at(start + length)) for start, length in ((0, 30), (40, 9), (60, 20), (90, 25))]
    assert [span.start for span in idle_spans(found, at_least=timedelta(minutes=10), most=2)] == [at(0), at(90)]
    assert idle_spans([Span(Phase.USED, at(0), at(99))], at_least=timedelta(minutes=1), most=2) == ()


@given(st.lists(st.tuples(st.sampled_from([Phase.USED, Phase.IDLE, Phase.UNKNOWN]), st.integers(1, 5000)), min_size=1, max_size=200), st.integers(1, 40))
def test_a_picture_has_few_spans_and_loses_no_time(pieces: list[tuple[Phase, int]], most: int) -> None:
    moment, found = NOON, []
    for phase, seconds in pieces:
        found.append(Span(phase, moment, moment + timedelta(seconds=seconds)))
        moment = found[-1].end
    drawn = condensed(found, most)
    assert len(drawn) <= max(most, 1)
    assert (drawn[0].start, drawn[-1].end - moment < timedelta(milliseconds=1)) == (NOON, True)
    assert all(one.end == two.start and one.phase is not two.phase for one, two in pairwise(drawn))
    assert {span.phase for span in drawn} <= {span.phase for span in found}
