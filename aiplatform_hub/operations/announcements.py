"""What admins tell everybody: written, taken back, and known to every page without asking the database each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from aiplatform_hub.domain.announcements import Announcement, Draft, faults, in_the_way, shown
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.storage.announcements import AnnouncementStore
from aiplatform_hub.storage.database import Connection, Database, DatabaseAwayError

LOOK_SECONDS = 2.0
"""How long a process believes what it knows before it looks again."""


class Announcements:
    """Tells everybody things. Each act leaves its audit row in the same transaction.

    Parameters
    ----------
    monotonic
        Seconds of a clock that never jumps.
    """

    def __init__(
        self,
        *,
        database: Database,
        announcements: AnnouncementStore,
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._store = announcements
        self._audit = audit_trail
        self._clock = clock
        self._monotonic = monotonic
        self._known: tuple[float, tuple[Announcement, ...]] | None = None

    def shown(self) -> tuple[Announcement, ...]:
        """Return what everybody sees now, the most urgent first."""
        return shown(self._current(), self._clock())

    def not_over(self) -> tuple[Announcement, ...]:
        """Return what counts now or later, whoever sees it already."""
        return self._current()

    def in_the_way(self, start: datetime, planned_end: datetime | None) -> tuple[Announcement, ...]:
        """Return the maintenance windows that a session reaches into."""
        return in_the_way(self._current(), start, planned_end)

    def latest(self, *, limit: int) -> tuple[Announcement, ...]:
        """Return what was told last, the newest first; also what is over or withdrawn."""
        with self._database.read() as connection:
            return self._store.latest(connection, limit=limit)

    def announce(self, draft: Draft, *, by: str) -> Announcement:
        """Tell everybody something.

        Raises
        ------
        InvalidOptionError
            Naming everything that is wrong with it.
        ServiceUnavailableError
            If the database does not answer.
        """
        now, draft = self._clock(), replace(draft, text=draft.text.strip())
        if reasons := faults(draft, now):
            raise InvalidOptionError(" ".join(reason.message for reason in reasons), reasons)
        with self._database.write() as connection:
            told = self._store.insert(connection, draft, at=now, by=by)
            self._audit.record(connection, actor=by, action="announce", target=_target(told.id), outcome="done", detail=_detail(told))
        self._known = None
        return told

    def withdraw(self, id_: int, *, by: str) -> Announcement:
        """Take an announcement back; may be repeated.

        Raises
        ------
        NotFoundError
            If there is none of this id.
        """
        with self._database.write() as connection:
            found = self._find(connection, id_)
            if found.withdrawn_at is None:
                found = replace(found, withdrawn_at=self._clock())
                self._store.withdraw(connection, id_, found.withdrawn_at)
                self._audit.record(connection, actor=by, action="withdraw_announcement", target=_target(id_), outcome="done", detail=_detail(found))
        self._known = None
        return found

    def restore(self, id_: int, *, by: str) -> Announcement:
        """Let a withdrawn announcement count again; may be repeated.

        Raises
        ------
        NotFoundError
            If there is none of this id.
        ConflictError
            If its time is over.
        """
        with self._database.write() as connection:
            found = self._find(connection, id_)
            if found.ends_at <= self._clock():
                raise ConflictError("Its time is over: write it anew with a later end.")
            if found.withdrawn_at is not None:
                found = replace(found, withdrawn_at=None)
                self._store.withdraw(connection, id_, None)
                self._audit.record(connection, actor=by, action="restore_announcement", target=_target(id_), outcome="done", detail=_detail(found))
        self._known = None
        return found

    def _find(self, connection: Connection, id_: int) -> Announcement:
        found = self._store.find(connection, id_)
        if found is None:
            raise NotFoundError(f"There is no announcement {id_}.")
        return found

    def _current(self) -> tuple[Announcement, ...]:
        """Return what counts now or later, at most :data:`LOOK_SECONDS` old; the last known while the database is away."""
        known, looked = self._known, self._monotonic()
        if known is not None and looked - known[0] < LOOK_SECONDS:
            return known[1]
        try:
            with self._database.read() as connection:
                found = self._store.not_over(connection, self._clock())
        except DatabaseAwayError:
            return () if known is None else known[1]
        self._known = (looked, found)
        return found


def _target(id_: int) -> str:
    return f"announcement:{id_}"


def _detail(one: Announcement) -> dict[str, Any]:
    span = {"starts_at": isoformat(one.starts_at), "ends_at": isoformat(one.ends_at)}
    return {"level": one.level.value, "text": one.text, "is_maintenance": one.is_maintenance, **span}
