"""What owners do with their queued requests: look, withdraw, change, confirm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.options import options_of, resolve
from aiplatform_hub.domain.queue_moves import note_on
from aiplatform_hub.domain.queueing import QueueEntry, WaitCode, WaitReason
from aiplatform_hub.domain.quota import Outcome, refusal
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.errors import ConflictError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.decision_inputs import to_json
from aiplatform_hub.operations.decision_reader import DecisionReader, Scene, next_place
from aiplatform_hub.operations.queue_json import entries_from_json
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.decisions import DecisionStore, StoredDecision
from aiplatform_hub.storage.devices import Pool
from aiplatform_hub.storage.queue_moves import QueueMoveStore
from aiplatform_hub.storage.queue_outlooks import QueueOutlookStore


class QueueDesk:
    """Acts on queued requests. Every method is one transaction; who may call it is the caller's matter."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        decisions: DecisionStore,
        outlooks: QueueOutlookStore,
        moves: QueueMoveStore,
        reader: DecisionReader,
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._decisions = decisions
        self._outlooks = outlooks
        self._moves = moves
        self._reader = reader
        self._audit_trail = audit_trail
        self._clock = clock

    def entries(self) -> tuple[QueueEntry, ...]:
        """Return every queued request in order, with its place and reason, as of the dispatcher's last pass; newer ones at the end."""
        with self._database.read() as connection:
            queued = {allocation.id: allocation for allocation in self._allocations.live(connection).queued}
            stored = self._outlooks.entries(connection)
            moves = self._moves.standing(connection) if any(a.moved_up_at for a in queued.values()) else ()
        known = [entry for entry in entries_from_json(stored) if entry.id in queued] if stored else []
        new = queued.keys() - {entry.id for entry in known}
        reasons = [(entry.id, entry.reason) for entry in known]
        reasons += [(id_, WaitReason(WaitCode.NEW, requested=str(a.request.gpus))) for id_, a in queued.items() if id_ in new]
        return tuple(QueueEntry(id_, position, reason, note_on(id_, moves)) for position, (id_, reason) in enumerate(reasons, 1))

    def entry(self, allocation_id: UUID) -> QueueEntry | None:
        """Return one of them; None when it is not queued."""
        return next((entry for entry in self.entries() if entry.id == allocation_id), None)

    def withdraw(self, allocation_id: UUID, *, by: str, cause: EndCause = EndCause.STOPPED_BY_USER, message: str = "") -> bool:
        """Withdraw a request that is queued, or held and not yet taken up by a start.

        ``stopped_by_admin`` leaves an audit row in the same transaction.

        Parameters
        ----------
        message
            What its owner is told.

        Returns
        -------
        bool
            False when it is neither: then it is running, starting or over.
        """
        with self._database.write() as connection:
            self._reader.lock(connection)
            allocation = self._allocations.find(connection, allocation_id)
            if allocation is None or not (allocation.is_queued or (allocation.state is AllocationState.HELD and allocation.starting_at is None)):
                return False
            now = self._clock()
            self._allocations.change(
                connection,
                allocation,
                to=AllocationState.WITHDRAWN,
                at=now,
                cause=cause.value,
                actor=by,
                is_untaken=True,
                ended_at=max(now, allocation.held_at or now),
                end_cause=cause,
                stop_requested_by=by,
                stop_message=message or None,
            )
            if cause is EndCause.STOPPED_BY_ADMIN:
                detail = {"message": message} if message else {}
                self._audit_trail.record(
                    connection, actor=by, action="withdraw_request", target=f"allocation:{allocation_id}", outcome="allowed", detail=detail
                )
            return True

    def change_gpus(self, allocation_id: UUID, caller: Caller, gpus: int, *, by: str) -> Allocation:
        """Change the GPU count of a queued request. Fewer GPUs keep the submit time, more go to the back.

        Parameters
        ----------
        caller
            Its owner as the hub knows them now.

        Raises
        ------
        NotFoundError
            If there is no such allocation.
        ConflictError
            If it is not queued any more.
        InvalidOptionError
            If its environment template does not allow so many.
        QuotaExceededError
            If so many never fit; the request stays as it was.
        """
        with self._database.write() as connection:
            scene = Scene(self._clock(), self._reader.pool(connection, is_locking=True), self._allocations.live(connection))
            allocation = self._queued(connection, allocation_id)
            request = self._with_gpus(allocation.request, caller, gpus, scene.pool)
            if request == allocation.request:
                return allocation
            queued_at = next_place(scene) if gpus > allocation.request.gpus else allocation.queued_at
            self._store_decision(connection, caller, allocation, request, scene, by)
            changed = self._allocations.change(
                connection,
                allocation,
                to=AllocationState.QUEUED,
                at=scene.now,
                cause="changed",
                actor=by,
                request=request,
                queued_at=queued_at,
                confirmed_at=scene.now,
            )
            self._audit_for_another(connection, allocation, by, action="change_request", detail={"gpus": str(gpus)})
            return changed or allocation

    def confirm(self, allocation_id: UUID, *, by: str) -> Allocation:
        """Renew the owner's interest, so that the request does not expire.

        Raises
        ------
        NotFoundError
            If there is no such allocation.
        ConflictError
            If it is not queued any more.
        """
        with self._database.write() as connection:
            self._reader.lock(connection)
            allocation = self._queued(connection, allocation_id)
            now = self._clock()
            changed = self._allocations.change(connection, allocation, to=AllocationState.QUEUED, at=now, cause="confirmed", actor=by, confirmed_at=now)
            self._audit_for_another(connection, allocation, by, action="confirm_request", detail={})
            return changed or allocation

    def _audit_for_another(self, connection: Connection, allocation: Allocation, by: str, *, action: str, detail: Mapping[str, str]) -> None:
        """Leave a row of what somebody does to another person's request."""
        if by != allocation.user_name:
            self._audit_trail.record(connection, actor=by, action=action, target=f"allocation:{allocation.id}", outcome="allowed", detail=detail)

    def _queued(self, connection: Connection, allocation_id: UUID) -> Allocation:
        allocation = self._allocations.find(connection, allocation_id)
        if allocation is None:
            raise NotFoundError("There is no such allocation.")
        if not allocation.is_queued:
            raise ConflictError(f"This request does not wait in the queue any more; it is {allocation.state.value}.")
        return allocation

    def _with_gpus(self, request: LaunchRequest, caller: Caller, gpus: int, pool: Pool) -> LaunchRequest:
        """Return the same request with another GPU count, validated as a launch is."""
        options = {name: value for name, value in options_of(request).items() if gpus or name != "gpu_type"}
        types = sorted({device.gpu_type for device in pool.devices})
        return resolve({**options, "gpus": gpus}, catalog=self._reader.catalog, caller=caller, available_gpu_types=types)

    def _store_decision(  # noqa: PLR0913, PLR0917  private
        self, connection: Connection, caller: Caller, allocation: Allocation, request: LaunchRequest, scene: Scene, by: str
    ) -> None:
        """Decide on the changed request; refuse what never fits."""
        facts = self._reader.facts(connection, caller, request.project, scene.now, has_queue=True)
        inputs = self._reader.inputs(caller, replace(allocation, request=request), scene, facts, may_wait=True)
        decision = inputs.decide()
        if decision.outcome is Outcome.DENY:
            raise refusal(decision)
        stored = StoredDecision(uuid4(), allocation.id, scene.now, by, decision.outcome.value, None, to_json(inputs), decision.reasons)
        self._decisions.insert(connection, stored)
