"""What credits pay: burnt from what was used, day by day in order of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from aiplatform_hub.domain.budgets import Scope
from aiplatform_hub.domain.charges import Charge
from aiplatform_hub.domain.credits import Credit, Paid, Payment, burn, concerning, paid_after
from aiplatform_hub.domain.rates import midnights, split
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.database import Connection

_FILTERS = {Scope.PERSON: "user", Scope.PROJECT: "project", Scope.COST_CENTRE: "cost_centre"}
_KEYS: Mapping[str, Callable[[Charge], object]] = {
    "user": lambda charge: charge.user_name,
    "project": lambda charge: charge.project,
    "cost_centre": lambda charge: charge.cost_centre,
    "environment_template": lambda charge: charge.environment_template,
    "gpu_type": lambda charge: charge.gpu_type,
    "allocation": lambda charge: charge.allocation_id,
}


class CreditReader:
    """Tells what credits pay. The same ledger, cards and credits give the same payments, in any process and at any time."""

    def __init__(self, *, charges: ChargeReader, credits_: CreditStore) -> None:
        self._charges = charges
        self._credits = credits_

    def payments(self, connection: Connection, start: datetime, end: datetime, *, filters: Mapping[str, Any] | None = None) -> Iterator[Payment]:
        """Stream what credits pay for use inside ``[start, end)``, day by day; memory grows with a day, not with the span.

        What was used since those credits were given is read too, and nothing where there are none.

        Parameters
        ----------
        connection
            A read transaction, held until the last payment was taken.
        start, end
            Aware UTC, half-open.
        filters
            Of the charges that are paid for, as in :meth:`ChargeReader.charges`.
        """
        found = concerning(self._credits.all(connection), start, end)
        if not found:
            return
        paid: Paid = {}
        for payments in self.burnt(connection, found, min(start, *(each.starts_at for each in found)), start, paid):
            paid = paid_after(paid, payments)
        for payments in self.burnt(connection, found, start, end, paid):
            yield from (payment for payment in payments if _fits(payment.charge, filters or {}))

    def burnt(self, connection: Connection, credits_: Sequence[Credit], start: datetime, end: datetime, paid: Paid) -> Iterator[tuple[Payment, ...]]:
        """Yield what some credits pay inside ``[start, end)``, one day after the other.

        Parameters
        ----------
        credits_
            Those that payments of the span depend on.
        paid
            What they have paid before the span.
        """
        scopes = {each.scope for each in credits_}
        only = {_FILTERS[scope]: frozenset(each.name for each in credits_) for scope in scopes} if len(scopes) == 1 else {}
        for low, high in split(start, end, midnights(start, end)):
            if paying := [each for each in credits_ if each.overlaps(low, high)]:
                payments = burn(paying, self._charges.charges(connection, low, high, filters=only), paid)
                paid = paid_after(paid, payments)
                yield payments


def _fits(charge: Charge, filters: Mapping[str, Any]) -> bool:
    for name, value in filters.items():
        mine = _KEYS[name](charge)
        if not (mine in value if isinstance(value, frozenset) else mine == value):
            return False
    return True
