"""The audit trail: one row for each privileged or refused act."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from aiplatform_hub.storage.audit import AuditEvent, AuditStore
from aiplatform_hub.storage.database import Connection, Database


class AuditTrail:
    """Records who did what to whom, and whether it was allowed."""

    def __init__(self, *, database: Database, audit: AuditStore, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def record(  # noqa: PLR0913, PLR0917  the columns of the row
        self, connection: Connection | None, actor: str, action: str, target: str, outcome: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Store one row in the given transaction, or in one of its own.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer; an act that cannot be recorded must not happen.
        """
        event = AuditEvent(at=self._clock(), actor=actor[:255], action=action, target=target[:512], outcome=outcome, detail=detail or {})
        if connection is not None:
            self._audit.insert(connection, event)
            return
        with self._database.write() as own:
            self._audit.insert(own, event)

    def latest(self, *, limit: int = 100, before_id: int | None = None, actor: str | None = None) -> tuple[AuditEvent, ...]:
        """Return events, the newest first; of one actor if one is named."""
        with self._database.read() as connection:
            return self._audit.latest(connection, limit=limit, before_id=before_id, actor=actor)
