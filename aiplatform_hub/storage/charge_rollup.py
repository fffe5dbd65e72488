"""What closed days were charged, and what says whether that still holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, func, insert, literal_column, select, update

from aiplatform_hub.domain.charge_sums import NOBODY, ActivitySum, ChargeSum, RolledDay
from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.units import from_microseconds
from aiplatform_hub.storage.charge_rollup_tables import charge_activity, charge_days, charge_rollup, charge_sums
from aiplatform_hub.storage.numbers import DAY_MICROSECONDS, number
from aiplatform_hub.storage.schema import usage_intervals as intervals

_NAME = "ledger"
_MILLION = 1_000_000
"""Sums of large numbers are made of two parts, so that none leaves 63 bits."""
_AT_ONCE = 1_000
"""Rows of one statement, so that a large day takes no more memory than a small one."""
COLUMNS = ("cost_centre", "project", "user", "environment_template", "gpu_type")
"""What sums can be grouped and filtered by, beside their day."""
_PRICES = ("sku", "list_price", "price", "currency", "rate_card", "period_microseconds")
_CHARGED = ("unit_microseconds", "session_microseconds", "estimated_microseconds")
_KNOWN = ("used_gpu_microseconds", "idle_gpu_microseconds")

_first_day = (number(intervals.c.started_at) // DAY_MICROSECONDS).label("first_day")
_last_day = ((number(intervals.c.ended_at) - 1) // DAY_MICROSECONDS).label("last_day")
_CHANGED = select(_first_day, _last_day).where(intervals.c.sequence > bindparam("after"), intervals.c.sequence <= bindparam("upto")).distinct()
_STATE = select(charge_rollup.c.sequence, charge_rollup.c.changes).where(charge_rollup.c.name == _NAME)
_HEAD = select(func.max(intervals.c.sequence))
_OPEN = select(intervals.c.started_at, intervals.c.last_seen_at).where(intervals.c.ended_at.is_(None)).order_by(intervals.c.started_at)


@dataclass(frozen=True, slots=True)
class RollupState:
    """How far the days know of what changed the past."""

    sequence: int = 0
    """Row of the ledger's chain."""
    changes: int = 0
    """How often something else than the end of an interval did."""


@dataclass(frozen=True, slots=True)
class SumsQuery:
    """Half-open spans of whole UTC days, with grouping and filters."""

    spans: Sequence[tuple[datetime, datetime]]
    columns: Collection[str] = ()
    """Names among :data:`COLUMNS`; the others are left empty."""
    by_day: bool = False
    filters: Mapping[str, Any] | None = None
    """Value by column; a frozen set means any of its values."""

    @property
    def by_person(self) -> bool:
        """Whether people matter."""
        return "user" in self.columns or "user" in (self.filters or {})


class ChargeRollupStore:
    """Rows of the tables ``charge_days``, ``charge_sums``, ``charge_activity`` and ``charge_rollup``."""

    def state(self, connection: Connection) -> RollupState:
        """Return how far the days know of changes."""
        row = connection.execute(_STATE).one_or_none()
        return RollupState() if row is None else RollupState(row.sequence, row.changes)

    def ledger_head(self, connection: Connection) -> int:
        """Return the newest row of the ledger's chain; 0 if there is none."""
        return int(connection.execute(_HEAD).scalar() or 0)

    def advance(self, connection: Connection, sequence: int) -> None:
        """Store up to which row of the chain the days know of what ended."""
        connection.execute(update(charge_rollup).where(charge_rollup.c.name == _NAME).values(sequence=sequence))

    def lock(self, connection: Connection) -> RollupState:
        """Return the same, and keep the past from changing until the end of the transaction."""
        connection.execute(update(charge_rollup).where(charge_rollup.c.name == _NAME).values(changes=charge_rollup.c.changes))
        return self.state(connection)

    def changed_days(self, connection: Connection, after: int, upto: int) -> tuple[tuple[int, int], ...]:
        """Return the first and the last day, as days since the epoch, of intervals that ended between two rows of the chain, the first one left out."""
        if after >= upto:
            return ()
        return tuple((int(row.first_day), int(row.last_day)) for row in connection.execute(_CHANGED, {"after": after, "upto": upto}))

    def open_intervals(self, connection: Connection) -> tuple[tuple[datetime, datetime], ...]:
        """Return when each open interval began and its last proof of life, the oldest first."""
        return tuple((row.started_at, row.last_seen_at or row.started_at) for row in connection.execute(_OPEN))

    def first_start(self, connection: Connection) -> datetime | None:
        """Return when the oldest interval began."""
        found = connection.execute(select(func.min(number(intervals.c.started_at)))).scalar()
        return None if found is None else from_microseconds(int(found))

    def days(self, connection: Connection, start: datetime | None = None, end: datetime | None = None) -> tuple[RolledDay, ...]:
        """Return the days that begin in a span, stale ones too, in order."""
        statement = select(charge_days).order_by(charge_days.c.day)
        if start is not None:
            statement = statement.where(charge_days.c.day >= start)
        if end is not None:
            statement = statement.where(charge_days.c.day < end)
        return tuple(RolledDay(row.day, row.open_intervals, row.cards, row.built_at, row.is_stale) for row in connection.execute(statement))

    def touch(self, connection: Connection, start: datetime, end: datetime) -> None:
        """Say that something in ``[start, end)`` is charged otherwise than before, in the transaction that changes it.

        The end of an interval needs no such word: the chain tells. Days that were rolled up are read from the ledger until they are made anew.
        """
        connection.execute(
            update(charge_rollup).where(charge_rollup.c.name == _NAME).values(changes=charge_rollup.c.changes + 1)
        )  # first: it waits for a day being made
        self.mark_stale(connection, [day.start for day in self.days(connection, _midnight(start), end)])

    def mark_stale(self, connection: Connection, days: Iterable[datetime]) -> None:
        """Say that some days have changed."""
        for day in days:
            connection.execute(update(charge_days).where(charge_days.c.day == day).values(is_stale=True))

    def replace(self, connection: Connection, day: RolledDay, sums: Mapping[bool, Sequence[ChargeSum]], activity: Mapping[bool, Sequence[ActivitySum]]) -> None:
        """Store a day with its sums, by person and without people, in the place of what was stored of it."""
        self.forget(connection, day.start)
        for by_person in (False, True):
            stored: tuple[tuple[Table, Sequence[ChargeSum | ActivitySum]], ...] = ((charge_sums, sums[by_person]), (charge_activity, activity[by_person]))
            for table, found in stored:
                rows = (_row(one, by_person=by_person, position=position) for position, one in enumerate(found))
                while batch := list(islice(rows, _AT_ONCE)):
                    connection.execute(insert(table), batch)
        connection.execute(
            insert(charge_days).values(day=day.start, open_intervals=day.open_intervals, cards=day.cards, built_at=day.built_at, is_stale=day.is_stale)
        )

    def forget(self, connection: Connection, day: datetime) -> None:
        """Delete a day with its sums."""
        for table in (charge_sums, charge_activity):
            connection.execute(delete(table).where(table.c.by_person.in_([False, True]), table.c.day == day))
        connection.execute(delete(charge_days).where(charge_days.c.day == day))

    def sums(self, connection: Connection, query: SumsQuery) -> Iterator[ChargeSum]:
        """Stream what was charged, in the groups of a query."""
        for found in _rows(connection, charge_sums, query, _PRICES, _CHARGED):
            found |= {"sku": Sku(found["sku"]), "list_price": _price(found["list_price"]), "price": _price(found["price"])}
            yield ChargeSum(**found)

    def activity(self, connection: Connection, query: SumsQuery) -> Iterator[ActivitySum]:
        """Stream what is known of the use of GPUs, in the groups of a query."""
        for found in _rows(connection, charge_activity, query, ("currency",), _KNOWN):
            yield ActivitySum(**found)


def _midnight(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)


def _row(one: ChargeSum | ActivitySum, *, by_person: bool, position: int) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(one, name) for name in one.__slots__ if name != "start"}
    for name in ("list_price", "price"):
        if name in values:
            values[name] = str(values[name])
    if isinstance(one, ChargeSum):
        values["sku"] = one.sku.value
    return {"by_person": by_person, "day": one.start, "number": position, **values}


def _rows(connection: Connection, table: Table, query: SumsQuery, fixed: Sequence[str], amounts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Stream the sums of a table as the fields of their values."""
    names = [*(_field(name) for name in query.columns), *fixed, *(("start",) if query.by_day else ())]
    for span in query.spans:
        empty = {**_EMPTY, "start": span[0]}
        for row in connection.execute(_statement(table, query, span, fixed, amounts)):
            parts = iter(row[len(names) :])
            yield {**empty, **dict(zip(names, row, strict=False)), **{name: int(next(parts)) * _MILLION + int(next(parts)) for name in amounts}}


def _statement(table: Table, query: SumsQuery, span: tuple[datetime, datetime], fixed: Sequence[str], amounts: Sequence[str]) -> Any:
    keys: list[ColumnElement[Any]] = [_column(table, name) for name in query.columns]
    keys += [table.c[name] for name in fixed]
    if query.by_day:
        keys.append(table.c.day)
    sums = [
        part
        for name in amounts
        for part in (func.sum(table.c[name] // _MILLION).label(f"{name}_high"), func.sum(table.c[name] % _MILLION).label(f"{name}_low"))
    ]
    statement = select(*keys, *sums).where(table.c.day >= span[0], table.c.day < span[1])
    if "user" not in (query.filters or {}):  # whoever asks for somebody finds the rows by the name, which rows without people do not have
        statement = statement.where(table.c.by_person == query.by_person)
    for name, value in (query.filters or {}).items():
        column = _column(table, name)
        statement = statement.where(column.in_(value) if isinstance(value, frozenset) else column == value)
    return statement.group_by(*[literal_column(str(position)) for position in range(1, len(keys) + 1)]).execution_options(yield_per=_AT_ONCE)


def _field(name: str) -> str:
    return "user_name" if name == "user" else name


def _column(table: Table, name: str) -> ColumnElement[Any]:
    return table.c[_field(name)]


@lru_cache(maxsize=1_000)
def _price(text: str) -> Decimal:
    return Decimal(text)


_EMPTY: Mapping[str, str | None] = {**{_field(name): NOBODY for name in COLUMNS}, "gpu_type": None}
