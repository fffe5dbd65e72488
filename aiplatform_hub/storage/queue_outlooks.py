"""What the dispatcher knew and found in its last pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Text, cast, insert, select, update

from aiplatform_hub.storage.schema import queue_outlooks

BUILT_IN = "built-in"
"""Name of the only queue."""
WAITS = "waits"
"""Name of the row with the estimates: they are written apart from the passes of the dispatcher."""
LATEST_OUTLOOK = select(queue_outlooks.c.outlook).where(queue_outlooks.c.name == BUILT_IN)


_LATEST_TEXT = select(cast(queue_outlooks.c.outlook, Text)).where(queue_outlooks.c.name == BUILT_IN)
_ENTRIES = select(cast(queue_outlooks.c.entries, Text)).where(queue_outlooks.c.name == BUILT_IN)
_WAITS = select(queue_outlooks.c.entries, queue_outlooks.c.at).where(queue_outlooks.c.name == WAITS)


class JsonMemory:
    """JSON that was read last: of the same text it is the same value."""

    def __init__(self) -> None:
        self._known: tuple[str | None, Any] = (None, None)

    def of(self, text: str | None) -> Any:
        """Return what the text says; None for none."""
        known, value = self._known
        if known != text:
            value = None if text is None else json.loads(text)
            self._known = (text, value)
        return value


class QueueOutlookStore:
    """Reads and writes the one row. What is as it was the last time is the same value: nobody changes it."""

    def __init__(self) -> None:
        self._outlook, self._entries = JsonMemory(), JsonMemory()

    def write(self, connection: Connection, *, outlook: Any, entries: Any, at: datetime) -> None:
        """Store what replaces what was there. JSON values."""
        self._write(connection, BUILT_IN, {"outlook": outlook, "entries": entries, "at": at})

    def write_waits(self, connection: Connection, *, waits: Any, at: datetime) -> None:
        """Store the estimates of everybody who waits. A JSON value."""
        self._write(connection, WAITS, {"outlook": {}, "entries": waits, "at": at})

    @staticmethod
    def _write(connection: Connection, name: str, values: Mapping[str, Any]) -> None:
        if not connection.execute(update(queue_outlooks).where(queue_outlooks.c.name == name).values(**values)).rowcount:
            connection.execute(insert(queue_outlooks).values(name=name, **values))

    def outlook(self, connection: Connection) -> Any:
        """Return the outlook as it was stored; None before the first pass."""
        return self._outlook.of(connection.execute(_LATEST_TEXT).scalar_one_or_none())

    def written_at(self, connection: Connection) -> datetime | None:
        """Return when it was written last: while somebody waits, twice a minute at least; None before the first pass."""
        return connection.execute(select(queue_outlooks.c.at).where(queue_outlooks.c.name == BUILT_IN)).scalar_one_or_none()

    def entries(self, connection: Connection) -> Any:
        """Return the entries as they were stored; None before the first pass."""
        return self._entries.of(connection.execute(_ENTRIES).scalar_one_or_none())

    def waits(self, connection: Connection) -> Row[Any, Any] | None:
        """Return the estimates as they were stored, ``entries``, and when they were made, ``at``; None before the first."""
        return connection.execute(_WAITS).one_or_none()

    def mark(self, connection: Connection) -> Any:
        """Return what is another whenever the dispatcher or the estimates say something new about those who wait."""
        statement = select(queue_outlooks.c.entries).where(queue_outlooks.c.name.in_((BUILT_IN, WAITS))).order_by(queue_outlooks.c.name)
        return connection.execute(statement).scalars().all()
