"""What the dispatcher knew and found in its last pass."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from aiplatform_hub.storage.schema import queue_outlooks

BUILT_IN = "built-in"
"""Name of the only queue."""
LATEST_OUTLOOK = select(queue_outlooks.c.outlook).where(queue_outlooks.c.name == BUILT_IN)


class QueueOutlookStore:
    """Reads and writes the one row."""

    def write(self, connection: Connection, *, outlook: Any, entries: Any, at: datetime) -> None:
        """Store what replaces what was there. JSON values."""
        values = {"outlook": outlook, "entries": entries, "at": at}
        if not connection.execute(update(queue_outlooks).where(queue_outlooks.c.name == BUILT_IN).values(**values)).rowcount:
            connection.execute(insert(queue_outlooks).values(name=BUILT_IN, **values))

    def outlook(self, connection: Connection) -> Any:
        """Return the outlook as it was stored; None before the first pass."""
        return connection.execute(LATEST_OUTLOOK).scalar_one_or_none()

    def entries(self, connection: Connection) -> Any:
        """Return the entries as they were stored; None before the first pass."""
        return connection.execute(select(queue_outlooks.c.entries).where(queue_outlooks.c.name == BUILT_IN)).scalar_one_or_none()
