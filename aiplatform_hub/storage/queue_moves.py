"""Requests that admins moved to the front of the queue."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, insert, select, update

from aiplatform_hub.domain.queue_moves import Move
from aiplatform_hub.storage.live_allocations import IS_QUEUED
from aiplatform_hub.storage.schema import allocations, queue_moves

_STANDING = (
    select(queue_moves)
    .join(allocations, allocations.c.id == queue_moves.c.allocation_id)
    .where(IS_QUEUED, queue_moves.c.undone_at.is_(None))
    .order_by(queue_moves.c.id)
)


class QueueMoveStore:
    """Reads and writes moves."""

    def insert(self, connection: Connection, move: Move) -> None:
        """Store a move in the place of an earlier one of the same request; its id is given by the database."""
        self.undo(connection, move)
        values = {"allocation_id": move.allocation_id, "at": move.at, "moved_by": move.by, "reason": move.reason}
        connection.execute(insert(queue_moves).values(**values, overtaken=sorted(map(str, move.overtaken))))

    def undo(self, connection: Connection, move: Move) -> None:
        """Let the standing move of a request end at the instant of another one."""
        is_standing = (queue_moves.c.allocation_id == move.allocation_id, queue_moves.c.undone_at.is_(None))
        connection.execute(update(queue_moves).where(*is_standing).values(undone_at=move.at))

    def standing(self, connection: Connection) -> tuple[Move, ...]:
        """Return the moves of requests that still wait, the oldest first."""
        return tuple(
            Move(row.id, row.allocation_id, row.at, row.moved_by, row.reason, frozenset(map(UUID, row.overtaken))) for row in connection.execute(_STANDING)
        )
