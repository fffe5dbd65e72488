"""What people's storage costs: one sample for each person and UTC day, priced by the calendar month. Pure and exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from aiplatform_hub.domain.catalog import Project, RateCard
from aiplatform_hub.domain.charge_sums import NOBODY, ChargeSum
from aiplatform_hub.domain.charges import NO_SESSION, Charge, Sku, period_microseconds
from aiplatform_hub.domain.rates import boundaries, card_at, split
from aiplatform_hub.domain.units import GIB


@dataclass(frozen=True, slots=True)
class StorageSample:
    """How much a person's storage held on one day. It speaks for the whole day, and for no other."""

    user_name: str
    day: datetime
    """Its begin, midnight in UTC."""
    measured_at: datetime
    """Aware UTC, in that day."""
    storage_bytes: int
    project: str
    cost_centre: str
    """Who pays for it, as it was on that day."""


def day_of(instant: datetime) -> datetime:
    """Return the begin of the UTC day of an instant."""
    return instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def samples(sizes: Mapping[str, int], project: Project, at: datetime) -> tuple[StorageSample, ...]:
    """Return what was measured as samples of that day, in order of names.

    Parameters
    ----------
    sizes
        Bytes by name of the person.
    project
        What their storage belongs to.
    at
        When it was measured, aware UTC.
    """
    return tuple(StorageSample(name, day_of(at), at, size, project.name, project.cost_centre) for name, size in sorted(sizes.items()))


def storage_charges(sample: StorageSample, cards: Sequence[RateCard], start: datetime, end: datetime) -> Iterator[Charge]:
    """Yield what the day of a sample costs inside ``[start, end)``: its GiB, a part of one as a whole one, for that part of the calendar month.

    It is split where another card begins. Only a project's discount is taken: storage has no tier and no hours. A card without a price for it charges nothing.
    """
    units = -(-sample.storage_bytes // GIB)
    low, high = max(sample.day, start), min(sample.day + timedelta(days=1), end)
    for first, last in split(low, high, boundaries(cards, low, high)) if units else ():
        card = card_at(cards, first)
        if not card.storage_gib_month:
            continue
        yield Charge(
            interval_id=NO_SESSION,
            allocation_id=NO_SESSION,
            user_name=sample.user_name,
            project=sample.project,
            cost_centre=sample.cost_centre,
            environment_template="",
            gpu_type=None,
            sku=Sku.STORAGE_GIB_MONTH,
            start=first,
            end=last,
            units=units,
            list_price=card.storage_gib_month,
            price=_price(card, sample.project),
            currency=card.currency,
            rate_card=card.version,
            is_off_peak=False,
            is_estimated=False,
        )


@dataclass(frozen=True, slots=True)
class StorageTime:
    """What some samples held × how long they speak for, inside one calendar month and one card."""

    gib_microseconds: int
    """Part of a GiB counts as a whole one, sample by sample."""
    cost_centre: str = NOBODY
    project: str = NOBODY
    user_name: str = NOBODY


def storage_sum(time: StorageTime, card: RateCard, start: datetime) -> ChargeSum:
    """Return what it costs: exactly what the charges of the samples add up to.

    Parameters
    ----------
    card
        In force throughout; it has a price for storage.
    start
        UTC midnight at which the day of the sum begins; its calendar month is what the price is for.
    """
    return ChargeSum(
        start=start,
        cost_centre=time.cost_centre,
        project=time.project,
        user_name=time.user_name,
        environment_template="",
        gpu_type=None,
        sku=Sku.STORAGE_GIB_MONTH,
        list_price=card.storage_gib_month,
        price=_price(card, time.project),
        currency=card.currency,
        rate_card=card.version,
        period_microseconds=period_microseconds(Sku.STORAGE_GIB_MONTH, start),
        unit_microseconds=time.gib_microseconds,
        session_microseconds=0,
        estimated_microseconds=0,
    )


def _price(card: RateCard, project: str) -> Decimal:
    return card.storage_gib_month * (100 - card.project_discount_percent.get(project, Decimal(0))) / 100
