"""Intervals as charges are made of them: in order, a few at a time, with when their GPUs were idle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, and_, func, or_, select

from aiplatform_hub.domain.activity import Activity
from aiplatform_hub.domain.session_moves import SessionMove
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.storage.schema import activity_intervals, allocations
from aiplatform_hub.storage.schema import usage_intervals as intervals
from aiplatform_hub.storage.session_moves import SessionMoveStore
from aiplatform_hub.storage.usage import interval_of

BATCH = 500
"""Intervals that are in memory at once; also how many ids one statement names."""

FILTERS = {
    "user": intervals.c.user_name,
    "project": intervals.c.project,
    "cost_centre": intervals.c.cost_centre,
    "environment_template": intervals.c.environment_template,
    "gpu_type": intervals.c.gpu_type,
    "allocation": intervals.c.allocation_id,
}
"""What can be asked for; a frozen set means any of its values."""

ACCOUNTS = ("project", "cost_centre")
"""Filters that a move changes the answer to."""

_ORDER = (intervals.c.cost_centre, intervals.c.project, intervals.c.user_name, intervals.c.started_at, intervals.c.id)


@dataclass(frozen=True, slots=True)
class ChargedUse:
    """One interval, with what of it was idle."""

    interval: UsageInterval
    idle: tuple[tuple[datetime, datetime], ...] = ()
    """Half-open spans in aware UTC, in order."""
    tier: str | None = None
    """By which its allocation was decided on; None where that is not known or nobody asked."""
    moves: tuple[SessionMove, ...] = ()
    """Of its session, in their order; only where they were asked for."""


class ChargedUseStore:
    """Reads what charges are made of."""

    def __init__(self) -> None:
        self._moves = SessionMoveStore()

    def stream(  # noqa: PLR0913  two of them by keyword
        self, connection: Connection, start: datetime, end: datetime, filters: Mapping[str, Any], *, has_idle: bool, has_tiers: bool = False
    ) -> Iterator[ChargedUse]:
        """Stream the intervals that reach into ``[start, end)``, open ones too, in order of cost centre, project, person, start and id.

        Parameters
        ----------
        has_idle
            Whether idle time matters; without it nobody looks for it.
        has_tiers
            The same of tiers.
        """
        rows = connection.execute(_reaching(start, end, filters).order_by(*_ORDER).execution_options(yield_per=BATCH)).mappings()
        for batch in _batches(interval_of(row) for row in rows):
            yield from _uses(connection, batch, has_idle=has_idle, has_tiers=has_tiers)

    def moved(  # noqa: PLR0913  two of them by keyword
        self, connection: Connection, start: datetime, end: datetime, filters: Mapping[str, Any], *, has_idle: bool, has_tiers: bool = False
    ) -> Iterator[ChargedUse]:
        """Stream those of the intervals whose sessions were moved, with their moves, in order of session, start and id.

        The filters :data:`ACCOUNTS` are left to the caller: a move changes the answer to them.
        """
        named = {name: value for name, value in filters.items() if name not in ACCOUNTS}
        wanted = filters.get("allocation")
        moved = self._moves.moved(connection, start, end)
        ids = iter([id_ for id_ in moved if wanted is None or id_ in (wanted if isinstance(wanted, frozenset) else {wanted})])
        while some := tuple(islice(ids, BATCH)):
            moves = self._moves.of(connection, some)
            statement = _reaching(start, end, named).where(intervals.c.allocation_id.in_(some))
            rows = connection.execute(statement.order_by(intervals.c.allocation_id, intervals.c.started_at, intervals.c.id)).mappings()
            for batch in _batches(interval_of(row) for row in rows):
                for use in _uses(connection, batch, has_idle=has_idle, has_tiers=has_tiers):
                    yield replace(use, moves=moves[use.interval.allocation_id])


def _reaching(start: datetime, end: datetime, filters: Mapping[str, Any]) -> Select[Any]:
    is_inside = and_(intervals.c.started_at < end, or_(intervals.c.ended_at.is_(None), intervals.c.ended_at > start))
    statement = select(intervals).where(is_inside)
    for name, value in filters.items():
        statement = statement.where(FILTERS[name].in_(value) if isinstance(value, frozenset) else FILTERS[name] == value)
    return statement


def _uses(connection: Connection, batch: tuple[UsageInterval, ...], *, has_idle: bool, has_tiers: bool) -> Iterator[ChargedUse]:
    idle = _idle(connection, [each.allocation_id for each in batch if each.gpus]) if has_idle else {}
    tiers = _tiers(connection, [each.allocation_id for each in batch]) if has_tiers else {}
    for interval in batch:
        yield ChargedUse(interval, tuple(idle.get(interval.allocation_id, ())), tiers.get(interval.allocation_id))


def _batches(found: Iterator[UsageInterval]) -> Iterator[tuple[UsageInterval, ...]]:
    while batch := tuple(islice(found, BATCH)):
        yield batch


def _idle(connection: Connection, ids: Collection[UUID]) -> Mapping[UUID, list[tuple[datetime, datetime]]]:
    """Return when the GPUs of some sessions were idle; what is still open, up to the last look."""
    columns = activity_intervals.c
    ends = func.coalesce(columns.ended_at, columns.last_seen_at).label("ends_at")
    statement = select(columns.allocation_id, columns.started_at, ends).where(columns.allocation_id.in_(ids), columns.activity == Activity.IDLE.value)
    spans: dict[UUID, list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in connection.execute(statement.order_by(columns.allocation_id, columns.started_at)) if ids else ():
        spans[row.allocation_id].append((row.started_at, row.ends_at))
    return spans


def _tiers(connection: Connection, ids: Collection[UUID]) -> dict[UUID, str | None]:
    """Return by which tiers some allocations were decided on."""
    return {row.id: row.tier for row in connection.execute(select(allocations.c.id, allocations.c.tier).where(allocations.c.id.in_(ids)))}
