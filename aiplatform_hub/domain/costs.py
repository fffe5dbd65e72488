"""Cost lines: usage intervals with prices. A pure function of intervals and rate cards.

Amounts stay exact as price × microseconds and are divided once, when they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, localcontext
from uuid import UUID

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.rates import boundaries, card_at, midnights, price_per_hour, split
from aiplatform_hub.domain.units import to_microseconds
from aiplatform_hub.domain.usage import UsageInterval

MICROSECONDS_PER_HOUR = 3_600_000_000

PLACES = Decimal("0.000001")
"""What an amount is rounded to, half-even, when it is shown."""

_EXACT = Context(prec=120, traps=[Inexact])
_WIDE = Context(prec=120, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class CostLine:
    """One piece of an interval inside one UTC day and under one rate card."""

    interval_id: UUID
    project: str
    cost_centre: str
    start: datetime
    """Aware UTC, inclusive."""
    end: datetime
    """Aware UTC, exclusive."""
    gpu_type: str | None
    gpus: int
    price_per_hour: Decimal
    """Price of the whole environment for one hour."""
    currency: str
    rate_card_version: str

    @property
    def numerator(self) -> Decimal:
        """Price × microseconds, exact."""
        return _EXACT.multiply(self.price_per_hour, Decimal(to_microseconds(self.end) - to_microseconds(self.start)))

    @property
    def amount(self) -> Decimal:
        """The cost, rounded half-even to 6 places."""
        return round_amount(self.numerator)


def cost_lines(interval: UsageInterval, cards: Sequence[RateCard], until: datetime) -> tuple[CostLine, ...]:
    """Return the cost lines of an interval, split at rate changes and UTC midnights, month ends among them.

    Parameters
    ----------
    interval
        Open or closed.
    cards
        Every rate card.
    until
        Aware UTC, exclusive; the interval counts up to here at most.
    """
    start, end = interval.started_at, until if interval.ended_at is None else min(interval.ended_at, until)
    edges = (*boundaries(cards, start, end), *midnights(start, end))
    return tuple(_line(interval, card_at(cards, low), low, high) for low, high in split(start, end, edges))


def _line(interval: UsageInterval, card: RateCard, start: datetime, end: datetime) -> CostLine:
    is_free = interval.end_cause is EndCause.START_FAILED
    return CostLine(
        interval_id=interval.id,
        project=interval.project,
        cost_centre=interval.cost_centre,
        start=start,
        end=end,
        gpu_type=interval.gpu_type,
        gpus=interval.gpus,
        price_per_hour=Decimal(0) if is_free else price_per_hour(interval.gpus, interval.gpu_type, card),
        currency=card.currency,
        rate_card_version=card.version,
    )


def totals(lines: Iterable[CostLine]) -> dict[str, Decimal]:
    """Return the sum of cost lines by currency, added exactly and rounded once."""
    sums: dict[str, Decimal] = {}
    for line in lines:
        sums[line.currency] = _EXACT.add(sums.get(line.currency, Decimal(0)), line.numerator)
    return {currency: round_amount(numerator) for currency, numerator in sums.items()}


def round_amount(numerator: Decimal) -> Decimal:
    """Return price × microseconds as an amount of money, rounded half-even to 6 places."""
    with localcontext(_WIDE):
        return (numerator / MICROSECONDS_PER_HOUR).quantize(PLACES)
