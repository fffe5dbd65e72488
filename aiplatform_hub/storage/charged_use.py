"""Intervals as charges are made of them: in order, a few at a time, with when their GPUs were idle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, func, or_, select

from aiplatform_hub.domain.activity import Activity
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.storage.schema import activity_intervals, allocations
from aiplatform_hub.storage.schema import usage_intervals as intervals
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

_ORDER = (intervals.c.cost_centre, intervals.c.project, intervals.c.user_name, intervals.c.started_at, intervals.c.id)


@dataclass(frozen=True, slots=True)
class ChargedUse:
    """One interval, with what of it was idle."""

    interval: UsageInterval
    idle: tuple[tuple[datetime, datetime], ...] = ()
    """Half-open spans in aware UTC, in order."""
    tier: str | None = None
    """By which its allocation was decided on; None where that is not known or nobody asked."""


class ChargedUseStore:
    """Reads what charges are made of."""

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
        is_inside = and_(intervals.c.started_at < end, or_(intervals.c.ended_at.is_(None), intervals.c.ended_at > start))
        statement = select(intervals).where(is_inside)
        for name, value in filters.items():
            statement = statement.where(FILTERS[name].in_(value) if isinstance(value, frozenset) else FILTERS[name] == value)
        rows = connection.execution_options(yield_per=BATCH).execute(statement.order_by(*_ORDER)).mappings()
        for batch in _batches(interval_of(row) for row in rows):
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
