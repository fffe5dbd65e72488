"""Privileged and refused acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from aiplatform_hub.storage.schema import audit_events


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Who did what to whom, and whether it was allowed."""

    at: datetime
    """Aware UTC."""
    actor: str
    action: str
    target: str
    outcome: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    id: int | None = None
    """Given by the database."""


class AuditStore:
    """Reads and writes audit events."""

    def insert(self, connection: Connection, event: AuditEvent) -> None:
        """Store an event."""
        connection.execute(
            insert(audit_events).values(
                at=event.at, actor=event.actor, action=event.action, target=event.target, outcome=event.outcome, detail=dict(event.detail)
            )
        )

    def latest(self, connection: Connection, *, limit: int = 100, before_id: int | None = None, actor: str | None = None) -> tuple[AuditEvent, ...]:
        """Return events, the newest first; of one actor if one is named."""
        statement = select(audit_events).order_by(audit_events.c.id.desc()).limit(limit)
        if before_id is not None:
            statement = statement.where(audit_events.c.id < before_id)
        if actor is not None:
            statement = statement.where(audit_events.c.actor == actor)
        return tuple(AuditEvent(**row) for row in connection.execute(statement).mappings())
