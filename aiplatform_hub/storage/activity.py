"""What the GPUs of running sessions do."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.schema import activity_intervals

FRESH = timedelta(seconds=60)
"""Age from which the last sample says nothing of now."""


class ActivityStore:
    """Rows of the table ``activity_intervals``."""

    def idle_since(self, connection: Connection, now: datetime) -> dict[UUID, datetime]:
        """Return since when all GPUs of a session have been idle, for the sessions of which this is known now.

        Parameters
        ----------
        now
            Aware UTC. A session whose last sample is older than :data:`FRESH` is not named: unknown is not idle.
        """
        rows = connection.execute(
            select(activity_intervals.c.allocation_id, activity_intervals.c.started_at).where(
                activity_intervals.c.ended_at.is_(None), activity_intervals.c.activity == "idle", activity_intervals.c.last_seen_at > now - FRESH
            )
        )
        return {row.allocation_id: row.started_at for row in rows}

    def was_used(self, connection: Connection, allocation_id: UUID) -> bool:
        """Return whether a GPU of a session was ever seen busy."""
        columns = activity_intervals.c
        statement = select(columns.id).where(columns.allocation_id == allocation_id, columns.activity == "used").limit(1)
        return connection.execute(statement).first() is not None
