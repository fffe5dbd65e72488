"""Tells owners of servers without GPUs that these end soon because nobody uses them, and takes that back when they are used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.notices import NoticeKind
from aiplatform_hub.domain.release import Cause
from aiplatform_hub.operations.notices import Notices
from aiplatform_hub.operations.releases import CALLED_OFF, WARNED
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.notifications import NotificationStore


class UnusedWarnings:
    """Writes warnings. Each method is one transaction that looks again whether the server runs."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        devices: DeviceStore,
        notifications: NotificationStore,
        notices: Notices,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._devices = devices
        self._notifications = notifications
        self._notices = notices
        self._clock = clock

    def begin(self, session_id: UUID, until: datetime, *, actor: str) -> None:
        """Tell the owner of a session that it ends after an instant unless it is used; what they were told before is taken back.

        Parameters
        ----------
        until
            Aware UTC.
        """
        with self._database.write() as connection:
            session = self._of(connection, session_id)
            if session is None:
                return
            now = self._clock()
            self._notifications.take_back(connection, session_id, NoticeKind.RELEASE_WARNING, now)
            self._allocations.change(connection, session, to=session.state, at=now, cause=WARNED, actor=actor)
            self._notices.tell(
                connection,
                key=f"release_warning:{session_id}:{Cause.INACTIVE.value}:{now.timestamp():.0f}",
                user_name=session.user_name,
                allocation_id=session_id,
                kind=NoticeKind.RELEASE_WARNING,
                detail=self._notices.about(session, until=until, cause=Cause.INACTIVE.value),
                at=now,
            )

    def call_off(self, session_id: UUID, *, actor: str) -> None:
        """Take a warning back, on every page and where it has not been passed on yet."""
        with self._database.write() as connection:
            session = self._of(connection, session_id)
            if session is None:
                return
            self._notifications.take_back(connection, session_id, NoticeKind.RELEASE_WARNING, self._clock())
            self._allocations.change(connection, session, to=session.state, at=self._clock(), cause=CALLED_OFF, actor=actor)

    def _of(self, connection: Connection, session_id: UUID) -> Allocation | None:
        self._devices.lock(connection)
        session = self._allocations.find(connection, session_id)
        return session if session is not None and session.state is AllocationState.ACTIVE else None
