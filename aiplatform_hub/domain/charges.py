"""What used time costs, by SKU: a pure function of intervals, what is known of their idleness, and rate cards. All amounts are exact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from uuid import UUID

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.catalog import ANY_GPU_TYPE, RateCard
from aiplatform_hub.domain.off_peak import spans
from aiplatform_hub.domain.rates import boundaries, card_at, midnights, next_month, split, unit_price
from aiplatform_hub.domain.units import GIB, from_microseconds, to_microseconds
from aiplatform_hub.domain.usage import UsageInterval

MICROSECONDS_PER_HOUR = 3_600_000_000
CREDIT_PARTS = MICROSECONDS_PER_HOUR * 10**12
"""Parts of one unit of a currency in which an invoice counts what a credit pays: prices of 12 places times whole microseconds are whole parts."""
NO_SESSION = UUID(int=0)
"""Interval and allocation of a charge that is of no session: of storage."""
Spans = Sequence[tuple[datetime, datetime]]


class Sku(StrEnum):
    """What is priced. Each is one unit for one hour; storage for one calendar month in UTC."""

    GPU_HOUR = "gpu_hour"
    IDLE_GPU_HOUR = "idle_gpu_hour"
    """A GPU that its session holds and does not use, where the card has a price of its own for it."""
    CPU_ONLY_HOUR = "cpu_only_hour"
    """An environment without GPUs."""
    CPU_CORE_HOUR = "cpu_core_hour"
    MEMORY_GIB_HOUR = "memory_gib_hour"
    """Part of a GiB counts as a whole one."""
    STORAGE_GIB_MONTH = "storage_gib_month"
    CREDIT = "credit"
    """What a credit pays, in units of the currency; only on invoices."""


SESSION_SKUS = frozenset({Sku.GPU_HOUR, Sku.IDLE_GPU_HOUR, Sku.CPU_ONLY_HOUR})
"""Of these a session has one at any time, so that their time is its time."""
GPU_SKUS = frozenset({Sku.GPU_HOUR, Sku.IDLE_GPU_HOUR})


@dataclass(frozen=True, slots=True)
class Charge:
    """One SKU of one interval, or one day of a person's storage, inside one UTC day and under one card, either off-peak or not, either idle or not."""

    interval_id: UUID
    allocation_id: UUID
    """:data:`NO_SESSION` where it is of storage."""
    user_name: str
    project: str
    cost_centre: str
    environment_template: str
    """Empty where it is of storage."""
    gpu_type: str | None
    sku: Sku
    start: datetime
    """Aware UTC, inclusive."""
    end: datetime
    """Aware UTC, exclusive."""
    units: int
    """GPUs, cores, GiB or environments; negative where a correction takes something back."""
    list_price: Decimal
    """Of one unit for one hour, or month of storage, as the card has it."""
    price: Decimal
    """The same after all discounts."""
    currency: str
    rate_card: str
    """Version of the card."""
    is_off_peak: bool
    is_estimated: bool
    """Whether nobody saw when the interval ended."""
    is_correction: bool = False

    @property
    def unit_microseconds(self) -> int:
        """Units × time; negative where something is taken back."""
        return self.units * (to_microseconds(self.end) - to_microseconds(self.start))

    @property
    def session_microseconds(self) -> int:
        """Time of the session, which has one such SKU at any time; 0 for every other SKU, negative where something is taken back."""
        if self.sku not in SESSION_SKUS:
            return 0
        length = to_microseconds(self.end) - to_microseconds(self.start)
        return length if self.units > 0 else -length

    @property
    def estimated_microseconds(self) -> int:
        """The same where nobody saw when the session ended, else 0."""
        return self.session_microseconds if self.is_estimated else 0

    @property
    def period_microseconds(self) -> int:
        """How long what the price is for lasts."""
        return period_microseconds(self.sku, self.start)

    @property
    def quantity(self) -> Fraction:
        """Hours, or months of storage, × units."""
        return Fraction(self.unit_microseconds, self.period_microseconds)

    @property
    def amount(self) -> Fraction:
        """What it costs, exact."""
        return self.quantity * Fraction(self.price)

    @property
    def list_amount(self) -> Fraction:
        """What it would cost without discounts, exact."""
        return self.quantity * Fraction(self.list_price)


@dataclass(frozen=True, slots=True)
class Units:
    """What a session has of what is priced; of many sessions, the sum of the same × time: what is charged is linear in both."""

    gpus: int
    environments: int
    """1; of many sessions, their time."""
    cpu_cores: int
    memory_gib: int
    """Part of a GiB counts as a whole one."""


@dataclass(frozen=True, slots=True)
class Pricing:
    """What a price depends on, beside the card."""

    gpu_type: str | None
    project: str
    tier: str | None
    """Of the person when it was decided on; None if that is not known, then no discount of a tier is given."""
    is_off_peak: bool = False
    is_idle: bool = False
    """Whether all GPUs of the session were idle."""
    is_free: bool = False
    """Whether it is charged at price 0, as a failed start."""


def period_microseconds(sku: Sku, instant: datetime) -> int:
    """Return how long what a price is for lasts: an hour, or the calendar month (UTC) of an instant; of a credit, the parts of its unit."""
    if sku is Sku.CREDIT:
        return CREDIT_PARTS
    if sku is not Sku.STORAGE_GIB_MONTH:
        return MICROSECONDS_PER_HOUR
    month = instant.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return to_microseconds(next_month(month)) - to_microseconds(month)


def charges(interval: UsageInterval, cards: Sequence[RateCard], until: datetime, *, tier: str | None = None, idle: Spans = ()) -> tuple[Charge, ...]:
    """Return what an interval costs: split at every change of card, off-peak edge, UTC midnight and change between used and idle.

    A failed start costs nothing, and its charges say so with price 0. What has no price on the card is left out, GPUs excepted.

    Parameters
    ----------
    interval
        Open or closed.
    cards
        Every rate card.
    until
        Aware UTC, exclusive; the interval counts up to here at most.
    tier
        Tier of the person when it was decided on; None if that is not known, then no discount of a tier is given.
    idle
        When all GPUs of the session were idle: half-open spans in aware UTC, in order.

    Raises
    ------
    ConfigurationError
        If a card prices neither the GPU type nor every other type.
    """
    start, end = interval.started_at, until if interval.ended_at is None else min(interval.ended_at, until)
    found: list[Charge] = []
    for card_start, card_end in split(start, end, boundaries(cards, start, end)):
        card = card_at(cards, card_start)
        off_peak = spans(card.off_peak, card_start, card_end) if card.off_peak else ()
        unused = idle if interval.gpus and has_idle_price(card, interval.gpu_type) else ()
        edges = (*midnights(card_start, card_end), *_edges(off_peak), *_edges(unused))
        for low, high in split(card_start, card_end, edges):
            piece = _Piece(interval, card, low, high, is_off_peak=_is_in(off_peak, low), is_idle=_is_in(unused, low), tier=tier)
            found.extend(piece.charges())
    return tuple(found)


@dataclass(frozen=True, slots=True)
class HourlyLine:
    """What one SKU of a session, or of many, costs for an hour."""

    sku: Sku
    units: int
    list_price: Decimal
    """Of one unit for one hour, as the card has it."""
    price: Decimal
    """The same after all discounts."""

    @property
    def per_hour(self) -> Decimal:
        """What all units cost for one hour, exact."""
        return self.price * self.units


def hourly_lines(  # noqa: PLR0913  what a price depends on
    *, gpus: int, gpu_type: str | None, cpu_cores: int, memory_bytes: int, project: str, tier: str | None, card: RateCard, instant: datetime
) -> tuple[HourlyLine, ...]:
    """Return what one hour of a session costs by a card at an instant, SKU by SKU, while its GPUs are used.

    Raises
    ------
    ConfigurationError
        If the card prices neither the GPU type nor every other type.
    """
    is_off_peak = card.off_peak is not None and bool(spans(card.off_peak, instant, from_microseconds(to_microseconds(instant) + 1)))
    return tuple(priced(card, units_of(gpus, cpu_cores, memory_bytes), Pricing(gpu_type, project, tier, is_off_peak=is_off_peak)))


def hourly_price(  # noqa: PLR0913  what a price depends on
    *, gpus: int, gpu_type: str | None, cpu_cores: int, memory_bytes: int, project: str, tier: str | None, card: RateCard, instant: datetime
) -> Decimal:
    """Return what one hour of a session costs by a card at an instant, while its GPUs are used.

    Raises
    ------
    ConfigurationError
        If the card prices neither the GPU type nor every other type.
    """
    lines = hourly_lines(gpus=gpus, gpu_type=gpu_type, cpu_cores=cpu_cores, memory_bytes=memory_bytes, project=project, tier=tier, card=card, instant=instant)
    return sum((line.per_hour for line in lines), Decimal(0))


def total(found: Iterable[Charge]) -> dict[str, Fraction]:
    """Return the exact sum of charges by currency."""
    sums: dict[str, Fraction] = {}
    for charge in found:
        sums[charge.currency] = sums.get(charge.currency, Fraction(0)) + charge.amount
    return sums


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of an interval in which nothing changes that a price depends on."""

    interval: UsageInterval
    card: RateCard
    start: datetime
    end: datetime
    is_off_peak: bool
    is_idle: bool
    tier: str | None

    def charges(self) -> Iterator[Charge]:
        interval, card = self.interval, self.card
        states = {"is_off_peak": self.is_off_peak, "is_idle": self.is_idle, "is_free": interval.end_cause is EndCause.START_FAILED}
        units = units_of(interval.gpus, interval.cpu_cores, interval.memory_bytes)
        for line in priced(card, units, Pricing(interval.gpu_type, interval.project, self.tier, **states)):
            yield Charge(
                interval_id=interval.id,
                allocation_id=interval.allocation_id,
                user_name=interval.user_name,
                project=interval.project,
                cost_centre=interval.cost_centre,
                environment_template=interval.environment_template,
                gpu_type=interval.gpu_type,
                sku=line.sku,
                start=self.start,
                end=self.end,
                units=line.units,
                list_price=line.list_price,
                price=line.price,
                currency=card.currency,
                rate_card=card.version,
                is_off_peak=self.is_off_peak,
                is_estimated=interval.estimated,
            )


def units_of(gpus: int, cpu_cores: int, memory_bytes: int) -> Units:
    """Return what one session has of what is priced."""
    return Units(gpus, 1, cpu_cores, -(-memory_bytes // GIB))


def priced(card: RateCard, units: Units, pricing: Pricing) -> Iterator[HourlyLine]:
    """Yield each SKU of a session, or of many that are priced alike, with its units and what one of them costs for an hour.

    Raises
    ------
    ConfigurationError
        If the card prices neither the GPU type nor every other type.
    """
    factor = _discount_factor(card, pricing)
    for sku, amount, list_price in _listed(card, units, pricing):
        yield HourlyLine(sku, amount, Decimal(0), Decimal(0)) if pricing.is_free else HourlyLine(sku, amount, list_price, list_price * factor)


def _listed(card: RateCard, units: Units, pricing: Pricing) -> Iterator[tuple[Sku, int, Decimal]]:
    idle = _idle_price(card, pricing.gpu_type) if units.gpus and pricing.is_idle else None
    if idle is not None:
        yield Sku.IDLE_GPU_HOUR, units.gpus, idle
    elif units.gpus:
        yield Sku.GPU_HOUR, units.gpus, unit_price(card, pricing.gpu_type or ANY_GPU_TYPE)
    else:
        yield Sku.CPU_ONLY_HOUR, units.environments, card.cpu_only_hour
    if card.cpu_core_hour:
        yield Sku.CPU_CORE_HOUR, units.cpu_cores, card.cpu_core_hour
    if card.memory_gib_hour:
        yield Sku.MEMORY_GIB_HOUR, units.memory_gib, card.memory_gib_hour


def has_idle_price(card: RateCard, gpu_type: str | None) -> bool:
    """Return whether an idle GPU of a type has a price of its own."""
    return _idle_price(card, gpu_type) is not None


def _idle_price(card: RateCard, gpu_type: str | None) -> Decimal | None:
    """Return what an idle GPU costs where that is another price than of a used one."""
    return card.idle_gpu_hour.get(gpu_type or ANY_GPU_TYPE, card.idle_gpu_hour.get(ANY_GPU_TYPE))


def _discount_factor(card: RateCard, pricing: Pricing) -> Decimal:
    """Return what a list price is multiplied by: discounts are taken one after the other, so that none makes another larger."""
    off_peak = card.off_peak.discount_percent if card.off_peak and pricing.is_off_peak else Decimal(0)
    discounts: Mapping[str, Decimal] = card.tier_discount_percent
    percents = (off_peak, discounts.get(pricing.tier or "", Decimal(0)), card.project_discount_percent.get(pricing.project, Decimal(0)))
    factor = Decimal(1)
    for percent in percents:
        factor *= (100 - percent) / 100
    return factor


def _edges(found: Spans) -> Iterator[datetime]:
    for low, high in found:
        yield low
        yield high


def _is_in(found: Spans, instant: datetime) -> bool:
    return any(low <= instant < high for low, high in found)
