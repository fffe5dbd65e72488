"""The meter: opens and closes usage intervals by the runtime's record, never by the hub's clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from aiplatform_hub import metrics
from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause, ServerKey
from aiplatform_hub.domain.ledger import chained
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.errors import ServerExistsError
from aiplatform_hub.operations.requeueing import is_due_again, put_back, queue_again
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database, TakenError
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.ledger_head import LedgerHead
from aiplatform_hub.storage.usage import UsageStore

_log = logging.getLogger(__name__)

OWN_END = frozenset({EndCause.EXITED, EndCause.CRASHED, EndCause.KILLED, EndCause.DELETED})
"""Causes that the runtime shows by itself; a stop that was asked for explains them better."""
_WITHDRAWN = frozenset({EndCause.STOPPED_BY_USER, EndCause.STOPPED_BY_ADMIN, EndCause.STOPPED, EndCause.CULLED})


class UsageMeter:
    """Meters allocations. Every method is one transaction and may be repeated, by several processes at once."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        devices: DeviceStore,
        usage: UsageStore,
        ledger_head: LedgerHead,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._devices = devices
        self._usage = usage
        self._head = ledger_head
        self._clock = clock

    def started(self, allocation_id: UUID, started_at: datetime, *, actor: str = "hub") -> bool:
        """Open the interval of a held allocation.

        Returns
        -------
        bool
            False when the allocation is not open any more: the caller must then stop the process.
        """
        with self._database.write() as connection:
            self._devices.lock(connection)
            allocation = self._allocations.find(connection, allocation_id)
            if allocation is None or not allocation.is_open:
                return False
            if allocation.state is AllocationState.ACTIVE:
                return True
            starting_at = allocation.starting_at or self._clock()
            self._allocations.change(
                connection,
                allocation,
                to=AllocationState.ACTIVE,
                at=started_at,
                cause="started",
                actor=actor,
                started_at=started_at,
                starting_at=starting_at,
            )
            self._usage.open(connection, _interval(allocation, started_at))
            return True

    def ready(self, allocation_id: UUID, at: datetime, *, actor: str = "hub") -> None:
        """Note when the server first answered."""
        with self._database.write() as connection:
            self._devices.lock(connection)
            allocation = self._allocations.find(connection, allocation_id)
            if allocation is None or allocation.state is not AllocationState.ACTIVE or allocation.ready_at is not None:
                return
            self._allocations.change(connection, allocation, to=AllocationState.ACTIVE, at=at, cause="ready", actor=actor, ready_at=at)

    def found_ready(self, ids: Collection[UUID], at: datetime, *, actor: str = "hub") -> None:
        """As :meth:`ready` for servers that a new hub found running; only those of which it is not known yet are written."""
        with self._database.read() as connection:
            unknown = self._allocations.not_ready(connection)
        for id_ in unknown & set(ids):
            self.ready(id_, at, actor=actor)

    def seen(self, proofs: Mapping[UUID, datetime]) -> int:
        """Store proofs of life by allocation, in one statement and never backwards; return how many moved."""
        if not proofs:
            return 0
        with self._database.write() as connection:
            return self._usage.seen(connection, proofs)

    def request_stop(self, allocation_id: UUID, by: str, cause: EndCause) -> bool:
        """Note who wants the server stopped, before the hub is asked to; False when it is not open."""
        with self._database.write() as connection:
            self._devices.lock(connection)
            return self._allocations.request_stop(connection, allocation_id, by=by, cause=cause)

    def ended(self, allocation_id: UUID, ended_at: datetime, cause: EndCause, *, estimated: bool = False, actor: str = "hub") -> bool:
        """Close the interval, chain it, end the allocation and release its devices.

        A stop that was asked for wins over what the process shows. The end is never before the start.

        Returns
        -------
        bool
            False when it had ended already; then nothing changes.
        """
        with self._database.write() as connection:
            self._devices.lock(connection)
            allocation = self._allocations.find(connection, allocation_id)
            if allocation is None or not allocation.is_open:
                return False
            cause = allocation.stop_cause if allocation.stop_cause is not None and cause in OWN_END else cause
            if allocation.state is AllocationState.HELD:
                return self._release(connection, allocation, cause, actor)
            closed = self._close(connection, allocation_id, ended_at, cause, estimated=estimated)
            end = max(ended_at, closed.ended_at or ended_at) if closed else ended_at
            changed = self._allocations.change(
                connection,
                allocation,
                to=AllocationState.ENDED,
                at=end,
                cause=cause.value,
                actor=actor,
                ended_at=max(end, allocation.held_at or end),
                end_cause=cause,
                estimated=estimated,
            )
            if changed is not None and is_due_again(allocation, cause):
                queue_again(self._allocations, connection, allocation, cause, self._clock())
        if closed is not None:
            self._after_close(closed)
        return True

    def released(self, allocation_id: UUID, cause: EndCause, actor: str) -> bool:
        """Release a hold whose server never started: ended, expired or withdrawn.

        One out of the queue whose start failed goes back to the front, once.

        Returns
        -------
        bool
            False when there is nothing to release; for ``hold_expired`` also when a start has taken the hold up meanwhile.
        """
        with self._database.write() as connection:
            self._devices.lock(connection)
            allocation = self._allocations.find(connection, allocation_id)
            if allocation is None or allocation.state is not AllocationState.HELD:
                return False
            return self._release(connection, allocation, cause, actor)

    def renamed(self, spawner_id: int, new_name: str, *, before: ServerKey | None = None, actor: str = "hub") -> bool:
        """Give the open allocation of a spawner, or the queued one of its server, the new name; False when there is none.

        Parameters
        ----------
        before
            The server under its old name: a request that waits knows no spawner yet.

        Raises
        ------
        ServerExistsError
            If another open or queued allocation of this person has that name.
        """
        try:
            with self._database.write() as connection:
                self._devices.lock(connection)
                live = self._allocations.live(connection)
                waiting = (a for a in live.queued if before is not None and (a.user_id, a.server_name) == (before.user_id, before.server_name))
                allocation = next((a for a in (*live.open, *waiting) if a.is_queued or a.spawner_id == spawner_id), None)
                if allocation is None or allocation.server_name == new_name:
                    return allocation is not None
                changed = self._allocations.change(
                    connection, allocation, to=allocation.state, at=self._clock(), cause="renamed", actor=actor, server_name=new_name
                )
                return changed is not None
        except TakenError as error:
            raise ServerExistsError(f"Another server with the name “{new_name}” is running or starting.") from error

    def _release(self, connection: Connection, allocation: Allocation, cause: EndCause, actor: str) -> bool:
        is_taken_up = allocation.starting_at is not None
        if cause is EndCause.HOLD_EXPIRED and is_taken_up:
            return False
        state = AllocationState.ENDED
        if cause is EndCause.HOLD_EXPIRED:
            state = AllocationState.EXPIRED
        elif cause in _WITHDRAWN and not is_taken_up:
            state = AllocationState.WITHDRAWN
        now, is_again = self._clock(), is_due_again(allocation, cause)
        if is_again and not is_taken_up:
            return put_back(self._allocations, connection, allocation, now, actor)
        ended_at = max(now, allocation.held_at or now)
        changed = self._allocations.change(
            connection, allocation, to=state, at=now, cause=cause.value, actor=actor, is_untaken=not is_taken_up, ended_at=ended_at, end_cause=cause
        )
        if changed is not None and is_again:
            queue_again(self._allocations, connection, allocation, cause, now)
        return changed is not None

    def _close(self, connection: Connection, allocation_id: UUID, ended_at: datetime, cause: EndCause, *, estimated: bool) -> UsageInterval | None:
        interval = self._usage.open_of(connection, allocation_id)
        if interval is None:
            return None
        head = self._usage.head(connection)
        ended = replace(interval, ended_at=max(ended_at, interval.started_at), end_cause=cause, estimated=estimated)
        closed = chained(ended, sequence=head.sequence + 1, previous_hash=head.hash)
        self._usage.close(connection, closed)
        return closed

    def _after_close(self, closed: UsageInterval) -> None:
        """Count the interval and move the head outside the database, which may lag after a crash but never leads."""
        if closed.ended_at is not None:
            seconds = (closed.ended_at - closed.started_at).total_seconds() * closed.gpus
            metrics.GPU_SECONDS_METERED.labels(closed.gpu_type or "none").inc(seconds)
        try:
            self._head.write(closed.sequence or 0, closed.hash or "")
        except OSError:
            _log.exception("Ledger head not written; the next closed interval moves it: sequence=%s", closed.sequence)


def _interval(allocation: Allocation, started_at: datetime) -> UsageInterval:
    request = allocation.request
    return UsageInterval(
        id=uuid4(),
        allocation_id=allocation.id,
        user_id=allocation.user_id,
        user_name=allocation.user_name,
        project=request.project,
        cost_centre=request.cost_centre,
        environment_template=request.environment_template,
        gpus=request.gpus,
        gpu_type=request.gpu_type,
        memory_bytes=request.memory_bytes,
        cpu_cores=request.cpu_cores,
        started_at=started_at,
        last_seen_at=started_at,
    )
