"""Decide and hold: one transaction, under a lock that the database enforces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from aiplatform_hub import metrics
from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause, GpuDevice, ServerKey
from aiplatform_hub.domain.catalog import Catalog, Project
from aiplatform_hub.domain.quota import Capacity, Decision, DeviceState, Limit, LimitUsage, Observed, Outcome, limits_for, refusal, tier_of, usage_against
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.errors import CapacityError, ConflictError, NotFoundError, Reason, ServerExistsError, ServiceUnavailableError
from aiplatform_hub.operations.decision_inputs import DecisionInputs, from_json, to_json
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.audit import AuditEvent, AuditStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.decisions import DecisionStore, StoredDecision
from aiplatform_hub.storage.devices import DeviceStore, Pool
from aiplatform_hub.storage.facts import ALWAYS, Facts, FactsQuery, FactStore

_MICROSECONDS_PER_HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Start:
    """A start that wants resources: of which server, from where, and whether it is already under way."""

    server: ServerKey
    door: str
    actor: str
    is_starting: bool = False
    hub_instance: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class GpuTypeCapacity:
    """GPUs of one type; ``total`` is the sum of ``free``, ``held`` and ``unhealthy``."""

    name: str
    total: int
    free: int
    held: int
    unhealthy: int
    """Broken or gone, and not held."""
    simulated: bool


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
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._allocations = allocations
        self._decisions = decisions
        self._devices = devices
        self._facts = facts
        self._audit = audit
        self._clock = clock

    def register_devices(self, devices: Sequence[GpuDevice], memory_bytes: int, cpu_cores: int) -> None:
        """Store what the machine has; a device that vanished becomes unhealthy."""
        with self._database.write() as connection:
            self._devices.lock(connection)
            self._devices.register(connection, devices, memory_bytes=memory_bytes, cpu_cores=cpu_cores, at=self._clock())

    def dry_run(self, caller: Caller, request: LaunchRequest) -> Decision:
        """Return what a hold would be answered now, and change nothing."""
        with self._database.read() as connection:
            pool = self._pool(connection, is_locking=False)
            facts = self._read_facts(connection, caller, request.project, self._clock())
            return self._inputs(caller, request, pool, facts, self._allocations.open(connection)).decide()

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
    ) -> Allocation:
        """Decide and hold in one transaction.

        Returns
        -------
        Allocation
            The new allocation in state held, or the one that the same idempotency key made before.

        Raises
        ------
        AIPlatformError
            The refusal, stored with its inputs; or :class:`ServerExistsError`; or :class:`ServiceUnavailableError`.
        """
        start = Start(server, door, actor, is_starting=is_starting, hub_instance=hub_instance, idempotency_key=idempotency_key)
        with self._one_transaction() as connection:
            now = self._clock()
            pool = self._pool(connection, is_locking=True)
            facts = self._read_facts(connection, caller, request.project, now, idempotency_key)
            if facts.first_allocation_id is not None:
                return self._first_answer(connection, facts.first_allocation_id, request, server)
            inputs = self._inputs(caller, request, pool, facts, self._allocations.open(connection))
            allocation, decision = self._decide(connection, inputs, start, now)
        return self._answer(allocation, decision)

    def take_up(self, caller: Caller, request: LaunchRequest, server: ServerKey, *, door: str, actor: str, hub_instance: str) -> Allocation:  # noqa: PLR0913  keyword-only
        """Give a start the hold that waits for it, or decide anew.

        A hold of the same server with another request is withdrawn in the same transaction.

        Raises
        ------
        AIPlatformError
            As :meth:`hold`.
        """
        start = Start(server, door, actor, is_starting=True, hub_instance=hub_instance)
        with self._one_transaction() as connection:
            now = self._clock()
            pool = self._pool(connection, is_locking=True)
            opened = self._allocations.open(connection)
            waiting = next((a for a in opened if _is_same_server(a, server) and a.state is AllocationState.HELD and a.starting_at is None), None)
            if waiting is not None and waiting.request == request:
                return self._take(connection, waiting, start, now)
            if waiting is not None:
                self._withdraw(connection, waiting, actor, now)
                opened = tuple(a for a in opened if a.id != waiting.id)
            facts = self._read_facts(connection, caller, request.project, now)
            allocation, decision = self._decide(connection, self._inputs(caller, request, pool, facts, opened), start, now)
        return self._answer(allocation, decision)

    def quota_of(self, caller: Caller, project: str | None = None, *, viewer: Caller | None = None) -> tuple[LimitUsage, ...]:
        """Return one row for each limit of a person, and of a project if one is named: the limit, what is used of it and by what."""
        with self._database.read() as connection:
            facts = self._read_facts(connection, caller, project, self._clock())
            opened = self._allocations.open(connection)
        limits = self._limits(caller, project, facts)
        return usage_against(limits, caller, opened, self._observed(caller, project, facts), viewer)

    def tier_name(self, caller: Caller) -> str:
        """Return the tier that a person has now, by group or grant."""
        with self._database.read() as connection:
            facts = self._read_facts(connection, caller, None, self._clock())
        return tier_of(caller, self._catalog, facts.granted_tier).name

    def capacity(self) -> tuple[GpuTypeCapacity, ...]:
        """Return the GPUs of the machine by type."""
        with self._database.read() as connection:
            pool = self._devices.pool(connection)
            held = self._allocations.leased(connection)
        devices = pool.devices if pool else ()
        return tuple(_count(name, [d for d in devices if d.gpu_type == name], held) for name in sorted({d.gpu_type for d in devices}))

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
        return DecisionRecord(decision=stored, outcome=Outcome(stored.outcome), reasons=stored.reasons, replayed=from_json(stored.inputs).decide())

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
        return from_json(stored.inputs).decide()

    @contextmanager
    def _one_transaction(self) -> Iterator[Connection]:
        """Open a write transaction in which a broken constraint is a refusal, never an internal error."""
        try:
            with self._database.write() as connection:
                yield connection
        except IntegrityError as error:
            text = str(error.orig)
            if "gpu_leases" in text:
                message = "Another start took the GPUs at this very moment."
                reason = Reason(code="capacity", message=message, dimension="gpus", scope="machine", remedies=("Try again.",))
                raise CapacityError(message, (reason,), retry_after_seconds=1) from error
            if "server" in text or "spawner" in text:
                raise _server_exists("") from error
            raise

    def _pool(self, connection: Connection, *, is_locking: bool) -> Pool:
        pool = self._devices.pool(connection, is_locking=is_locking)
        if pool is None:
            raise ServiceUnavailableError("The platform does not know this machine's resources yet; try again in a few seconds.", retry_after_seconds=5)
        return pool

    def _read_facts(self, connection: Connection, caller: Caller, project: str | None, now: datetime, idempotency_key: str | None = None) -> Facts:
        own = tier_of(caller, self._catalog, None)
        windows = dict.fromkeys(_windows(own.limits), ALWAYS)
        for tier in self._catalog.tiers.values():
            for days in _windows(tier.limits) - {days for days, tiers in windows.items() if not tiers}:
                windows[days] = windows.get(days, ALWAYS) | {tier.name}
        shared = self._project(project)
        query = FactsQuery(
            user_id=caller.user_id,
            user_name=caller.user_name,
            project=project,
            now=now,
            user_windows=windows,
            project_windows=_windows(shared.limits) if shared else frozenset(),
            idempotency_key=idempotency_key,
        )
        return self._facts.read(connection, query)

    def _project(self, name: str | None) -> Project | None:
        return None if name is None else self._catalog.projects.get(name)

    def _limits(self, caller: Caller, project: str | None, facts: Facts) -> tuple[Limit, ...]:
        return limits_for(caller, self._project(project), self._catalog, facts.granted_tier, facts.grant_expires_at)

    def _observed(self, caller: Caller, project: str | None, facts: Facts) -> Observed:
        subjects = {"user": caller.user_name, "project": project or ""}
        hours = {(scope, subjects[scope], days): Decimal(amount) / _MICROSECONDS_PER_HOUR for (scope, days), amount in facts.gpu_microseconds.items()}
        return Observed(storage_bytes=facts.storage_bytes, gpu_hours=hours)

    def _inputs(self, caller: Caller, request: LaunchRequest, pool: Pool, facts: Facts, opened: tuple[Allocation, ...]) -> DecisionInputs:
        held = {device: allocation.id for allocation in opened for device in allocation.devices}
        devices = tuple(DeviceState(device=device, held_by=held.get(device.uuid)) for device in pool.devices)
        return DecisionInputs(
            request=request,
            caller=caller,
            limits=self._limits(caller, request.project, facts),
            open_allocations=opened,
            capacity=Capacity(memory_bytes=pool.memory_bytes, cpu_cores=pool.cpu_cores, devices=devices),
            observed=self._observed(caller, request.project, facts),
        )

    def _decide(self, connection: Connection, inputs: DecisionInputs, start: Start, now: datetime) -> tuple[Allocation, Decision]:
        """Decide, and store the decision and its allocation, held or denied."""
        if any(_is_same_server(allocation, start.server) for allocation in inputs.open_allocations):
            raise _server_exists(start.server.server_name)
        decision = inputs.decide()
        is_admitted = decision.outcome is Outcome.ADMIT
        allocation = Allocation(
            id=uuid4(),
            user_id=start.server.user_id,
            user_name=inputs.caller.user_name,
            server_name=start.server.server_name,
            spawner_id=start.server.spawner_id,
            request=inputs.request,
            state=AllocationState.HELD if is_admitted else AllocationState.DENIED,
            devices=decision.devices if is_admitted else (),
            door=start.door,
            actor=start.actor,
            requested_at=now,
            held_at=now if is_admitted else None,
            starting_at=now if is_admitted and start.is_starting else None,
            ended_at=None if is_admitted else now,
            hub_instance=start.hub_instance if is_admitted else None,
        )
        stored = StoredDecision(
            id=uuid4(),
            allocation_id=allocation.id,
            at=now,
            actor=start.actor,
            outcome=decision.outcome.value,
            error_code=decision.error_code,
            inputs=to_json(inputs),
            reasons=decision.reasons,
        )
        self._decisions.insert(connection, stored)
        self._allocations.insert(connection, allocation, idempotency_key=start.idempotency_key)
        if start.actor != allocation.user_name:
            self._audit_start_for_another(connection, allocation, now)
        return allocation, decision

    def _audit_start_for_another(self, connection: Connection, allocation: Allocation, now: datetime) -> None:
        """Leave a row of a start by an admin or a service for somebody else, denied ones included."""
        outcome = "allowed" if allocation.is_open else "denied"
        detail = {"user": allocation.user_name, "server": allocation.server_name}
        event = AuditEvent(at=now, actor=allocation.actor, action="launch_session", target=f"allocation:{allocation.id}", outcome=outcome, detail=detail)
        self._audit.insert(connection, event)

    def _answer(self, allocation: Allocation, decision: Decision) -> Allocation:
        """Return what was held, or raise the refusal; the transaction is committed by now."""
        if allocation.state is AllocationState.DENIED:
            raise refusal(decision)
        metrics.HOLDS.labels(allocation.door).inc()
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


def _windows(limits: Sequence[Any]) -> frozenset[int]:
    return frozenset(limit.window_days for limit in limits if limit.window_days is not None)


def _is_same_server(allocation: Allocation, server: ServerKey) -> bool:
    if allocation.user_id != server.user_id:
        return False
    has_same_id = server.spawner_id is not None and allocation.spawner_id == server.spawner_id
    return has_same_id or allocation.server_name == server.server_name


def _server_exists(name: str) -> ServerExistsError:
    which = f"Your server “{name}”" if name else "This server"
    message = f"{which} is already running or starting."
    return ServerExistsError(message, (Reason(code="server_exists", message=message, remedies=("Open it, or stop it first.", "Choose another server name.")),))


def _count(name: str, devices: Sequence[GpuDevice], held: Mapping[str, UUID]) -> GpuTypeCapacity:
    taken = sum(device.uuid in held for device in devices)
    free = sum(device.is_healthy and device.uuid not in held for device in devices)
    total = len(devices)
    return GpuTypeCapacity(
        name=name, total=total, free=free, held=taken, unhealthy=total - free - taken, simulated=any(device.is_simulated for device in devices)
    )
