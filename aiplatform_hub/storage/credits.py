"""Credits, and what each has paid at the keeper's last look."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, insert, or_, select, update

from aiplatform_hub.domain.budgets import Scope
from aiplatform_hub.domain.credits import Credit
from aiplatform_hub.storage.credit_tables import credit_balances, credits_

_SAME = (
    *("id", "name", "amount_micros", "currency", "priority", "starts_at", "expires_at"),
    *("reason", "created_by", "created_at", "ended_at"),
)


@dataclass(frozen=True, slots=True)
class Balance:
    """A credit with what it has paid."""

    credit: Credit
    paid_micros: int = 0
    as_of: datetime | None = None
    """Use before this instant is counted; None before the keeper's first look."""

    @property
    def left_micros(self) -> int:
        """What it can still pay if it has not expired; never negative."""
        return max(0, self.credit.amount_micros - self.paid_micros)

    def state(self, now: datetime) -> str:
        """Return how it stands: ``to_come``, ``active``, ``used_up``, ``expired`` or ``ended``."""
        if self.credit.ended_at is not None and self.credit.until == self.credit.ended_at:
            return "ended"
        if self.credit.until <= now:
            return "expired"
        if now < self.credit.starts_at:
            return "to_come"
        return "active" if self.left_micros else "used_up"


class CreditStore:
    """Rows of the tables ``credits`` and ``credit_balances``."""

    def insert(self, connection: Connection, credit: Credit) -> None:
        """Store a credit."""
        connection.execute(insert(credits_).values(**{name: getattr(credit, name) for name in _SAME}, scope=credit.scope.value))

    def find(self, connection: Connection, id_: UUID) -> Credit | None:
        """Return one, ended ones too."""
        row = connection.execute(select(credits_).where(credits_.c.id == id_)).mappings().one_or_none()
        return None if row is None else _credit(row)

    def end(self, connection: Connection, id_: UUID, at: datetime) -> bool:
        """End one; False if it has ended."""
        return bool(connection.execute(update(credits_).where(credits_.c.id == id_, credits_.c.ended_at.is_(None)).values(ended_at=at)).rowcount)

    def all(self, connection: Connection) -> tuple[Credit, ...]:
        """Return every credit that was ever given."""
        return tuple(_credit(row) for row in connection.execute(select(credits_).order_by(credits_.c.created_at, credits_.c.id)).mappings())

    def balances(self, connection: Connection) -> tuple[Balance, ...]:
        """Return every credit with what it has paid, in burn order."""
        return self._balances(connection)

    def of_any(self, connection: Connection, user_name: str, projects: Collection[str], cost_centres: Collection[str], now: datetime) -> tuple[Balance, ...]:
        """Return the credits of a person, of some projects and of some cost centres that pay now or will, in burn order."""
        whose = or_(
            and_(credits_.c.scope == Scope.PERSON.value, credits_.c.name == user_name),
            and_(credits_.c.scope == Scope.PROJECT.value, credits_.c.name.in_(projects)),
            and_(credits_.c.scope == Scope.COST_CENTRE.value, credits_.c.name.in_(cost_centres)),
        )
        return self._balances(connection, whose, credits_.c.ended_at.is_(None), or_(credits_.c.expires_at.is_(None), credits_.c.expires_at > now))

    def put_balance(self, connection: Connection, id_: UUID, paid_micros: int, as_of: datetime) -> None:
        """Store what a credit has paid for use before an instant."""
        values: dict[str, Any] = {"paid_micros": paid_micros, "as_of": as_of}
        if not connection.execute(update(credit_balances).where(credit_balances.c.credit_id == id_).values(**values)).rowcount:
            connection.execute(insert(credit_balances).values(credit_id=id_, **values))

    @staticmethod
    def _balances(connection: Connection, *where: ColumnElement[bool]) -> tuple[Balance, ...]:
        statement = select(credits_, credit_balances.c.paid_micros, credit_balances.c.as_of).outerjoin(credit_balances).where(*where)
        found = [Balance(_credit(row), row["paid_micros"] or 0, row["as_of"]) for row in connection.execute(statement).mappings()]
        return tuple(sorted(found, key=lambda each: each.credit.order))


def _credit(row: RowMapping) -> Credit:
    return Credit(**{name: row[name] for name in _SAME}, scope=Scope(row["scope"]))
