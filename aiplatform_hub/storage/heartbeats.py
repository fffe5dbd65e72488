"""Last signs of life of our processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from aiplatform_hub.storage.schema import heartbeats


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last sign of life of one process. Instants are aware UTC."""

    process: str
    """``hub``, ``platform`` or ``keeper``."""
    instance: str
    """Which life of it: new at each start."""
    started_at: datetime
    at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What the admin page shows of it, as JSON."""


class HeartbeatStore:
    """Reads and writes heartbeats."""

    def beat(self, connection: Connection, heartbeat: Heartbeat) -> None:
        """Store a sign of life in place of the one before."""
        values = {
            "instance": heartbeat.instance,
            "started_at": heartbeat.started_at,
            "at": heartbeat.at,
            "detail": dict(heartbeat.detail),
        }
        if not connection.execute(update(heartbeats).where(heartbeats.c.process == heartbeat.process).values(**values)).rowcount:
            connection.execute(insert(heartbeats).values(process=heartbeat.process, **values))

    def explain(self, connection: Connection, process: str, detail: Mapping[str, Any], silent_since: datetime) -> None:
        """Say why a process is silent, in the place of what it said last; one that gave a sign of life after the instant is left alone."""
        is_silent = (heartbeats.c.process == process, heartbeats.c.at < silent_since)
        connection.execute(update(heartbeats).where(*is_silent).values(detail=dict(detail)))

    def find(self, connection: Connection, process: str) -> Heartbeat | None:
        """Return the last sign of life of a process, or None."""
        return next((beat for beat in self.all(connection) if beat.process == process), None)

    def all(self, connection: Connection) -> tuple[Heartbeat, ...]:
        """Return the last sign of life of every process, by name."""
        rows = connection.execute(select(heartbeats).order_by(heartbeats.c.process)).mappings()
        return tuple(Heartbeat(**row) for row in rows)
