"""An admin drains GPUs: nothing new starts on them, what runs there goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from aiplatform_hub.domain.allocations import Allocation, GpuDevice
from aiplatform_hub.domain.drains import Drain, DrainKind, drained_devices, sessions_on
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError, Reason
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database, TakenError
from aiplatform_hub.storage.devices import MACHINE, DeviceStore
from aiplatform_hub.storage.drains import DrainStore

CORDON = "In a cluster the scheduler places sessions: run kubectl cordon NODE; the platform then starts nothing there and shows its GPUs as out of order."


class Drains:
    """Drains and undoes it; each act is one transaction with its audit row. Who may do it is the caller's matter."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        devices: DeviceStore,
        allocations: AllocationStore,
        drains: DrainStore,
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._devices = devices
        self._allocations = allocations
        self._drains = drains
        self._audit_trail = audit_trail
        self._clock = clock

    def standing(self) -> Mapping[Drain, tuple[Allocation, ...]]:
        """Return the drains that stand, each with the sessions that are still on its GPUs."""
        with self._database.read() as connection:
            return {drain: self._on(connection, drain) for drain in self._drains.standing(connection)}

    def drain(self, kind: DrainKind, target: str, *, by: str, reason: str) -> tuple[Drain, tuple[Allocation, ...]]:
        """Let nothing new start on a GPU, or on the whole machine; return who is still on it.

        Parameters
        ----------
        target
            UUID of the GPU; ``machine`` for the whole machine.
        reason
            One line, for other admins.

        Raises
        ------
        InvalidOptionError
            If there is no such GPU or node.
        ConflictError
            If it is drained already, and in a cluster, where its own scheduler has to be told.
        """
        try:
            with self._database.write() as connection:
                self._devices.lock(connection)
                self._check(connection, kind, target)
                drain = Drain(0, kind, target, self._clock(), by, reason)
                drain = Drain(self._drains.insert(connection, drain), kind, target, drain.at, by, reason)
                self._devices.apply_drains(connection, drain.at)
                self._audit_trail.record(connection, actor=by, action="drain", target=f"{kind.value}:{target}", outcome="allowed", detail={"reason": reason})
                return drain, self._on(connection, drain)
        except TakenError as error:
            raise ConflictError(f"The {_name(kind, target)} is drained already.") from error

    def undo(self, drain_id: int, *, by: str) -> None:
        """Give the GPUs out again; may be repeated.

        Raises
        ------
        NotFoundError
            If there never was such a drain.
        """
        with self._database.write() as connection:
            self._devices.lock(connection)
            drain = self._drains.find(connection, drain_id)
            if drain is None:
                raise NotFoundError("There is no such drain.")
            if self._drains.undo(connection, drain_id, self._clock()):
                self._devices.apply_drains(connection, self._clock())
                self._audit_trail.record(connection, actor=by, action="undo_drain", target=f"{drain.kind.value}:{drain.target}", outcome="allowed")

    def _check(self, connection: Connection, kind: DrainKind, target: str) -> None:
        pool = self._devices.pool(connection)
        if pool is not None and pool.is_cluster:
            raise ConflictError(CORDON)
        known = [device.uuid for device in pool.devices] if pool else []
        if not known:
            raise ConflictError("This machine has no GPUs to drain.")
        names = (MACHINE,) if kind is DrainKind.NODE else tuple(known)
        if target not in names:
            message = f"There is no {kind.value} {target!r} here; there is {', '.join(names)}."
            raise InvalidOptionError(message, (Reason(InvalidOptionError.code, message, field="target", allowed=names),))

    def _on(self, connection: Connection, drain: Drain) -> tuple[Allocation, ...]:
        pool = self._devices.pool(connection)
        devices: tuple[GpuDevice, ...] = drained_devices(drain, pool.devices) if pool else ()
        return sessions_on(devices, self._allocations.open(connection))


def _name(kind: DrainKind, target: str) -> str:
    return "machine" if kind is DrainKind.NODE else f"GPU {target}"
