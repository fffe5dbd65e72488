"""What single sessions have cost until now: the same charges as in every report, without what else a report says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charge_report import PLACES
from aiplatform_hub.domain.rates import card_at
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.storage.database import Connection


@dataclass(frozen=True, slots=True)
class SessionCost:
    """An amount, rounded half-even to the places of reports, with its currency."""

    amount: Decimal
    currency: str


class SessionCosts:
    """Reads costs of sessions, in the transaction of whoever asks."""

    def __init__(self, *, charges: ChargeReader, cards: Callable[[], tuple[RateCard, ...]]) -> None:
        self._charges = charges
        self._cards = cards

    def of(self, connection: Connection, sessions: Iterable[Allocation], now: datetime) -> dict[UUID, SessionCost]:
        """Return the cost of each that started, until now; of one that two currencies were charged for, the last of them by name."""
        started = {a.id: a.started_at for a in sessions if a.started_at is not None and a.started_at < now}
        if not started:
            return {}
        free = card_at(self._cards(), now).currency
        sums: dict[UUID, dict[str, Fraction]] = {id_: {} for id_ in started}
        for charge in self._charges.charges(connection, min(started.values()), now, filters={"allocation": frozenset(started)}):
            of_one = sums[charge.allocation_id]
            of_one[charge.currency] = of_one.get(charge.currency, Fraction(0)) + charge.amount
        return {id_: _cost(amounts or {free: Fraction(0)}) for id_, amounts in sums.items()}


def _cost(amounts: dict[str, Fraction]) -> SessionCost:
    currency = max(amounts)
    return SessionCost(rounded(amounts[currency], PLACES), currency)
