"""Budgets, how they stand, and what sessions hold of them. Whoever changes what is held or committed has taken the decisions' lock before."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, bindparam, delete, exists, insert, or_, select, update

from aiplatform_hub.domain.budgets import AtLimit, Budget, Claim, Scope, Spending
from aiplatform_hub.storage.budget_periods import is_not_over, is_standing, restate
from aiplatform_hub.storage.budget_rows import budget_of, budget_row, spending_of
from aiplatform_hub.storage.budget_tables import budget_days, budget_holds, budget_periods, budgets
from aiplatform_hub.storage.schema import allocations

_PERIOD = budget_periods.c


@dataclass(frozen=True, slots=True)
class Payer:
    """Who and what a session is paid from."""

    user_name: str
    project: str
    cost_centre: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget with how its present period stands."""

    budget: Budget
    spending: Spending
    limit_micros: int
    """Of this period: it stays what it was when the budget is changed."""
    daily_micros: tuple[int, ...] = ()
    """What was spent on each of the last days that are over, the oldest first; empty where nobody asked."""

    @classmethod
    def new(cls, budget: Budget) -> Standing:
        """Return a budget of which nothing is taken."""
        return cls(budget, Spending(), budget.amount_micros)


@dataclass(frozen=True, slots=True)
class Hold:
    """What one session holds of one period of a budget."""

    id: int
    period_id: int
    allocation_id: UUID
    held_micros: int
    committed_micros: int


@dataclass(frozen=True, slots=True)
class Present:
    """The present period of a budget, with what was told of it."""

    period_id: int
    budget: Budget
    spending: Spending
    limit_micros: int
    told_percent: int
    """The highest soft limit of which people were told in this period; 0 for none."""
    spent_at: datetime | None
    """Since when what was used has reached the limit."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A hold with what it takes to settle it. Instants are aware UTC."""

    hold: Hold
    starts_at: datetime
    ends_at: datetime | None
    currency: str
    state: str
    """Of the session."""
    is_over: bool
    """Whether the budget itself was ended."""


def pays(user_name: object, project: object, cost_centre: object) -> ColumnElement[bool]:
    """Return the condition that a budget is one of those that a session is paid from."""
    return or_(
        and_(budgets.c.scope == Scope.PERSON.value, budgets.c.name == user_name),
        and_(budgets.c.scope == Scope.PROJECT.value, budgets.c.name == project),
        and_(budgets.c.scope == Scope.COST_CENTRE.value, budgets.c.name == cost_centre),
    )


_NOW = bindparam("now", type_=budgets.c.starts_at.type)
_IS_PRESENT = and_(_PERIOD.budget_id == budgets.c.id, _PERIOD.starts_at <= _NOW, or_(_PERIOD.ends_at.is_(None), _PERIOD.ends_at > _NOW))
_STANDS = (_PERIOD.committed_micros, _PERIOD.held_micros, _PERIOD.overdraft_micros, _PERIOD.moved_micros, _PERIOD.storage_micros, _PERIOD.credit_micros)
_ALL = select(budgets, *_STANDS, _PERIOD.limit_micros).outerjoin(budget_periods, _IS_PRESENT).order_by(budgets.c.scope, budgets.c.name)
_STANDING = _ALL.where(is_standing(_NOW))
_TO_SHOW = _ALL.where(is_not_over(_NOW))
_OF_PAYER = _STANDING.where(pays(bindparam("user_name"), bindparam("project"), bindparam("cost_centre")))


class BudgetStore:
    """Rows of the tables ``budgets``, ``budget_periods`` and ``budget_holds``."""

    def insert(self, connection: Connection, budget: Budget) -> None:
        """Store a budget.

        Raises
        ------
        TakenError
            If this cost centre, project or person has one.
        """
        connection.execute(insert(budgets).values(**budget_row(budget)))

    def find(self, connection: Connection, budget_id: UUID) -> Budget | None:
        """Return a budget, ended ones too."""
        row = connection.execute(select(budgets).where(budgets.c.id == budget_id)).mappings().one_or_none()
        return None if row is None else budget_of(row)

    def unended(self, connection: Connection, scope: Scope, name: str) -> Budget | None:
        """Return the one budget of a cost centre, project or person that nobody has ended: it counts, is to come, or is past its own end."""
        mine = (budgets.c.scope == scope.value, budgets.c.name == name, budgets.c.ended_at.is_(None))
        row = connection.execute(select(budgets).where(*mine)).mappings().one_or_none()
        return None if row is None else budget_of(row)

    def end(self, connection: Connection, budget_id: UUID, at: datetime) -> bool:
        """End a budget; False if it has ended."""
        return bool(connection.execute(update(budgets).where(budgets.c.id == budget_id, budgets.c.ended_at.is_(None)).values(ended_at=at)).rowcount)

    def standing(self, connection: Connection, now: datetime) -> tuple[Standing, ...]:
        """Return every budget that counts at an instant, with how it stands."""
        return tuple(_standing(row) for row in connection.execute(_STANDING, {"now": now}).mappings())

    def to_show(self, connection: Connection, now: datetime) -> tuple[Standing, ...]:
        """Return every budget that counts at an instant or is to come, with how it stands."""
        return tuple(_standing(row) for row in connection.execute(_TO_SHOW, {"now": now}).mappings())

    def of(self, connection: Connection, payer: Payer, now: datetime) -> tuple[Standing, ...]:
        """Return the budgets that a session would be paid from, with how they stand."""
        values = {"now": now, "user_name": payer.user_name, "project": payer.project, "cost_centre": payer.cost_centre}
        return tuple(_standing(row) for row in connection.execute(_OF_PAYER, values).mappings())

    def of_any(self, connection: Connection, user_name: str, projects: Collection[str], cost_centres: Collection[str], now: datetime) -> tuple[Standing, ...]:
        """Return the budgets of a person, of some projects and of some cost centres, with how they stand."""
        whose = or_(
            and_(budgets.c.scope == Scope.PERSON.value, budgets.c.name == user_name),
            and_(budgets.c.scope == Scope.PROJECT.value, budgets.c.name.in_(projects)),
            and_(budgets.c.scope == Scope.COST_CENTRE.value, budgets.c.name.in_(cost_centres)),
        )
        return tuple(_standing(row) for row in connection.execute(_STANDING.where(whose), {"now": now}).mappings())

    def hold(self, connection: Connection, allocation_id: UUID, claims: Iterable[Claim], now: datetime) -> None:
        """Hold what a session wants of each budget. The database refuses what is more than the limit.

        Raises
        ------
        TakenError
            If a budget has less left.
        """
        for claim in claims:
            period_id = self.period(connection, claim.budget_id, now)
            if period_id is None:
                continue
            before = self._begun(connection, period_id, allocation_id, now)
            held = _PERIOD.held_micros + claim.wanted_micros - before.held_micros
            connection.execute(update(budget_periods).where(_PERIOD.id == period_id).values(held_micros=held))
            connection.execute(update(budget_holds).where(budget_holds.c.id == before.id).values(held_micros=claim.wanted_micros, settled_at=None))

    def _begun(self, connection: Connection, period_id: int, allocation_id: UUID, now: datetime) -> Hold:
        """Return what a session holds of a period, made with nothing if it has none yet: a hold that went back to the queue comes again."""
        known = select(budget_holds).where(budget_holds.c.allocation_id == allocation_id, budget_holds.c.period_id == period_id)
        row = connection.execute(known).mappings().one_or_none()
        if row is None:
            values = {"period_id": period_id, "allocation_id": allocation_id, "at": now, "held_micros": 0, "committed_micros": 0}
            row = connection.execute(insert(budget_holds).values(**values).returning(budget_holds)).mappings().one()
        return _hold(row)

    def release(self, connection: Connection, allocation_id: UUID, now: datetime) -> int:
        """Give back what a session holds and has not used; return how many budgets that changed."""
        unsettled = select(budget_holds).where(budget_holds.c.allocation_id == allocation_id, budget_holds.c.settled_at.is_(None))
        holds = [_hold(row) for row in connection.execute(unsettled).mappings()]
        for hold in holds:
            restate(connection, hold.period_id, held_micros=-hold.held_micros)
            connection.execute(update(budget_holds).where(budget_holds.c.id == hold.id).values(held_micros=0, settled_at=now))
        return len(holds)

    def unsettled(self, connection: Connection, allocation_ids: Iterable[UUID] | None = None) -> tuple[Unsettled, ...]:
        """Return what is held and not settled, of some sessions or of all, with its period and how its session is."""
        statement = (
            select(
                budget_holds,
                _PERIOD.starts_at,
                _PERIOD.ends_at,
                budgets.c.currency,
                budgets.c.ended_at.label("budget_ended_at"),
                allocations.c.state,
            )
            .join(budget_periods, _PERIOD.id == budget_holds.c.period_id)
            .join(budgets, budgets.c.id == _PERIOD.budget_id)
            .join(allocations, allocations.c.id == budget_holds.c.allocation_id)
            .where(budget_holds.c.settled_at.is_(None))
            .order_by(budget_holds.c.period_id, budget_holds.c.id)
        )
        if allocation_ids is not None:
            statement = statement.where(budget_holds.c.allocation_id.in_(list(allocation_ids)))
        return tuple(
            Unsettled(
                hold=_hold(row),
                starts_at=row["starts_at"],
                ends_at=row["ends_at"],
                currency=row["currency"],
                state=row["state"],
                is_over=row["budget_ended_at"] is not None,
            )
            for row in connection.execute(statement).mappings()
        )

    def uncounted(self, connection: Connection, now: datetime) -> tuple[tuple[UUID, UUID], ...]:
        """Return open sessions with a budget that they are paid from and do not count in: it is newer, or its period has begun since."""
        counts = exists().where(budget_holds.c.allocation_id == allocations.c.id, budget_holds.c.period_id == _PERIOD.id, _IS_PRESENT)
        paid = pays(allocations.c.user_name, allocations.c.project, allocations.c.cost_centre)
        statement = (
            select(allocations.c.id, budgets.c.id.label("budget_id"))
            .join(budgets, paid)
            .where(allocations.c.state.in_(("held", "active")), is_standing(_NOW), ~counts.correlate(allocations, budgets))
            .order_by(allocations.c.requested_at, allocations.c.id)
        )
        return tuple((row.id, row.budget_id) for row in connection.execute(statement, {"now": now}))

    def without_earlier(self, connection: Connection, now: datetime) -> tuple[Budget, ...]:
        """Return the budgets that count now and do not count yet what ended in their period before they were set."""
        statement = select(budgets).where(budgets.c.earlier_counted_at.is_(None), is_standing(_NOW)).order_by(budgets.c.created_at, budgets.c.id)
        return tuple(budget_of(row) for row in connection.execute(statement, {"now": now}).mappings())

    def earlier(self, connection: Connection, budget: Budget, start: datetime, now: datetime) -> tuple[UUID, ...]:
        """Return sessions that a budget would have paid for since an instant, that have ended, and that do not count in its present period."""
        counts = exists().where(budget_holds.c.allocation_id == allocations.c.id, budget_holds.c.period_id == _PERIOD.id, _IS_PRESENT)
        whose = {Scope.PERSON: allocations.c.user_name, Scope.PROJECT: allocations.c.project, Scope.COST_CENTRE: allocations.c.cost_centre}[budget.scope]
        statement = (
            select(allocations.c.id)
            .join(budgets, budgets.c.id == budget.id)
            .where(whose == budget.name, allocations.c.state == "ended", allocations.c.started_at.is_not(None), allocations.c.ended_at > start)
            .where(~counts.correlate(allocations, budgets))
            .order_by(allocations.c.ended_at, allocations.c.id)
        )
        return tuple(connection.execute(statement, {"now": now}).scalars())

    def earlier_counted(self, connection: Connection, budget_id: UUID, at: datetime) -> None:
        """Note that what ended before a budget was set counts in it."""
        connection.execute(update(budgets).where(budgets.c.id == budget_id).values(earlier_counted_at=at))

    def count(self, connection: Connection, allocation_id: UUID, budget_id: UUID, now: datetime) -> None:
        """Count an open session in the present period of a budget from now on; it holds nothing of it before it has used it."""
        period_id = self.period(connection, budget_id, now)
        if period_id is not None:
            self._begun(connection, period_id, allocation_id, now)

    def commit(self, connection: Connection, hold: Hold, committed_micros: int, *, settled_at: datetime | None = None) -> int:
        """Record what a session has cost so far; return by how much its budget is overdrawn now.

        What it holds beside that shrinks by as much as it has used; with ``settled_at`` the rest is given back. A session that cost more than it
        held takes more of the budget, and what the budget does not have is recorded as overdraft.

        Parameters
        ----------
        committed_micros
            In all, never less than before.
        settled_at
            When it was settled for good: it has ended.
        """
        more = committed_micros - hold.committed_micros
        held = 0 if settled_at is not None else max(0, hold.held_micros - more)
        overdraft = restate(connection, hold.period_id, held_micros=held - hold.held_micros, session_micros=more)
        values = {"held_micros": held, "committed_micros": committed_micros, "settled_at": settled_at}
        connection.execute(update(budget_holds).where(budget_holds.c.id == hold.id).values(**values))
        return overdraft

    def note_spent(self, connection: Connection, now: datetime) -> int:
        """Note since when present periods are spent, and which are not any more: what was used has reached the limit. Return how many that changed."""
        present = and_(_PERIOD.starts_at <= now, or_(_PERIOD.ends_at.is_(None), _PERIOD.ends_at > now))
        is_spent, was_spent = _PERIOD.committed_micros >= _PERIOD.limit_micros, _PERIOD.spent_at.is_not(None)
        new = connection.execute(update(budget_periods).where(present, is_spent, ~was_spent).values(spent_at=now)).rowcount
        return new + connection.execute(update(budget_periods).where(present, ~is_spent, was_spent).values(spent_at=None)).rowcount

    def stops(self, connection: Connection, now: datetime) -> dict[UUID, datetime]:
        """Return sessions that a spent budget stops, each with the first instant at which one does."""
        statement = (
            select(budget_holds.c.allocation_id, _PERIOD.spent_at, budgets.c.grace_seconds)
            .join(budget_periods, _PERIOD.id == budget_holds.c.period_id)
            .join(budgets, _IS_PRESENT)
            .where(is_standing(_NOW), budgets.c.at_limit == AtLimit.STOP.value, _PERIOD.spent_at.is_not(None), budget_holds.c.settled_at.is_(None))
        )
        found: dict[UUID, datetime] = {}
        for row in connection.execute(statement, {"now": now}):
            at = row.spent_at + timedelta(seconds=row.grace_seconds)
            found[row.allocation_id] = min(at, found.get(row.allocation_id, at))
        return found

    def present(self, connection: Connection, now: datetime) -> tuple[Present, ...]:
        """Return the present periods of the budgets that count now, with what was told of them."""
        columns = (_PERIOD.id.label("period_id"), _PERIOD.limit_micros, *_STANDS)
        statement = (
            select(budgets, *columns, _PERIOD.told_percent, _PERIOD.spent_at).join(budget_periods, _IS_PRESENT).where(is_standing(_NOW)).order_by(_PERIOD.id)
        )
        return tuple(
            Present(row["period_id"], budget_of(row), spending_of(row), row["limit_micros"], row["told_percent"], row["spent_at"])
            for row in connection.execute(statement, {"now": now}).mappings()
        )

    def note_told(self, connection: Connection, period_id: int, percent: int) -> bool:
        """Note of which soft limit people are told; False if they were told of it, or of a higher one, before."""
        is_new = and_(_PERIOD.id == period_id, _PERIOD.told_percent < percent)
        return bool(connection.execute(update(budget_periods).where(is_new).values(told_percent=percent)).rowcount)

    def days(self, connection: Connection, budget_ids: Collection[UUID], since: datetime) -> dict[UUID, dict[datetime, int]]:
        """Return what was spent on each day since one that is known, by budget and midnight (UTC) of the day."""
        columns = budget_days.c
        statement = select(budget_days).where(columns.budget_id.in_(budget_ids), columns.day >= since).order_by(columns.budget_id, columns.day)
        found: dict[UUID, dict[datetime, int]] = {}
        for row in connection.execute(statement):
            found.setdefault(row.budget_id, {})[row.day] = row.spent_micros
        return found

    def add_days(self, connection: Connection, spent: Iterable[tuple[UUID, datetime, int]], before: datetime) -> None:
        """Store what was spent on days, and forget the days before an instant."""
        connection.execute(delete(budget_days).where(budget_days.c.day < before))
        for budget_id, day, micros in spent:
            connection.execute(delete(budget_days).where(budget_days.c.budget_id == budget_id, budget_days.c.day == day))
            connection.execute(insert(budget_days).values(budget_id=budget_id, day=day, spent_micros=micros))

    def period(self, connection: Connection, budget_id: UUID, now: datetime) -> int | None:
        """Return the present period of a budget, made if it is the first to ask; None if the budget does not count now."""
        budget = self.find(connection, budget_id)
        span = None if budget is None or budget.ended_at is not None else budget.span_at(now)
        if budget is None or span is None:
            return None
        known = select(_PERIOD.id).where(_PERIOD.budget_id == budget_id, _PERIOD.starts_at == span[0])
        found = connection.execute(known).scalar_one_or_none()
        if found is None:
            row = {"budget_id": budget_id, "starts_at": span[0], "ends_at": span[1], "limit_micros": budget.amount_micros}
            zero = {"committed_micros": 0, "held_micros": 0, "overdraft_micros": 0}
            found = connection.execute(insert(budget_periods).values(**row, **zero).returning(_PERIOD.id)).scalar_one()
        period_id: int = found
        return period_id


def _hold(row: RowMapping) -> Hold:
    return Hold(row["id"], row["period_id"], row["allocation_id"], row["held_micros"], row["committed_micros"])


def _standing(row: RowMapping) -> Standing:
    budget = budget_of(row)
    if row["limit_micros"] is None:
        return Standing.new(budget)
    return Standing(budget, spending_of(row), row["limit_micros"])
