"""Keeps what was spent on each of the last days for each budget, from which the day is forecast on which it is spent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from aiplatform_hub.domain.budgets import MICROS, Budget, Scope
from aiplatform_hub.domain.charges import Charge
from aiplatform_hub.domain.runway import DAYS
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.database import Connection, Database

LATE = timedelta(minutes=10)
"""Time after a day's end from which what runs was seen since: then the day is over."""
_DAY = timedelta(days=1)
_FILTERS = {Scope.PERSON: "user", Scope.PROJECT: "project", Scope.COST_CENTRE: "cost_centre"}
_Payer = tuple[Scope, str, str]
"""Scope, name and currency of a budget."""


class BudgetDays:
    """Adds the days that are missing, each once: what changes in a day later changes no forecast."""

    def __init__(self, *, database: Database, budgets: BudgetStore, charges: ChargeReader, credit_reader: CreditReader, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._budgets = budgets
        self._charges = charges
        self._credit_reader = credit_reader
        self._clock = clock

    def refresh(self) -> int:
        """Store the days that are missing; return how many were. May be repeated, by several processes.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        now = self._clock()
        last = midnight(now - LATE)
        days = [last - each * _DAY for each in range(DAYS, 0, -1)]
        with self._database.read() as connection:
            standing = {each.budget.id: each.budget for each in self._budgets.standing(connection, now)}
            known = self._budgets.days(connection, tuple(standing), days[0]) if standing else {}
            missing = [(id_, day) for id_ in standing for day in days if day not in known.get(id_, {})]
            if not missing:
                return 0
            start = min(day for _, day in missing)
            spent = self._spent(connection, [standing[id_] for id_ in dict.fromkeys(id_ for id_, _ in missing)], start, last)
        rows = [(id_, day, spent.get((_payer(standing[id_]), day), 0)) for id_, day in missing]
        with self._database.write() as connection:
            self._budgets.add_days(connection, rows, days[0])
        return len(rows)

    def _spent(self, connection: Connection, some: Sequence[Budget], start: datetime, end: datetime) -> dict[tuple[_Payer, datetime], int]:
        wanted, scopes = {_payer(budget) for budget in some}, {budget.scope for budget in some}
        filters = {_FILTERS[scope]: frozenset(budget.name for budget in some) for scope in scopes} if len(scopes) == 1 else None
        sums: dict[tuple[_Payer, datetime], Fraction] = defaultdict(Fraction)

        def add(charge: Charge, at: datetime, amount: Fraction) -> None:
            for scope, name in ((Scope.PERSON, charge.user_name), (Scope.PROJECT, charge.project), (Scope.COST_CENTRE, charge.cost_centre)):
                payer = (scope, name, charge.currency)
                if payer in wanted:
                    sums[payer, midnight(at)] += amount

        for charge in self._charges.charges(connection, start, end, filters=filters):
            add(charge, charge.start, charge.amount)
        for payment in self._credit_reader.payments(connection, start, end, filters=filters):
            add(payment.charge, payment.start, -payment.amount)
        return {key: max(0, round(amount * MICROS)) for key, amount in sums.items()}


def _payer(budget: Budget) -> _Payer:
    return budget.scope, budget.name, budget.currency


def midnight(instant: datetime) -> datetime:
    """Return the beginning of an instant's day in UTC."""
    return instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
