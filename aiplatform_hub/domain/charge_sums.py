"""Sums of charges by UTC day, exact: what reports of days that are over are made of. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from aiplatform_hub.domain.charges import Charge, Sku
from aiplatform_hub.domain.units import EPOCH

DAY = timedelta(days=1)
NOBODY = ""
"""Stands for the person in sums that are not kept apart by person."""


@dataclass(frozen=True, slots=True)
class ChargeSum:
    """What of one SKU, at one price, was charged to one group."""

    start: datetime
    """UTC midnight at which the day of the sum begins; of several days, the first."""
    cost_centre: str
    project: str
    user_name: str
    environment_template: str
    gpu_type: str | None
    sku: Sku
    list_price: Decimal
    price: Decimal
    currency: str
    rate_card: str
    period_microseconds: int
    """How long what the price is for lasts."""
    unit_microseconds: int
    """Units × time; negative where more was taken back than charged."""
    session_microseconds: int
    estimated_microseconds: int


Charged = Charge | ChargeSum
"""What reports add up."""


def daily_sums(charges: Iterable[Charged]) -> tuple[ChargeSum, ...]:
    """Return charges or sums of them, in any order, as sums by day, person and everything else that a report asks for. Nothing is rounded."""
    found: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    samples: dict[tuple[object, ...], Charged] = {}
    for charge in charges:
        key = (
            _midnight(charge.start),
            charge.cost_centre,
            charge.project,
            charge.user_name,
            charge.environment_template,
            charge.gpu_type or "",
            *_price(charge),
        )
        samples.setdefault(key, charge)
        amounts = found[key]
        amounts[0] += charge.unit_microseconds
        amounts[1] += charge.session_microseconds
        amounts[2] += charge.estimated_microseconds
    return tuple(_sum(samples[key], found[key]) for key in sorted(found, key=_order))


def _price(charge: Charged) -> tuple[object, ...]:
    return charge.sku, charge.list_price, charge.price, charge.currency, charge.rate_card, charge.period_microseconds


def _order(key: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(each) for each in key)


def _midnight(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)


def _sum(sample: Charged, amounts: Sequence[int]) -> ChargeSum:
    units, session, estimated = amounts
    return ChargeSum(
        start=_midnight(sample.start),
        cost_centre=sample.cost_centre,
        project=sample.project,
        user_name=sample.user_name,
        environment_template=sample.environment_template,
        gpu_type=sample.gpu_type,
        sku=sample.sku,
        list_price=sample.list_price,
        price=sample.price,
        currency=sample.currency,
        rate_card=sample.rate_card,
        period_microseconds=sample.period_microseconds,
        unit_microseconds=units,
        session_microseconds=session,
        estimated_microseconds=estimated,
    )


def without_people(sums: Iterable[ChargeSum]) -> tuple[ChargeSum, ...]:
    """Return the same sums, everybody's together."""
    found: dict[tuple[object, ...], ChargeSum] = {}
    for one in sums:
        key = (one.start, one.cost_centre, one.project, one.environment_template, one.gpu_type or "", *_price(one))
        other = found.get(key)
        if other is None:
            found[key] = replace(one, user_name=NOBODY)
        else:
            found[key] = replace(
                other,
                unit_microseconds=other.unit_microseconds + one.unit_microseconds,
                session_microseconds=other.session_microseconds + one.session_microseconds,
                estimated_microseconds=other.estimated_microseconds + one.estimated_microseconds,
            )
    return tuple(found[key] for key in sorted(found, key=_order))


@dataclass(frozen=True, slots=True)
class ActivitySum:
    """GPU time of one day and group of which it is known whether it was used."""

    start: datetime
    """UTC midnight at which the day begins."""
    cost_centre: str
    project: str
    user_name: str
    environment_template: str
    gpu_type: str | None
    currency: str
    used_gpu_microseconds: int
    idle_gpu_microseconds: int


def activity_without_people(sums: Iterable[ActivitySum]) -> tuple[ActivitySum, ...]:
    """Return the same, everybody's together."""
    found: dict[tuple[object, ...], ActivitySum] = {}
    for one in sums:
        key = (one.start, one.cost_centre, one.project, one.environment_template, one.gpu_type or "", one.currency)
        other = found.get(key)
        if other is None:
            found[key] = replace(one, user_name=NOBODY)
        else:
            used, idle = other.used_gpu_microseconds + one.used_gpu_microseconds, other.idle_gpu_microseconds + one.idle_gpu_microseconds
            found[key] = replace(other, used_gpu_microseconds=used, idle_gpu_microseconds=idle)
    return tuple(found[key] for key in sorted(found, key=_order))


@dataclass(frozen=True, slots=True)
class RolledDay:
    """A UTC day whose sums are kept, and what they depended on when they were made."""

    start: datetime
    """UTC midnight."""
    open_intervals: int
    """Intervals that had begun before the day's end and were open still: each was charged for the whole of its day."""
    cards: str
    """Mark of the rate cards that priced it."""
    built_at: datetime
    is_stale: bool = False
    """Whether something in the day has changed since."""

    @property
    def end(self) -> datetime:
        """When the day is over."""
        return self.start + DAY

    @property
    def number(self) -> int:
        """Days since the Unix epoch, as the days of changes are counted."""
        return (self.start - EPOCH) // DAY


def counts(day: RolledDay, *, now: datetime, cards: str, open_starts: Sequence[datetime], changed: Collection[tuple[int, int]]) -> bool:
    """Return whether the sums of a day say what the ledger says.

    Parameters
    ----------
    now
        Aware UTC. A day that is not over then was rolled up by a clock that was ahead.
    cards
        Mark of the cards that price the day now.
    open_starts
        When the intervals that are open began, in order.
    changed
        First and last day, by number, of what has ended and nobody has looked at yet.
    """
    begun = bisect_left(open_starts, day.end)
    is_changed = any(first <= day.number <= last for first, last in changed)
    return not day.is_stale and day.end <= now and day.cards == cards and not is_changed and begun == day.open_intervals


def runs(start: datetime, end: datetime, days: Iterable[datetime]) -> tuple[tuple[tuple[datetime, datetime], ...], tuple[tuple[datetime, datetime], ...]]:
    """Return the spans of ``[start, end)`` that some whole UTC days cover, and those between them; together they are the whole.

    Parameters
    ----------
    days
        Midnights at which the days begin, in order.
    """
    covered: list[tuple[datetime, datetime]] = []
    for day in days:
        if day < start or day + DAY > end:
            continue
        if covered and covered[-1][1] == day:
            covered[-1] = covered[-1][0], day + DAY
        else:
            covered.append((day, day + DAY))
    edges = [start, *(edge for span in covered for edge in span), end]
    between = tuple((low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if low < high)
    return tuple(covered), between
