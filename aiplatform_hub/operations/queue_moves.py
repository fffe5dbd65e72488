"""An admin moves a request to the front of the queue, or takes that back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.queue_moves import Move, overtaken_by
from aiplatform_hub.errors import ConflictError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.queue_json import entries_from_json
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.queue_moves import QueueMoveStore
from aiplatform_hub.storage.queue_outlooks import QueueOutlookStore

MOVED_UP = "moved_up"
"""Cause of the event with which a request comes to the front."""
MOVE_UNDONE = "move_undone"
"""Cause of the event with which it goes back to its place."""
KUEUE_ORDERS = "Kueue orders this queue: raise the priority of the request's Workload there, or use the built-in queue."


class QueueMoves:
    """Moves requests. Each act is one transaction with its audit row; who may do it is the caller's matter.

    Parameters
    ----------
    is_kueue
        Whether Kueue gives out the GPUs, and orders who waits for them.
    """

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        devices: DeviceStore,
        outlooks: QueueOutlookStore,
        moves: QueueMoveStore,
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
        is_kueue: bool = False,
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._devices = devices
        self._outlooks = outlooks
        self._moves = moves
        self._audit_trail = audit_trail
        self._clock = clock
        self._is_kueue = is_kueue

    def move_up(self, allocation_id: UUID, *, by: str, reason: str) -> Allocation:
        """Let a request come before all others, also before those that were moved earlier.

        Parameters
        ----------
        reason
            One line, for its owner and for those whom it overtakes.

        Raises
        ------
        NotFoundError
            If there is no such allocation.
        ConflictError
            If it does not wait, is next already, asks for no GPUs, or if Kueue orders the queue.
        """
        with self._database.write() as connection:
            self._devices.lock(connection)
            allocation = self._queued(connection, allocation_id)
            overtaken = overtaken_by(allocation_id, self._order(connection))
            refusal = self._refusal(allocation, is_next=not overtaken)
            if refusal:
                raise ConflictError(refusal)
            now = self._clock()
            changed = self._allocations.change(connection, allocation, to=AllocationState.QUEUED, at=now, cause=MOVED_UP, actor=by, moved_up_at=now)
            self._moves.insert(connection, Move(0, allocation_id, now, by, reason, overtaken))
            detail = {"reason": reason, "user": allocation.user_name, "from_place": len(overtaken) + 1}
            self._audit_trail.record(connection, actor=by, action="move_up", target=f"allocation:{allocation_id}", outcome="allowed", detail=detail)
            return changed or allocation

    def undo(self, allocation_id: UUID, *, by: str) -> Allocation:
        """Put a request that was moved up back to the place that it would have; nothing changes where it was not moved.

        Raises
        ------
        NotFoundError
            If there is no such allocation.
        ConflictError
            If it does not wait any more.
        """
        with self._database.write() as connection:
            self._devices.lock(connection)
            allocation = self._queued(connection, allocation_id)
            if allocation.moved_up_at is None:
                return allocation
            now = self._clock()
            changed = self._allocations.change(connection, allocation, to=AllocationState.QUEUED, at=now, cause=MOVE_UNDONE, actor=by, moved_up_at=None)
            self._moves.undo(connection, Move(0, allocation_id, now, by, "", frozenset()))
            detail = {"user": allocation.user_name}
            self._audit_trail.record(connection, actor=by, action="undo_move_up", target=f"allocation:{allocation_id}", outcome="allowed", detail=detail)
            return changed or allocation

    def _order(self, connection: Connection) -> list[UUID]:
        """Return who waits, in the order of the last pass; who came since stands last."""
        queued = [allocation.id for allocation in self._allocations.queued(connection)]
        stored = self._outlooks.entries(connection)
        known = [entry.id for entry in entries_from_json(stored)] if stored else []
        return [*(id_ for id_ in known if id_ in set(queued)), *(id_ for id_ in queued if id_ not in set(known))]

    def _refusal(self, allocation: Allocation, *, is_next: bool) -> str:
        """Return why a request cannot be moved up; empty if it can."""
        if not allocation.request.gpus:
            return "This request asks for no GPUs: it waits for a limit of its own, and no place in the queue changes that."
        if self._is_kueue:
            return KUEUE_ORDERS
        return "This request is next in line already." if is_next else ""

    def _queued(self, connection: Connection, allocation_id: UUID) -> Allocation:
        allocation = self._allocations.find(connection, allocation_id)
        if allocation is None:
            raise NotFoundError("There is no such allocation.")
        if not allocation.is_queued:
            raise ConflictError(f"This request does not wait in the queue any more; it is {allocation.state.value}.")
        return allocation
