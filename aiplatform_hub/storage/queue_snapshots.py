"""What the planner saw and found, kept for a while."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from aiplatform_hub.storage.schema import queue_snapshots


class QueueSnapshotStore:
    """Rows of the table ``queue_snapshots``."""

    def add(self, connection: Connection, *, inputs: Any, entries: Any, at: datetime) -> None:
        """Store one pass. JSON values."""
        connection.execute(insert(queue_snapshots).values(inputs=inputs, entries=entries, at=at))

    def latest(self, connection: Connection, instant: datetime) -> Row[Any, Any, Any] | None:
        """Return ``at``, ``inputs`` and ``entries`` of the last pass that is not after an instant; None if there is none."""
        columns = (queue_snapshots.c.at, queue_snapshots.c.inputs, queue_snapshots.c.entries)
        newest_first = select(*columns).where(queue_snapshots.c.at <= instant).order_by(queue_snapshots.c.at.desc(), queue_snapshots.c.id.desc())
        return connection.execute(newest_first.limit(1)).one_or_none()

    def first_at(self, connection: Connection) -> datetime | None:
        """Return when the oldest pass was that is kept; None if none is."""
        found: datetime | None = connection.execute(select(func.min(queue_snapshots.c.at))).scalar_one_or_none()
        return found

    def prune(self, connection: Connection, before: datetime, *, most: int) -> None:
        """Delete what is older than an instant, and the oldest of more than so many."""
        connection.execute(delete(queue_snapshots).where(queue_snapshots.c.at < before))
        newest = connection.execute(select(func.max(queue_snapshots.c.id))).scalar_one_or_none()
        if newest is not None:
            connection.execute(delete(queue_snapshots).where(queue_snapshots.c.id <= newest - most))
