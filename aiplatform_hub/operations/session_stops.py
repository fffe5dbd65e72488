"""Who wants a session stopped: recorded before the hub is asked, taken back when the hub cannot be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.devices import DeviceStore


class SessionStops:
    """Records and takes back wishes to stop. A stop of someone else's session leaves an audit row in the same transaction."""

    def __init__(
        self, *, database: Database, allocations: AllocationStore, devices: DeviceStore, audit_trail: AuditTrail, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._devices = devices
        self._audit_trail = audit_trail
        self._clock = clock

    def request(self, allocation_id: UUID, by: str, cause: EndCause, message: str = "") -> bool:
        """Record who wants an open allocation stopped, and what they tell its owner; False when it is not open."""
        with self._database.write() as connection:
            self._devices.lock(connection)
            is_open = self._allocations.request_stop(connection, allocation_id, by=by, cause=cause, message=message or None)
            if is_open and cause is EndCause.STOPPED_BY_ADMIN:
                detail = {"message": message} if message else {}
                self._audit_trail.record(connection, actor=by, action="stop_session", target=f"allocation:{allocation_id}", outcome="allowed", detail=detail)
            return is_open

    def withdraw(self, allocation_id: UUID, by: str) -> None:
        """Take a wish back that could not be carried out, so that a later crash is not called a stop."""
        with self._database.write() as connection:
            self._devices.lock(connection)
            allocation = self._allocations.find(connection, allocation_id)
            if allocation is None or not allocation.is_open or allocation.stop_requested_by != by:
                return
            self._allocations.change(
                connection,
                allocation,
                to=allocation.state,
                at=self._clock(),
                cause="stop_withdrawn",
                actor=by,
                stop_requested_by=None,
                stop_cause=None,
                stop_message=None,
            )
