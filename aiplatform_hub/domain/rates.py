"""Which price holds when. Spans are half-open, instants aware UTC, money Decimal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from aiplatform_hub.domain.catalog import ANY_GPU_TYPE, RateCard
from aiplatform_hub.errors import ConfigurationError

_DAY = timedelta(days=1)


def card_at(cards: Sequence[RateCard], instant: datetime) -> RateCard:
    """Return the card in force at an instant; the first card also prices what was before it.

    Raises
    ------
    ValueError
        If there is no card at all.
    """
    if not cards:
        raise ValueError("there is no rate card")
    begun = [card for card in cards if card.effective_from <= instant]
    return max(begun, key=lambda card: card.effective_from) if begun else min(cards, key=lambda card: card.effective_from)


def boundaries(cards: Sequence[RateCard], start: datetime, end: datetime) -> tuple[datetime, ...]:
    """Return the instants strictly inside ``[start, end)`` at which another card comes into force, in order."""
    first = min((card.effective_from for card in cards), default=end)
    return tuple(sorted({card.effective_from for card in cards if start < card.effective_from < end and card.effective_from != first}))


def midnights(start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the UTC midnights strictly inside ``[start, end)``, month ends among them, in order."""
    day = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    while day < end:
        yield day
        day += _DAY


def months(start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the instants strictly inside ``[start, end)`` at which a calendar month (UTC) begins, in order."""
    month = next_month(start)
    while month < end:
        yield month
        month = next_month(month)


def next_month(instant: datetime) -> datetime:
    """Return when the calendar month (UTC) after that of an instant begins."""
    first = instant.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)


def split(start: datetime, end: datetime, edges: Iterable[datetime]) -> tuple[tuple[datetime, datetime], ...]:
    """Cut ``[start, end)`` at the edges inside it; the pieces touch and together are the whole. Empty if the span is."""
    if start >= end:
        return ()
    inside = sorted({edge for edge in edges if start < edge < end})
    return tuple(zip([start, *inside], [*inside, end], strict=True))


def unit_price(card: RateCard, gpu_type: str | None) -> Decimal:
    """Return the price of one hour of one GPU of a type, or of an environment without GPUs for None.

    Raises
    ------
    ConfigurationError
        If the card prices neither the type nor every other type.
    """
    if gpu_type is None:
        return card.cpu_only_hour
    price = card.gpu_hour.get(gpu_type, card.gpu_hour.get(ANY_GPU_TYPE))
    if price is None:
        raise ConfigurationError(f'The rate card {card.version} has no price for the GPU type {gpu_type}; add it, or "*" for every other type, to rates.yaml.')
    return price


def price_per_hour(gpus: int, gpu_type: str | None, card: RateCard) -> Decimal:
    """Return what one hour of an environment with these GPUs costs.

    Raises
    ------
    ConfigurationError
        As :func:`unit_price`.
    """
    return unit_price(card, gpu_type or ANY_GPU_TYPE) * gpus if gpus else card.cpu_only_hour
