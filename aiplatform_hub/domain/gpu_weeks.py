"""How well GPUs are used: by hour of the week, by person, and how long requests waited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

DAYS, HOURS = 7, 24
_HOUR = timedelta(hours=1)
AT_ONCE_SECONDS = 10.0
"""A request that waited no longer than this did not wait."""


@dataclass(frozen=True, slots=True)
class GpuSpan:
    """A half-open span, in aware UTC, in which some GPUs did one thing."""

    start: datetime
    end: datetime
    gpus: int


@dataclass(frozen=True, slots=True)
class HourOfWeek:
    """GPUs in one hour of the week, on the average of all such hours of a span."""

    held: float
    """GPUs that sessions held."""
    used: float
    """GPUs that computed, as far as it is known."""
    hours: float
    """How many such hours the span has; 0 means that the other numbers say nothing."""


@dataclass(frozen=True, slots=True)
class Waited:
    """How long one request for GPUs waited."""

    gpus: int
    seconds: float
    """Until it held its GPUs, or until now."""
    is_waiting: bool = False


@dataclass(frozen=True, slots=True)
class WaitRow:
    """Waits of the requests for one number of GPUs, in seconds."""

    gpus: int
    requests: int
    at_once: int
    """Those that did not wait."""
    p50_seconds: float
    p90_seconds: float
    longest_seconds: float
    still_waiting: int


def week(held: Iterable[GpuSpan], used: Iterable[GpuSpan], start: datetime, end: datetime) -> tuple[tuple[HourOfWeek, ...], ...]:
    """Return seven days of 24 hours, Monday 00:00 UTC first.

    Parameters
    ----------
    held, used
        Spans in which sessions held GPUs, and in which these computed; what lies outside the span does not count.
    start, end
        The half-open span, in aware UTC.
    """
    held_seconds, used_seconds = _sums(held, start, end), _sums(used, start, end)
    hours = _sums([GpuSpan(start, end, 1)], start, end)
    return tuple(tuple(_cell(held_seconds[day][hour], used_seconds[day][hour], hours[day][hour]) for hour in range(HOURS)) for day in range(DAYS))


def _cell(held_seconds: float, used_seconds: float, whole_seconds: float) -> HourOfWeek:
    if not whole_seconds:
        return HourOfWeek(0.0, 0.0, 0.0)
    return HourOfWeek(held_seconds / whole_seconds, used_seconds / whole_seconds, whole_seconds / _HOUR.total_seconds())


def _sums(spans: Iterable[GpuSpan], start: datetime, end: datetime) -> list[list[float]]:
    sums = [[0.0] * HOURS for _ in range(DAYS)]
    for span in spans:
        for begin, seconds in _hours_of(max(span.start, start), min(span.end, end)):
            sums[begin.weekday()][begin.hour] += seconds * span.gpus
    return sums


def _hours_of(start: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
    """Yield the parts of a span by full hours, each with its length in seconds."""
    while start < end:
        until = min(end, start.replace(minute=0, second=0, microsecond=0) + _HOUR)
        yield start, (until - start).total_seconds()
        start = until


def waits(requests: Iterable[Waited]) -> tuple[WaitRow, ...]:
    """Return the waits by number of GPUs; what still waits counts with its wait so far."""
    by_gpus: dict[int, list[Waited]] = {}
    for request in requests:
        by_gpus.setdefault(request.gpus, []).append(request)
    return tuple(_row(gpus, by_gpus[gpus]) for gpus in sorted(by_gpus))


def _row(gpus: int, requests: Sequence[Waited]) -> WaitRow:
    seconds = sorted(max(0.0, request.seconds) for request in requests)
    return WaitRow(
        gpus=gpus,
        requests=len(seconds),
        at_once=sum(each <= AT_ONCE_SECONDS for each in seconds),
        p50_seconds=_nearest(seconds, 0.5),
        p90_seconds=_nearest(seconds, 0.9),
        longest_seconds=seconds[-1],
        still_waiting=sum(request.is_waiting for request in requests),
    )


def _nearest(ordered: Sequence[float], fraction: float) -> float:
    """Return the smallest value that at least this part of all does not exceed."""
    return ordered[max(0, -int(-fraction * len(ordered) // 1) - 1)]
