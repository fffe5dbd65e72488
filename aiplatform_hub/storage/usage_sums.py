"""Sums over the ledger, computed by the database. All amounts are whole microseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, case, func, literal_column, select

from aiplatform_hub.domain.units import EPOCH, from_microseconds, to_microseconds
from aiplatform_hub.storage.closed_sums import ClosedSums
from aiplatform_hub.storage.moved_sums import corrected
from aiplatform_hub.storage.numbers import DAY_MICROSECONDS, greatest, least, number, whole
from aiplatform_hub.storage.schema import usage_intervals as intervals

COLUMNS: dict[str, ColumnElement[Any]] = {
    "user": intervals.c.user_name,
    "project": intervals.c.project,
    "cost_centre": intervals.c.cost_centre,
    "environment_template": intervals.c.environment_template,
    "gpu_type": intervals.c.gpu_type,
    "allocation": intervals.c.allocation_id,
}
"""What sums can be grouped and filtered by, beside ``day`` and ``month``."""


@dataclass(frozen=True, slots=True)
class Sum:
    """One group of intervals, clipped to the span asked for."""

    keys: Mapping[str, Any]
    """Value of each group column; ``day`` is the UTC midnight it begins."""
    gpu_microseconds: int
    """Σ GPUs × time."""
    session_microseconds: int
    """Σ time."""
    estimated_microseconds: int
    """The part of ``session_microseconds`` in intervals whose end nobody saw."""
    intervals: int
    """Pieces of intervals in the group: one that spans two days counts in both."""


@dataclass(frozen=True, slots=True)
class SumQuery:
    """A half-open span in aware UTC, with grouping and filters."""

    start: datetime
    end: datetime
    group_by: Sequence[str] = ()
    filters: Mapping[str, Any] = field(default_factory=dict)
    """Value by column; a frozen set means any of its values."""
    by_day: bool = False
    """Whether to group by UTC day too."""


@dataclass(frozen=True, slots=True)
class Span:
    """The instants between which a row counts, as whole numbers."""

    start: ColumnElement[Any]
    end: ColumnElement[Any]


def closed_span(start: datetime) -> tuple[Span, ColumnElement[bool]]:
    """Return how far closed intervals reach, with the condition that finds those with time after an instant by an index."""
    ended = number(intervals.c.ended_at)
    return Span(number(intervals.c.started_at), ended), ended > to_microseconds(start)


def open_span() -> tuple[Span, ColumnElement[bool]]:
    """Return the same for open ones."""
    started = number(intervals.c.started_at)
    return Span(started, func.coalesce(number(intervals.c.last_seen_at), started)), intervals.c.ended_at.is_(None)


class UsageSums:
    """Grouped sums over closed and open intervals."""

    def __init__(self) -> None:
        self._closed = ClosedSums(_read_closed)

    def sums(self, connection: Connection, query: SumQuery) -> list[Sum]:
        """Return the sums of all intervals, open ones up to their last proof of life; moved sessions count where they are now."""
        found = [*self._closed.sums(connection, query), *_read(connection, query, *open_span(), ())]
        return corrected(connection, query, found, lambda asked: _read_closed(connection, asked, ()))

    def complete_until(self, connection: Connection, now: datetime) -> datetime:
        """Return the instant before which every interval is closed: the start of the oldest open one, else now."""
        oldest = connection.execute(select(func.min(number(intervals.c.started_at))).where(intervals.c.ended_at.is_(None))).scalar()
        return now if oldest is None else min(now, from_microseconds(int(oldest)))


def _read_closed(connection: Connection, query: SumQuery, more: tuple[ColumnElement[bool], ...]) -> list[Sum]:
    return _read(connection, query, *closed_span(query.start), more)


def _read(connection: Connection, query: SumQuery, span: Span, chosen: ColumnElement[bool], more: tuple[ColumnElement[bool], ...]) -> list[Sum]:
    return sums_of(query, connection.execute(sum_statement(query, span, COLUMNS).where(chosen, *more)).mappings())


def sum_statement(query: SumQuery, span: Span, columns: Mapping[str, ColumnElement[Any]]) -> Select[Any]:
    """Return the query for the sums of rows that reach into a span of time, clipped to it."""
    start, end = to_microseconds(query.start), to_microseconds(query.end)
    low, high = greatest(span.start, start), least(span.end, end)
    keys = [columns[name].label(f"key_{name}") for name in query.group_by]
    if query.by_day:
        keys += [(low // DAY_MICROSECONDS).label("first_day"), ((high - 1) // DAY_MICROSECONDS).label("last_day")]
        keys.append(intervals.c.estimated.label("is_estimated"))
    amounts = _day_amounts(low, high) if query.by_day else _amounts(low, high)
    found = select(*keys, *amounts, func.count().label("intervals")).where(span.start < end, span.end > start)
    for name, value in query.filters.items():
        found = found.where(columns[name].in_(value) if isinstance(value, frozenset) else columns[name] == value)
    return found.group_by(*[literal_column(str(position)) for position in range(1, len(keys) + 1)]) if keys else found


def sums_of(query: SumQuery, rows: Iterable[RowMapping]) -> list[Sum]:
    """Return the sums that the rows of :func:`sum_statement` hold."""
    if query.by_day:
        return [piece for row in rows for piece in _days_of(query, row)]
    return [_sum(query, row, (row["gpu_time"], row["session_time"], row["estimated_time"])) for row in rows]


def _amounts(low: ColumnElement[Any], high: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    return [
        func.sum((high - low) * intervals.c.gpus).label("gpu_time"),
        func.sum(high - low).label("session_time"),
        func.sum(case((intervals.c.estimated, high - low), else_=0)).label("estimated_time"),
    ]


def _day_amounts(low: ColumnElement[Any], high: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """Sum what lies in the first and the last UTC day of each interval; the days between are whole.

    One pass, whatever the number of days; relative to the day, so that the sums stay far below 2^63.
    """
    first_end = (low // DAY_MICROSECONDS + 1) * DAY_MICROSECONDS
    last_start = ((high - 1) // DAY_MICROSECONDS) * DAY_MICROSECONDS
    in_first, in_last = least(high, first_end) - low, high - last_start
    gpus = intervals.c.gpus
    return [
        func.sum(in_first * gpus).label("gpu_first"),
        func.sum(in_last * gpus).label("gpu_last"),
        func.sum(gpus).label("gpu_whole"),
        func.sum(in_first).label("session_first"),
        func.sum(in_last).label("session_last"),
    ]


def _days_of(query: SumQuery, row: RowMapping) -> list[Sum]:
    """Return one sum a day for a group of intervals that share their first and last day."""
    first, last = int(row["first_day"]), int(row["last_day"])
    pieces = []
    for day in range(first, last + 1):
        if day == first:
            gpu, session = whole(row["gpu_first"]), whole(row["session_first"])
        elif day == last:
            gpu, session = whole(row["gpu_last"]), whole(row["session_last"])
        else:
            gpu, session = int(row["gpu_whole"]) * DAY_MICROSECONDS, int(row["intervals"]) * DAY_MICROSECONDS
        pieces.append(_sum(query, row, (gpu, session, session if row["is_estimated"] else 0), day))
    return pieces


def _sum(query: SumQuery, row: RowMapping, amounts: tuple[Any, Any, Any], day: int | None = None) -> Sum:
    keys = {name: row[f"key_{name}"] for name in query.group_by}
    if day is not None:
        keys["day"] = EPOCH + timedelta(days=day)
    gpu, session, estimated = amounts
    return Sum(
        keys=keys,
        gpu_microseconds=whole(gpu),
        session_microseconds=whole(session),
        estimated_microseconds=whole(estimated),
        intervals=int(row["intervals"]),
    )
