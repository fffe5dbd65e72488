"""What an allocation did from the request to the end, as spans of time that follow each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from aiplatform_hub.domain.activity import Activity, ActivityInterval
from aiplatform_hub.domain.allocations import Allocation, AllocationEvent, AllocationState

MOST_SPANS = 240
"""Most spans of running time in one picture."""


class Phase(StrEnum):
    """What it did."""

    WAITING = "waiting"
    """In the queue."""
    STARTING = "starting"
    """Held, and not running yet."""
    USED = "used"
    IDLE = "idle"
    UNKNOWN = "unknown"
    """It ran, and nobody knows what its GPUs did."""
    RUNNING = "running"
    """It ran, without GPUs."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, half-open, aware UTC."""

    phase: Phase
    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.start


_BEFORE = {AllocationState.QUEUED: Phase.WAITING, AllocationState.HELD: Phase.STARTING}


def spans(allocation: Allocation, events: Sequence[AllocationEvent], activity: Iterable[ActivityInterval], now: datetime) -> tuple[Span, ...]:
    """Return what an allocation did, oldest first, without gaps; nothing where it was refused.

    Parameters
    ----------
    events
        Its transitions, oldest first.
    activity
        What its GPUs did, oldest first.
    now
        Aware UTC: where it goes on, the last span ends here.
    """
    end = max(allocation.requested_at, allocation.ended_at or now)
    running = min(end, allocation.started_at) if allocation.started_at else end
    before = tuple(_before(events, running))
    return before if allocation.started_at is None else (*before, *_while_running(allocation, activity, running, end))


def _before(events: Sequence[AllocationEvent], until: datetime) -> Iterator[Span]:
    for number, event in enumerate(events):
        phase = _BEFORE.get(event.to_state)
        following = min(until, events[number + 1].at) if number + 1 < len(events) else until
        if phase is not None and event.at < following:
            yield Span(phase, event.at, following)


def _while_running(allocation: Allocation, activity: Iterable[ActivityInterval], start: datetime, end: datetime) -> Iterator[Span]:
    if not allocation.request.gpus:
        if start < end:
            yield Span(Phase.RUNNING, start, end)
        return
    at = start
    for each in activity:
        low, high = max(at, each.started_at), min(end, each.last_seen_at)
        if low >= high:
            continue
        if at < low:
            yield Span(Phase.UNKNOWN, at, low)
        yield Span(_PHASES[each.activity], low, high)
        at = high
    if at < end:
        yield Span(Phase.UNKNOWN, at, end)


_PHASES = {Activity.USED: Phase.USED, Activity.IDLE: Phase.IDLE, Activity.UNKNOWN: Phase.UNKNOWN}


def merged(all_spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return spans with neighbours of the same phase as one."""
    found: list[Span] = []
    for span in all_spans:
        if found and found[-1].phase is span.phase and found[-1].end == span.start:
            found[-1] = replace(found[-1], end=span.end)
        else:
            found.append(span)
    return tuple(found)


def condensed(all_spans: Sequence[Span], most: int = MOST_SPANS) -> tuple[Span, ...]:
    """Return not more spans than a picture can show: each slice of time has the phase that most of it had."""
    whole = merged(all_spans)
    if len(whole) <= most:
        return whole
    start, width = whole[0].start, (whole[-1].end - whole[0].start) / most
    slices: list[dict[Phase, timedelta]] = [{} for _ in range(most)]
    for span in whole:
        for number in range((span.start - start) // width, most):
            low = start + width * number
            if low >= span.end:
                break
            part = min(span.end, low + width) - max(span.start, low)
            slices[number][span.phase] = slices[number].get(span.phase, timedelta()) + part
    return merged(
        Span(max(phases, key=lambda phase: phases[phase]), start + width * number, start + width * (number + 1))
        for number, phases in enumerate(slices)
        if phases
    )


def idle_spans(all_spans: Iterable[Span], *, at_least: timedelta, most: int) -> tuple[Span, ...]:
    """Return the longest spans in which GPUs were idle, oldest first."""
    idle = [span for span in merged(all_spans) if span.phase is Phase.IDLE and span.length >= at_least]
    return tuple(sorted(sorted(idle, key=lambda span: span.length, reverse=True)[:most], key=lambda span: span.start))
