"""Ended sessions that their owners took off their own list."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, select

from aiplatform_hub.storage.schema import allocations, hidden_allocations

IS_LISTED: ColumnElement[bool] = ~exists().where(hidden_allocations.c.allocation_id == allocations.c.id)
"""True for an allocation that its owner has not hidden."""


class HiddenStore:
    """Remembers what is hidden; the allocations themselves never change."""

    def is_hidden(self, connection: Connection, allocation_id: UUID) -> bool:
        """Return whether its owner has hidden an allocation."""
        found = select(hidden_allocations.c.allocation_id).where(hidden_allocations.c.allocation_id == allocation_id)
        return connection.execute(found).first() is not None

    def hide(self, connection: Connection, allocation_id: UUID, at: datetime) -> None:
        """Hide one that is not hidden yet."""
        connection.execute(insert(hidden_allocations).values(allocation_id=allocation_id, hidden_at=at))

    def unhide(self, connection: Connection, allocation_id: UUID) -> None:
        """List one again."""
        connection.execute(delete(hidden_allocations).where(hidden_allocations.c.allocation_id == allocation_id))
