"""Spans of a report: the buckets that a chart shows, and the span that it is compared with. Pure; days are UTC days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

BucketSize = Literal["day", "week", "month"]
MOST_DAYS, MOST_WEEK_DAYS = 31, 100
"""Longest spans, in days, that are shown by day and by week."""


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open span ``[start, end)`` of whole UTC days."""

    start: datetime
    end: datetime

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.end - self.start).days


def bucket_key(day: date, size: BucketSize) -> str:
    """Return the bucket that a day is in: ``2026-11-12``, its ISO week ``2026-W46``, or ``2026-11``."""
    if size == "day":
        return day.isoformat()
    if size == "month":
        return f"{day:%Y-%m}"
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def bucket_size(days: int) -> BucketSize:
    """Return in which buckets a span of so many days is shown."""
    if days <= MOST_DAYS:
        return "day"
    return "week" if days <= MOST_WEEK_DAYS else "month"


def buckets(span: Span, size: BucketSize) -> tuple[str, ...]:
    """Return every bucket that a span reaches into, in order, also those in which nothing happened."""
    return tuple(dict.fromkeys(bucket_key(day, size) for day in _days(span)))


def _days(span: Span) -> Iterator[date]:
    for number in range(span.days):
        yield (span.start + timedelta(days=number)).date()


def span_before(span: Span, period: str) -> Span:
    """Return what a span is compared with.

    Parameters
    ----------
    period
        ``month`` is compared with as many days of the month before, ``last-month`` with the whole month before, ``year`` with
        the same days a year before; anything else with as many days right before.
    """
    if period == "month":
        start = months_before(span.start, 1)
        return Span(start, min(start + (span.end - span.start), span.start))
    if period == "last-month":
        return Span(months_before(span.start, 1), span.start)
    if period == "year":
        return Span(months_before(span.start, 12), months_before(span.end, 12))
    return Span(span.start - (span.end - span.start), span.start)


def months_before(instant: datetime, months: int) -> datetime:
    """Return the same day some months before, or that month's last day where it is shorter."""
    number = instant.year * 12 + instant.month - 1 - months
    first = instant.replace(year=number // 12, month=number % 12 + 1, day=1)
    following = first.replace(year=(number + 1) // 12, month=(number + 1) % 12 + 1)
    return first.replace(day=min(instant.day, (following - timedelta(days=1)).day))
