"""Use by hour of the week conserves time, and waits are counted by GPUs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.gpu_weeks import GpuSpan, Waited, waits, week

MONDAY = datetime(2026, 11, 9, tzinfo=UTC)
END = MONDAY + timedelta(days=14)
MINUTES = st.integers(-3000, 14 * 1440 + 3000)


def test_average_hour_of_two_weeks() -> None:
    held = [GpuSpan(MONDAY + timedelta(hours=9, minutes=30), MONDAY + timedelta(hours=11), 4)]
    used = [GpuSpan(MONDAY + timedelta(hours=10), MONDAY + timedelta(hours=10, minutes=30), 2)]
    cells = week(held, used, MONDAY, END)
    assert [(cells[0][hour].held, cells[0][hour].used) for hour in (8, 9, 10, 11)] == [(0, 0), (1.0, 0), (2.0, 0.5), (0, 0)]
    assert cells[1][10].held == 0
    assert {cell.hours for day in cells for cell in day} == {2.0}


def test_hours_that_the_span_lacks_say_so() -> None:
    cells = week((), (), MONDAY, MONDAY + timedelta(hours=1))
    assert (cells[0][0].hours, cells[0][1].hours, cells[6][23].hours) == (1.0, 0.0, 0.0)


@given(st.lists(st.tuples(MINUTES, MINUTES, st.integers(1, 8)), max_size=8))
def test_no_gpu_time_is_lost_or_made(raw) -> None:
    spans = [GpuSpan(MONDAY + timedelta(minutes=min(a, b)), MONDAY + timedelta(minutes=max(a, b)), gpus) for a, b, gpus in raw]
    inside = sum(max(0.0, (min(s.end, END) - max(s.start, MONDAY)).total_seconds()) * s.gpus for s in spans)
    cells = [cell for day in week(spans, (), MONDAY, END) for cell in day]
    assert abs(sum(cell.held * cell.hours * 3600 for cell in cells) - inside) < 0.01


def test_waits_by_gpus() -> None:
    asked = [Waited(1, seconds) for seconds in (0.0, 5.0, 60.0, 600.0)] + [Waited(4, 7200.0, is_waiting=True)]
    one, four = waits(asked)
    assert (one.gpus, one.requests, one.at_once, one.p50_seconds, one.p90_seconds, one.longest_seconds, one.still_waiting) == (1, 4, 2, 5.0, 600.0, 600.0, 0)
    assert (four.gpus, four.p50_seconds, four.still_waiting) == (4, 7200.0, 1)
    assert waits(()) == ()
