"""Decide and hold: one transaction, under a lock that the database enforces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from aiplatform_hub import metrics
from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause, GpuDevice, ServerKey
from aiplatform_hub.domain.catalog import Catalog, RateCard
from aiplatform_hub.domain.policy import SHIPPED, Policy
from aiplatform_hub.domain.queueing import DEFAULT_MAX_QUEUED
from aiplatform_hub.domain.quota import Capacity, Decision, LimitUsage, Outcome, refusal, tier_of, usage_against
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.supply import GpuTypeCapacity, count_gpus
from aiplatform_hub.errors import CapacityError, ConflictError, NotFoundError, Reason, ServerExistsError
from aiplatform_hub.operations.decision_archive import DecisionArchive
from aiplatform_hub.operations.decision_reader import DecisionReader, Scene, must_end_of, next_place
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.audit import AuditEvent, AuditStore
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.database import Connection, Database, TakenError
from aiplatform_hub.storage.decisions import DecisionStore, StoredDecision
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.facts import Facts, FactStore


@dataclass(frozen=True, slots=True)
class Start:
    """A start that wants resources: of which server, from where, and whether it is already under way."""

    server: ServerKey
    door: str
    actor: str
    is_starting: bool = False
    hub_instance: str | None = None
    idempotency_key: str | None = None
    may_wait: bool = False


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision as it was stored, and what the same inputs give now."""

    decision: StoredDecision
    outcome: Outcome
    reasons: tuple[Reason, ...]
    replayed: Decision

    @property
    def is_reproduced(self) -> bool:
        """Whether the replay has the stored outcome and reasons."""
        return self.replayed.outcome is self.outcome and self.replayed.reasons == self.reasons


class QuotaEnforcer:
    """Decides whether a start fits every limit, and holds its resources in the same transaction."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        catalog: Catalog,
        allocations: AllocationStore,
        decisions: DecisionStore,
        devices: DeviceStore,
        facts: FactStore,
        audit: AuditStore,
        budgets: BudgetStore,
        cards: Callable[[], tuple[RateCard, ...]],
        clock: Callable[[], datetime],
        policy: Callable[[], Policy] = lambda: SHIPPED,
        max_queued_per_user: int = DEFAULT_MAX_QUEUED,
        is_kueue: bool = False,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._allocations = allocations
        self._decisions = decisions
        self._devices = devices
        self._audit = audit
        self._budgets = budgets
        self._clock = clock
        self._archive = DecisionArchive(decisions)
        self._reader = DecisionReader(
            catalog=catalog,
            devices=devices,
            facts=facts,
            budgets=budgets,
            cards=cards,
            policy=policy,
            max_queued_per_user=max_queued_per_user,
            is_kueue=is_kueue,
        )

    def register_devices(self, devices: Sequence[GpuDevice], memory_bytes: int, cpu_cores: int) -> None:
        """Store what the machine has; a device that vanished becomes unhealthy."""
        with self._database.write() as connection:
            self._devices.lock(connection)
            self._devices.register(connection, devices, memory_bytes=memory_bytes, cpu_cores=cpu_cores, at=self._clock())

    def dry_run(self, caller: Caller, request: LaunchRequest, *, may_wait: bool = False) -> Decision:
        """Return what a hold would be answered now, and change nothing; with ``may_wait`` also ``queue``."""
        with self._database.read() as connection:
            scene = self._scene(connection, is_locking=False)
            draft = _draft(caller, request, Start(ServerKey(caller.user_id, ""), "rest", caller.user_name), scene)
            return self._reader.inputs(caller, draft, scene, self._facts(connection, caller, request, scene), may_wait=may_wait).decide()

    def hold(  # noqa: PLR0913  keyword-only
        self,
        caller: Caller,
        request: LaunchRequest,
        server: ServerKey,
        *,
        door: str,
        actor: str,
        is_starting: bool = False,
        hub_instance: str | None = None,
        idempotency_key: str | None = None,
        may_wait: bool = False,
    ) -> Allocation:
        """Decide and hold, or queue, in one transaction.

        Parameters
        ----------
        may_wait
            Whether the caller wants to wait: what does not fit now but could later is queued instead of refused.

        Returns
        -------
        Allocation
            The new allocation in state held, or queued, or the one that the same idempotency key made before.

        Raises
        ------
        AIPlatformError
            The refusal, stored with its inputs; or :class:`ServerExistsError`; or :class:`ServiceUnavailableError`.
        """
        start = Start(server, door, actor, is_starting=is_starting, hub_instance=hub_instance, idempotency_key=idempotency_key, may_wait=may_wait)
        with self._one_transaction() as connection:
            scene = self._scene(connection, is_locking=True)
            facts = self._facts(connection, caller, request, scene, idempotency_key)
            if facts.first_allocation_id is not None:
                return self._first_answer(connection, facts.first_allocation_id, request, server)
            allocation, decision = self._decide(connection, caller, _draft(caller, request, start, scene), scene, facts, start)
        return self._answer(allocation, decision)

    def take_up(  # noqa: PLR0913  keyword-only
        self, caller: Caller, request: LaunchRequest, server: ServerKey, *, door: str, actor: str, hub_instance: str, is_dispatched: bool = False
    ) -> Allocation:
        """Give a start the hold that waits for it, or decide anew.

        A hold of the same server with another request is withdrawn in the same transaction.

        Parameters
        ----------
        is_dispatched
            Whether the keeper starts it for somebody who waited: it takes their hold, or nothing.

        Raises
        ------
        AIPlatformError
            As :meth:`hold`; :class:`ConflictError` if a dispatched start finds no hold.
        """
        start = Start(server, door, actor, is_starting=True, hub_instance=hub_instance)
        with self._one_transaction() as connection:
            scene = self._scene(connection, is_locking=True)
            waiting = next((a for a in scene.live.open if _is_same_server(a, server) and a.state is AllocationState.HELD and a.starting_at is None), None)
            if waiting is not None and waiting.request == request:
                return self._take(connection, waiting, start, scene.now)
            if is_dispatched:
                raise ConflictError("This server's place in the queue is gone, or what it asks for has changed: nothing is started.")
            if waiting is not None:
                self._withdraw(connection, waiting, actor, scene.now)
                opened = tuple(a for a in scene.live.open if a.id != waiting.id)
                scene = replace(scene, live=replace(scene.live, open=opened))
            facts = self._facts(connection, caller, request, scene)
            allocation, decision = self._decide(connection, caller, _draft(caller, request, start, scene), scene, facts, start)
        return self._answer(allocation, decision)

    def quota_of(self, caller: Caller, project: str | None = None, *, viewer: Caller | None = None) -> tuple[LimitUsage, ...]:
        """Return one row for each limit of a person, and of a project if one is named: the limit, what is used of it and by what."""
        with self._database.read() as connection:
            facts = self._reader.facts(connection, caller, project, self._clock())
            opened = self._allocations.open(connection)
        limits = self._reader.limits(caller, project, facts)
        return usage_against(limits, caller, opened, self._reader.observed(caller, project, facts), viewer)

    def tier_name(self, caller: Caller) -> str:
        """Return the tier that a person has now, by group or grant."""
        with self._database.read() as connection:
            facts = self._reader.facts(connection, caller, None, self._clock())
        return tier_of(caller, self._catalog, facts.granted_tier).name

    def capacity(self) -> tuple[GpuTypeCapacity, ...]:
        """Return the GPUs of the machine or cluster by type."""
        with self._database.read() as connection:
            pool = self._devices.pool(connection)
            held = self._allocations.leased(connection)
        return count_gpus(pool.devices if pool else (), held.keys(), self._catalog.node_pools)

    def whole_capacity(self) -> Capacity:
        """Return what the machine or cluster has, whoever holds it; for :mod:`aiplatform_hub.domain.supply`."""
        with self._database.read() as connection:
            pool = self._devices.pool(connection)
        return Capacity(0, 0) if pool is None else self._reader.capacity(pool, ())

    def why(self, allocation_id: UUID) -> DecisionRecord:
        """Return the decision about an allocation and its replay.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        with self._database.read() as connection:
            stored = self._decisions.of_allocation(connection, allocation_id)
            if stored is None:
                raise NotFoundError("There is no such allocation.")
            inputs = self._archive.read(connection, stored)
        whole = self._archive.whole(stored, inputs)
        return DecisionRecord(decision=whole, outcome=Outcome(stored.outcome), reasons=stored.reasons, replayed=inputs.decide())

    def replay(self, decision_id: UUID) -> Decision:
        """Decide again from the stored inputs.

        Raises
        ------
        NotFoundError
            If there is no such decision.
        """
        with self._database.read() as connection:
            stored = self._decisions.find(connection, decision_id)
            if stored is None:
                raise NotFoundError("There is no such decision.")
            inputs = self._archive.read(connection, stored)
        return inputs.decide()

    @contextmanager
    def _one_transaction(self) -> Iterator[Connection]:
        """Open a write transaction in which a broken constraint is a refusal, never an internal error."""
        _ = self._reader.policy  # looked up now, so that nobody waits for it under the lock
        try:
            with self._database.write(is_first=True) as connection:
                yield connection
        except TakenError as error:
            text = error.constraint
            if "gpu_leases" in text:
                message = "Another start took the GPUs at this very moment."
                reason = Reason(code="capacity", message=message, dimension="gpus", scope="machine", remedies=("Try again.",))
                raise CapacityError(message, (reason,), retry_after_seconds=1) from error
            if "server" in text or "spawner" in text:
                raise _server_exists("") from error
            raise

    def _scene(self, connection: Connection, *, is_locking: bool) -> Scene:
        pool = self._reader.pool(connection, is_locking=is_locking)
        return Scene(self._clock(), pool, self._allocations.live(connection))

    def _facts(self, connection: Connection, caller: Caller, request: LaunchRequest, scene: Scene, key: str | None = None) -> Facts:
        return self._reader.facts(connection, caller, request.project, scene.now, key=key, has_queue=bool(scene.live.queued))

    def _decide(  # noqa: PLR0913, PLR0917  private
        self, connection: Connection, caller: Caller, draft: Allocation, scene: Scene, facts: Facts, start: Start
    ) -> tuple[Allocation, Decision]:
        """Decide, and store the decision and its allocation, held, queued or denied."""
        if any(_is_same_server(allocation, start.server) for allocation in (*scene.live.open, *scene.live.queued)):
            raise _server_exists(start.server.server_name, is_queued=any(_is_same_server(a, start.server) for a in scene.live.queued))
        inputs = self._reader.inputs(caller, draft, scene, facts, may_wait=start.may_wait)
        decision = inputs.decide()
        draft = replace(draft, tier=tier_of(caller, self._catalog, facts.granted_tier).name)
        allocation = _decided(draft, decision, start, scene.now)
        stored = StoredDecision(
            id=uuid4(),
            allocation_id=allocation.id,
            at=scene.now,
            actor=start.actor,
            outcome=decision.outcome.value,
            error_code=decision.error_code,
            inputs=self._archive.write(connection, inputs),
            reasons=decision.reasons,
        )
        self._decisions.insert(connection, stored)
        self._allocations.insert(connection, allocation, idempotency_key=start.idempotency_key)
        if allocation.state is AllocationState.HELD:
            self._budgets.hold(connection, allocation.id, inputs.claims, scene.now)
        if start.actor != allocation.user_name:
            self._audit_start_for_another(connection, allocation, scene.now)
        return allocation, decision

    def _audit_start_for_another(self, connection: Connection, allocation: Allocation, now: datetime) -> None:
        """Leave a row of a start by an admin or a service for somebody else, denied ones included."""
        outcome = "denied" if allocation.state is AllocationState.DENIED else "allowed"
        detail = {"user": allocation.user_name, "server": allocation.server_name}
        event = AuditEvent(at=now, actor=allocation.actor, action="launch_session", target=f"allocation:{allocation.id}", outcome=outcome, detail=detail)
        self._audit.insert(connection, event)

    def _answer(self, allocation: Allocation, decision: Decision) -> Allocation:
        """Return what was held, or raise the refusal; the transaction is committed by now."""
        if allocation.state is AllocationState.DENIED:
            raise refusal(decision)
        (metrics.QUEUED if allocation.is_queued else metrics.HOLDS).labels(allocation.door).inc()
        return allocation

    def _first_answer(self, connection: Connection, allocation_id: UUID, request: LaunchRequest, server: ServerKey) -> Allocation:
        """Return or raise what this idempotency key was answered the first time."""
        first = self._allocations.find(connection, allocation_id)
        stored = self._decisions.of_allocation(connection, allocation_id)
        if first is None or stored is None or first.request != request or first.server_name != server.server_name:
            raise ConflictError("This Idempotency-Key was used for another request; choose a new one.")
        if first.state is AllocationState.DENIED:
            raise refusal(Decision(outcome=Outcome(stored.outcome), error_code=stored.error_code, reasons=stored.reasons, devices=()))
        return first

    def _take(self, connection: Connection, waiting: Allocation, start: Start, now: datetime) -> Allocation:
        values: Mapping[str, Any] = {"starting_at": now, "spawner_id": start.server.spawner_id or waiting.spawner_id, "hub_instance": start.hub_instance}
        taken = self._allocations.change(connection, waiting, to=AllocationState.HELD, at=now, cause="starting", actor=start.actor, **values)
        if taken is None:
            raise ConflictError("The hold for this server was released at this very moment; start it again.")
        return taken

    def _withdraw(self, connection: Connection, waiting: Allocation, actor: str, now: datetime) -> None:
        cause, ended_at = EndCause.STOPPED_BY_USER, max(now, waiting.held_at or now)
        self._allocations.change(
            connection,
            waiting,
            to=AllocationState.WITHDRAWN,
            at=now,
            cause=cause.value,
            actor=actor,
            ended_at=ended_at,
            end_cause=cause,
            stop_requested_by=actor,
        )
        self._budgets.release(connection, waiting.id, now)


def _is_same_server(allocation: Allocation, server: ServerKey) -> bool:
    if allocation.user_id != server.user_id:
        return False
    has_same_id = server.spawner_id is not None and allocation.spawner_id == server.spawner_id
    return has_same_id or allocation.server_name == server.server_name


def _draft(caller: Caller, request: LaunchRequest, start: Start, scene: Scene) -> Allocation:
    """Return a request as it would wait."""
    return Allocation(
        id=uuid4(),
        user_id=start.server.user_id,
        user_name=caller.user_name,
        server_name=start.server.server_name,
        spawner_id=start.server.spawner_id,
        request=request,
        state=AllocationState.QUEUED,
        devices=(),
        door=start.door,
        actor=start.actor,
        requested_at=scene.now,
        queued_at=next_place(scene),
        confirmed_at=scene.now,
    )


def _decided(draft: Allocation, decision: Decision, start: Start, now: datetime) -> Allocation:
    """Return a request as it was decided."""
    if decision.outcome is Outcome.QUEUE:
        return draft
    decided = replace(draft, queued_at=None, confirmed_at=None)
    if decision.outcome is Outcome.DENY:
        return replace(decided, state=AllocationState.DENIED, ended_at=now)
    starting_at = now if start.is_starting else None
    return replace(
        decided,
        state=AllocationState.HELD,
        devices=decision.devices,
        held_at=now,
        starting_at=starting_at,
        hub_instance=start.hub_instance,
        must_end_at=must_end_of(decision),
    )


def _server_exists(name: str, *, is_queued: bool = False) -> ServerExistsError:
    which = f"Your server “{name}”" if name else "This server"
    if is_queued:
        message = f"{which} waits in the queue already and starts by itself when its turn comes."
        return ServerExistsError(message, (Reason("server_exists", message, remedies=("Withdraw it from the queue first.", "Choose another server name.")),))
    message = f"{which} is already running or starting."
    return ServerExistsError(message, (Reason(code="server_exists", message=message, remedies=("Open it, or stop it first.", "Choose another server name.")),))
