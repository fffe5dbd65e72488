"""How many GPUs of each type could be used over time, and how many sessions held."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, and_, case, func, insert, or_, select, union_all

from aiplatform_hub.domain.unallocated import CapacityChange, HeldChange
from aiplatform_hub.domain.units import from_microseconds, to_microseconds
from aiplatform_hub.storage.chargeback_tables import capacity_changes
from aiplatform_hub.storage.numbers import greatest, least, number
from aiplatform_hub.storage.schema import gpu_devices
from aiplatform_hub.storage.schema import usage_intervals as intervals

BATCH = 1000
"""Rows that are in memory at once."""
_IS_THERE = gpu_devices.c.node_pool.is_(None)
"""And not on a node that an autoscaler might start."""
_IS_USABLE = and_(gpu_devices.c.present.is_(True), gpu_devices.c.healthy.is_(True), gpu_devices.c.drained.is_(False), _IS_THERE)
_USABLE = select(gpu_devices.c.gpu_type, func.sum(case((_IS_USABLE, 1), else_=0)).label("gpus")).group_by(gpu_devices.c.gpu_type)
_LAST_IDS = select(func.max(capacity_changes.c.id)).group_by(capacity_changes.c.gpu_type)
_LAST = select(capacity_changes.c.gpu_type, capacity_changes.c.gpus, capacity_changes.c.at).where(capacity_changes.c.id.in_(_LAST_IDS))


def note_capacity(connection: Connection, at: datetime) -> int:
    """Add a row for each GPU type of which another number can be used than was noted last; return how many.

    Parameters
    ----------
    connection
        Of the transaction that changed the GPUs.
    at
        Aware UTC. Where the clock was put back, a change counts from the last one on: what was noted stays.
    """
    last = {row.gpu_type: row for row in connection.execute(_LAST)}
    usable = {row.gpu_type: int(row.gpus) for row in connection.execute(_USABLE)}
    changed = [
        {"gpu_type": name, "gpus": usable.get(name, 0), "at": max(at, last[name].at) if name in last else at}
        for name in sorted({*last, *usable})
        if usable.get(name, 0) != (last[name].gpus if name in last else None)
    ]
    if changed:
        connection.execute(insert(capacity_changes), changed)
    return len(changed)


def has_capacity(connection: Connection) -> bool:
    """Return whether anything was ever noted."""
    return connection.execute(select(capacity_changes.c.id).limit(1)).first() is not None


class CapacityHistory:
    """Reads what could be used, and what sessions held of it."""

    def known_from(self, connection: Connection) -> datetime | None:
        """Return since when it is known what there was; None while nothing is."""
        first: datetime | None = connection.execute(select(capacity_changes.c.at).order_by(capacity_changes.c.id).limit(1)).scalar()
        return first

    def gpu_types(self, connection: Connection, end: datetime) -> tuple[str, ...]:
        """Return the types of which something was noted before an instant, by name."""
        columns = capacity_changes.c
        return tuple(sorted(connection.execute(select(columns.gpu_type).where(columns.at < end).distinct()).scalars()))

    def changes(self, connection: Connection, gpu_type: str, end: datetime) -> Iterator[CapacityChange]:
        """Yield what was noted of a type before an instant, in order."""
        columns = capacity_changes.c
        statement = select(columns.at, columns.gpus).where(columns.gpu_type == gpu_type, columns.at < end).order_by(columns.at, columns.id)
        for row in connection.execute(statement):
            yield CapacityChange(row.at, gpu_type, row.gpus)

    def held(self, connection: Connection, gpu_type: str, start: datetime, end: datetime) -> Iterator[HeldChange]:
        """Stream how many GPUs of a type sessions begin and cease to hold in ``[start, end)``, in order; open ones hold to their last proof of life."""
        started = number(intervals.c.started_at)
        ended = func.coalesce(number(intervals.c.ended_at), number(intervals.c.last_seen_at), started)
        low, high = greatest(started, to_microseconds(start)), least(ended, to_microseconds(end))
        is_mine = (intervals.c.gpu_type == gpu_type, intervals.c.gpus > 0, low < high)
        reaches = or_(intervals.c.ended_at.is_(None), intervals.c.ended_at > start)
        edges = union_all(
            select(low.label("at"), intervals.c.gpus.label("gpus")).where(*is_mine, reaches),
            select(high.label("at"), (-intervals.c.gpus).label("gpus")).where(*is_mine, reaches),
        ).subquery()
        statement = select(edges.c.at, func.sum(edges.c.gpus).label("gpus")).group_by(edges.c.at).order_by(edges.c.at)
        for row in connection.execution_options(yield_per=BATCH).execute(statement):
            yield HeldChange(from_microseconds(int(row.at)), int(row.gpus))
