"""Transitions of allocations, in the order in which they were committed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, func, literal_column, select

from aiplatform_hub.domain.allocations import AllocationEvent, AllocationState
from aiplatform_hub.storage.schema import allocation_events, allocations

_IS_OPEN: ColumnElement[bool] = literal_column("allocations.state IN ('held', 'active')")
"""Written out, so that the partial index is used."""


def event_of(row: RowMapping) -> AllocationEvent:
    """Return the event of a row."""
    return AllocationEvent(
        id=row["id"],
        allocation_id=row["allocation_id"],
        at=row["at"],
        from_state=None if row["from_state"] is None else AllocationState(row["from_state"]),
        to_state=AllocationState(row["to_state"]),
        cause=row["cause"],
        actor=row["actor"],
    )


class EventStore:
    """Reads transitions for streams.

    Every transaction that writes one holds the write lock, so ids grow in commit order and a
    reader that has seen an id has seen all smaller ones.
    """

    def since(self, connection: Connection, event_id: int, *, limit: int = 500) -> tuple[AllocationEvent, ...]:
        """Return the events after this id, the oldest first."""
        statement = select(allocation_events).where(allocation_events.c.id > event_id).order_by(allocation_events.c.id).limit(limit)
        return tuple(event_of(row) for row in connection.execute(statement).mappings())

    def latest_of_active(self, connection: Connection, causes: frozenset[str]) -> dict[UUID, dict[str, AllocationEvent]]:
        """Return, of each active allocation that has any, the newest event of each of these causes."""
        statement = (
            select(allocation_events)
            .join(allocations, allocations.c.id == allocation_events.c.allocation_id)
            .where(_IS_OPEN, allocations.c.state == "active", allocation_events.c.cause.in_(sorted(causes)))
            .order_by(allocation_events.c.id)
        )
        found: dict[UUID, dict[str, AllocationEvent]] = {}
        for row in connection.execute(statement).mappings():
            found.setdefault(row["allocation_id"], {})[row["cause"]] = event_of(row)
        return found

    def latest_id(self, connection: Connection) -> int:
        """Return the id of the newest event; 0 when there is none."""
        return int(connection.execute(select(func.coalesce(func.max(allocation_events.c.id), 0))).scalar_one())

    def of_causes(self, connection: Connection, event_id: int, causes: Collection[str], *, limit: int = 500) -> tuple[AllocationEvent, ...]:
        """Return the events after this id that have one of these causes, the oldest first."""
        columns = allocation_events.c
        statement = select(allocation_events).where(columns.id > event_id, columns.cause.in_(sorted(causes))).order_by(columns.id).limit(limit)
        return tuple(event_of(row) for row in connection.execute(statement).mappings())

    def last_before(self, connection: Connection, at: datetime) -> int:
        """Return the id of the last event before an instant; 0 when there is none."""
        columns = allocation_events.c
        found = connection.execute(select(columns.id).where(columns.at < at).order_by(columns.id.desc()).limit(1)).scalar_one_or_none()
        return int(found or 0)
