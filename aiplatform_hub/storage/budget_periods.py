"""How budgets stand in their periods. Whoever changes that has taken the decisions' lock before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, exists, func, or_, select, update

from aiplatform_hub.domain.budgets import Adjustment, Budget
from aiplatform_hub.storage.budget_rows import budget_of, spending_of
from aiplatform_hub.storage.budget_tables import budget_periods, budgets
from aiplatform_hub.storage.session_move_tables import session_moves

AFTER = timedelta(days=1)
"""For how long after its end a period is followed, as what was used is seen later."""
MARGIN = timedelta(minutes=10)
"""What is written at an instant may be seen by so much later."""
_PERIOD = budget_periods.c
_OF_PERIOD = ("committed_micros", "held_micros", "overdraft_micros", "moved_micros", "storage_micros", "credit_micros")
_SPAN = (_PERIOD.id.label("period_id"), _PERIOD.starts_at.label("period_starts_at"), _PERIOD.ends_at.label("period_ends_at"))
_COLUMNS = (*budgets.c, *_SPAN, *(_PERIOD[name] for name in _OF_PERIOD))


@dataclass(frozen=True, slots=True)
class Followed:
    """A period of a budget whose money is followed. Instants are aware UTC."""

    budget: Budget
    starts_at: datetime
    ends_at: datetime | None
    """Exclusive; None for ever."""
    period_id: int | None
    """None where nothing asked for it yet."""
    adjustment: Adjustment
    """As it stands."""

    @property
    def key(self) -> tuple[UUID, datetime]:
        """What it is known by."""
        return self.budget.id, self.starts_at


def is_not_over(now: object) -> ColumnElement[bool]:
    """Return the condition that a budget counts at an instant or is to come."""
    return and_(budgets.c.ended_at.is_(None), or_(budgets.c.ends_at.is_(None), budgets.c.ends_at > now))


def is_standing(now: object) -> ColumnElement[bool]:
    """Return the condition that a budget counts at an instant."""
    return and_(budgets.c.starts_at <= now, is_not_over(now))


def followed(connection: Connection, now: datetime) -> tuple[Followed, ...]:
    """Return the periods that money may still come to or go from: present ones, those that ended lately, and those with a session that was moved since."""
    present = {
        (budget.id, span[0]): (budget, *span)
        for row in connection.execute(select(budgets).where(is_standing(now)).order_by(budgets.c.created_at, budgets.c.id)).mappings()
        if (span := (budget := budget_of(row)).span_at(now)) is not None
    }
    rows = {(row["id"], row["period_starts_at"]): row for row in _periods(connection, now)}
    old = [_followed(budget_of(row), row["period_starts_at"], row["period_ends_at"], row) for key, row in rows.items() if key not in present]
    return (*(_followed(*span, rows.get(key)) for key, span in present.items()), *old)


def _periods(connection: Connection, now: datetime) -> list[RowMapping]:
    moves = session_moves.c
    is_moved = exists().where(moves.at > _PERIOD.followed_at, moves.ended_at > _PERIOD.starts_at, moves.started_at < _PERIOD.ends_at)
    is_present = or_(_PERIOD.ends_at.is_(None), _PERIOD.ends_at > now - AFTER)
    is_behind = or_(_PERIOD.followed_at.is_(None), _PERIOD.followed_at <= _PERIOD.ends_at, is_moved)
    statement = select(*_COLUMNS).join(budgets, budgets.c.id == _PERIOD.budget_id).where(budgets.c.ended_at.is_(None), or_(is_present, is_behind))
    return list(connection.execute(statement.order_by(_PERIOD.id)).mappings())


def _followed(budget: Budget, starts_at: datetime, ends_at: datetime | None, row: RowMapping | None) -> Followed:
    if row is None:
        return Followed(budget, starts_at, ends_at, None, Adjustment())
    return Followed(budget, starts_at, ends_at, row["period_id"], spending_of(row).adjustment)


def adjust(connection: Connection, period_id: int, adjustment: Adjustment, now: datetime) -> int:
    """Write what a period counts beside its sessions, in all; return by how much its budget is overdrawn then."""
    connection.execute(update(budget_periods).where(_PERIOD.id == period_id).values(followed_at=now - MARGIN))
    return restate(connection, period_id, adjustment=adjustment)


def count_moves(connection: Connection) -> int:
    """Return how many moves of sessions there are: they are never changed or taken away."""
    return connection.execute(select(func.count()).select_from(session_moves)).scalar_one()


def restate(connection: Connection, period_id: int, *, held_micros: int = 0, session_micros: int = 0, adjustment: Adjustment | None = None) -> int:
    """Change how a period stands; what is more than its limit then is overdraft, and no launch adds to it. Return the overdraft.

    Parameters
    ----------
    held_micros, session_micros
        What comes to what is held, and to what sessions have cost.
    adjustment
        What is counted beside, in all; None leaves it.
    """
    row = connection.execute(select(budget_periods).where(_PERIOD.id == period_id)).mappings().one()
    beside = adjustment or spending_of(row).adjustment
    held, sessions = row["held_micros"] + held_micros, row["session_micros"] + session_micros
    committed = max(0, sessions + beside.total_micros)
    overdraft: int = max(0, held + committed - row["limit_micros"])
    values = {"held_micros": held, "session_micros": sessions, "committed_micros": committed, "overdraft_micros": overdraft}
    values |= {"moved_micros": beside.moved_micros, "storage_micros": beside.storage_micros, "credit_micros": beside.credit_micros}
    connection.execute(update(budget_periods).where(_PERIOD.id == period_id).values(**values))
    return overdraft
