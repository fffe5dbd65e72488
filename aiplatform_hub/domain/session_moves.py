"""Sessions that were charged to a project that was not theirs: moves, and the corrections that follow from them. Pure; nothing that was metered changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from uuid import UUID

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charges import Charge, Spans, charges
from aiplatform_hub.domain.usage import UsageInterval


@dataclass(frozen=True, slots=True)
class Account:
    """What a session is charged to."""

    project: str
    cost_centre: str


@dataclass(frozen=True, slots=True)
class SessionMove:
    """One session from one project to another. Rows are added, never changed: a mistake is another move."""

    allocation_id: UUID
    number: int
    """Of the session's moves, from 1 on; each begins where the one before ended."""
    source: Account
    target: Account
    started_at: datetime
    """When the session began, aware UTC: from here on its charges change, …"""
    ended_at: datetime
    """… up to here, exclusive."""
    at: datetime
    moved_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class MovedAmount:
    """What a move changes in one month and one currency, exact."""

    month: str
    """In UTC, such as ``2026-11``."""
    currency: str
    before: Fraction
    """What the project that the session leaves is given back."""
    after: Fraction
    """What the other project pays: its discounts may differ."""


def corrections(  # noqa: PLR0913  what a price depends on
    interval: UsageInterval, moves: Iterable[SessionMove], cards: Sequence[RateCard], until: datetime, *, tier: str | None = None, idle: Spans = ()
) -> Iterator[Charge]:
    """Yield what moves of a session change about one of its intervals, dated when the time was used.

    For each move in turn: every charge of where it was, with its units taken back, and every charge of where it is then, at that project's prices.

    Parameters
    ----------
    interval
        As it was metered.
    moves
        All of its session's, in their order.
    cards, until, tier, idle
        As for :func:`~aiplatform_hub.domain.charges.charges`.

    Raises
    ------
    ConfigurationError
        If a card prices neither the GPU type nor every other type.
    """
    present = interval
    for move in moves:
        for charge in charges(present, cards, until, tier=tier, idle=idle):
            yield replace(charge, units=-charge.units, is_correction=True)
        present = replace(interval, project=move.target.project, cost_centre=move.target.cost_centre)
        for charge in charges(present, cards, until, tier=tier, idle=idle):
            yield replace(charge, is_correction=True)


def moved_amounts(found: Iterable[Charge]) -> tuple[MovedAmount, ...]:
    """Return what the corrections of one move change, by month and currency."""
    sums: dict[tuple[str, str], tuple[Fraction, Fraction]] = {}
    for charge in found:
        key = (f"{charge.start:%Y-%m}", charge.currency)
        before, after = sums.get(key, (Fraction(0), Fraction(0)))
        sums[key] = (before - charge.amount, after) if charge.units < 0 else (before, after + charge.amount)
    return tuple(MovedAmount(month, currency, *amounts) for (month, currency), amounts in sorted(sums.items()))
