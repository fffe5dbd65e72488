"""Hours in which GPUs cost less: windows by the clocks of a time zone, also where it changes to and from summer time. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """From one local time to another, on the weekdays on which it begins."""

    weekdays: frozenset[int]
    """ISO: 1 is Monday, 7 is Sunday."""
    start: time
    """Inclusive."""
    end: time
    """Exclusive; not after ``start`` means the next day."""


@dataclass(frozen=True, slots=True)
class OffPeak:
    """When everything that a card prices by the hour costs less."""

    time_zone: str
    """IANA name, for example ``Europe/Berlin``."""
    discount_percent: Decimal
    """What it costs less."""
    windows: tuple[Window, ...]


def spans(off_peak: OffPeak, start: datetime, end: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """Return what of ``[start, end)`` is off-peak: disjoint half-open spans in aware UTC, in order.

    A local time that the clock skips counts as if the clock had not been put forward. Of one that it shows twice, a window begins at the first
    and ends at the second: the longer reading, in the payer's favour.

    Raises
    ------
    zoneinfo.ZoneInfoNotFoundError
        If there is no such time zone; the catalogue refuses such a card.
    """
    zone = ZoneInfo(off_peak.time_zone)
    days = _days(start.astimezone(zone).date() - _DAY, end.astimezone(zone).date())
    found = [_span(day, window, zone) for day in days for window in off_peak.windows if day.isoweekday() in window.weekdays]
    clipped = sorted((max(low, start), min(high, end)) for low, high in found)
    return tuple(_merged([(low, high) for low, high in clipped if low < high]))


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += _DAY


def _span(day: date, window: Window, zone: ZoneInfo) -> tuple[datetime, datetime]:
    last = day if window.end > window.start else day + _DAY
    ends = datetime.combine(last, window.end, zone)
    return datetime.combine(day, window.start, zone).astimezone(UTC), max(ends.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def _merged(ordered: list[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    """Yield spans that touch or overlap as one."""
    current: tuple[datetime, datetime] | None = None
    for low, high in ordered:
        if current is None or low > current[1]:
            if current is not None:
                yield current
            current = (low, high)
        else:
            current = (current[0], max(current[1], high))
    if current is not None:
        yield current
