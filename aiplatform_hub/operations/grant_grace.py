"""Takes back what started out of the queue and nobody opened, and puts it into the queue again once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.grace import Opening, is_watched, opening, turn_key
from aiplatform_hub.storage.activity import ActivityStore
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.notifications import NotificationStore

ACTOR = "keeper"

Traffic = Mapping[tuple[str, str], datetime]
"""Last traffic by person and server, as the proxy says."""


@dataclass(frozen=True, slots=True)
class Openings:
    """What one look found."""

    opened: tuple[Allocation, ...] = ()
    too_late: tuple[Allocation, ...] = ()
    """To be stopped: each has the wish to stop recorded."""


class GrantGrace:
    """Judges, and records what it found. Each step is one transaction that checks again."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        devices: DeviceStore,
        activity: ActivityStore,
        notifications: NotificationStore,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._devices = devices
        self._activity = activity
        self._notifications = notifications
        self._clock = clock

    def unopened(self) -> tuple[Allocation, ...]:
        """Return the sessions whose owners waited for them and have not been seen in them."""
        with self._database.read() as connection:
            return tuple(a for a in self._allocations.open(connection) if is_watched(a))

    def settle(self, traffic: Traffic) -> Openings:
        """Record who was seen, and wish to stop what was not opened in the time that its owner was told.

        A session that its owner or an admin is stopping is left to that stop.
        """
        opened: list[Allocation] = []
        too_late: list[Allocation] = []
        for allocation in self.unopened():
            with self._database.write() as connection:
                self._devices.lock(connection)
                now = self._allocations.find(connection, allocation.id)
                if now is None or not is_watched(now):
                    continue
                verdict = self._verdict(connection, now, traffic)
                if verdict is Opening.OPENED:
                    opened.append(self._open(connection, now))
                elif verdict is Opening.TOO_LATE and now.stop_requested_by in {None, ACTOR} and now.stop_cause in {None, EndCause.NOT_OPENED}:
                    self._allocations.request_stop(connection, now.id, by=ACTOR, cause=EndCause.NOT_OPENED)
                    too_late.append(now)
        return Openings(tuple(opened), tuple(too_late))

    def _verdict(self, connection: Connection, allocation: Allocation, traffic: Traffic) -> Opening:
        return opening(
            allocation,
            traffic.get((allocation.user_name, allocation.server_name)),
            is_used=self._activity.was_used(connection, allocation.id),
            now=self._clock(),
            until=self._notifications.until_of(connection, turn_key(allocation.id)),
        )

    def _open(self, connection: Connection, allocation: Allocation) -> Allocation:
        """Note the opening, and take back a wish to stop that a keeper before this one had and did not carry out."""
        is_wished = allocation.stop_cause is EndCause.NOT_OPENED
        values: dict[str, Any] = {"stop_requested_by": None, "stop_cause": None} if is_wished else {}
        at = self._clock()
        changed = self._allocations.change(
            connection, allocation, to=AllocationState.ACTIVE, at=at, cause="opened", actor=allocation.user_name, opened_at=at, **values
        )
        return changed or allocation

    def not_stopped(self, allocation_id: UUID) -> None:
        """Take the wish back: the hub could not be asked, or would not."""
        with self._database.write() as connection:
            self._devices.lock(connection)
            allocation = self._allocations.find(connection, allocation_id)
            if allocation is not None and allocation.is_open and allocation.stop_cause is EndCause.NOT_OPENED:
                self._allocations.take_back_stop(connection, allocation_id)
