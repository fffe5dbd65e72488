"""Allocations as the REST API shows them. Everything here reads the database: call it in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import quote
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.queueing import QueueEntry
from aiplatform_hub.domain.release_sentences import Told
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.cost_reporter import UsageQuery
from aiplatform_hub.services.platform.auth import Principal
from aiplatform_hub.services.platform.energy_models import EnergyOut, energy_out
from aiplatform_hub.services.platform.models import AllocationOut, CostSoFar, DecisionSummary, HistoryOut, reasons_of
from aiplatform_hub.services.platform.queue_views import QueueSnapshot, QueueViews
from aiplatform_hub.services.platform.release_models import release_of
from aiplatform_hub.services.platform.release_news import told_of
from aiplatform_hub.storage.database import Connection

_MOMENT = timedelta(microseconds=1)


class AllocationViews:
    """Makes the bodies that describe allocations to one caller, who may know of them."""

    def __init__(self, factory: Factory, principal: Principal) -> None:
        self._factory = factory
        self._principal = principal
        self._queue = QueueViews(factory)

    def briefs(self, allocations: Sequence[Allocation]) -> tuple[AllocationOut, ...]:
        """Return allocations with their places in the queue and what becomes of their GPUs, in one look at each."""
        snapshot = self._queue.snapshot() if any(allocation.is_queued for allocation in allocations) else None
        places = {} if snapshot is None else {entry.id: entry for entry in snapshot.entries}
        with self._factory.database.read() as connection:
            releases = told_of(self._factory, connection, allocations, self._factory.clock())
        return tuple(self.brief(a, places.get(a.id), snapshot, releases.get(a.id)) for a in allocations)

    def full(self, allocation_id: UUID) -> AllocationOut:
        """Return everything about one allocation.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        with self._factory.database.read() as connection:
            allocation = self._factory.allocations.find(connection, allocation_id)
            if allocation is None:
                raise NotFoundError("There is no such allocation.")
            history = self._history(connection, allocation_id)
            stored = self._factory.decisions.of_allocation(connection, allocation_id)
        decision = None if stored is None else DecisionSummary(outcome=stored.outcome, at=stored.at, reasons=reasons_of(stored.reasons))
        (brief,) = self.briefs((allocation,))
        return brief.model_copy(update={"history": history, "decision": decision, "cost_so_far": self.cost(allocation), "energy": self.energy(allocation)})

    def brief(
        self, allocation: Allocation, entry: QueueEntry | None = None, snapshot: QueueSnapshot | None = None, release: Told | None = None
    ) -> AllocationOut:
        """Return an allocation without what takes further questions to the database.

        Parameters
        ----------
        entry, snapshot
            Its place in the queue and the look in which it was found; None for what does not wait.
        release
            What becomes of its GPUs; None for what is not active.
        """
        request = allocation.request
        queue = None if entry is None or snapshot is None or not allocation.is_queued else self._queue.body(allocation, entry, snapshot, self._principal)
        return AllocationOut(
            id=allocation.id,
            user=allocation.user_name,
            server_name=allocation.server_name,
            environment_template=request.environment_template,
            gpus=request.gpus,
            gpu_type=request.gpu_type,
            devices=allocation.devices,
            memory_gib=request.memory_bytes // GIB,
            cpu_cores=request.cpu_cores,
            project=request.project,
            cost_centre=request.cost_centre,
            max_hours=request.max_hours,
            state=allocation.state.value,
            queue=queue,
            succeeds=allocation.succeeds,
            must_end_at=allocation.must_end_at,
            release=None if release is None else release_of(release),
            is_ready=allocation.is_open and allocation.ready_at is not None,
            requested_at=allocation.requested_at,
            held_at=allocation.held_at,
            starting_at=allocation.starting_at,
            started_at=allocation.started_at,
            ready_at=allocation.ready_at,
            ended_at=allocation.ended_at,
            end_cause=allocation.end_cause,
            estimated=allocation.estimated,
            stop_requested_by=allocation.stop_requested_by,
            stop_message=allocation.stop_message,
            url=self._url(allocation),
        )

    def cost(self, allocation: Allocation) -> CostSoFar | None:
        """Return what an allocation has cost until now; None before it started."""
        if allocation.started_at is None:
            return None
        end = max(allocation.ended_at or self._factory.clock(), allocation.started_at + _MOMENT)
        query = UsageQuery(allocation.started_at, end + _MOMENT, filters={"allocation": allocation.id})
        totals = self._factory.reporter.costs(query).totals
        if not totals:
            return None
        total = totals[0]
        if total.amount is None or total.currency is None:
            return None
        return CostSoFar(amount=total.amount, currency=total.currency, gpu_seconds=total.gpu_seconds)

    def energy(self, allocation: Allocation) -> EnergyOut | None:
        """Return what an allocation's GPUs took until now; None where nobody measured it."""
        found = self._factory.energy.of_session(allocation)
        return None if found is None else energy_out(found)

    def _url(self, allocation: Allocation) -> str | None:
        """Return the address of a running server on the hub's public host."""
        if not allocation.is_open or allocation.started_at is None:
            return None
        server = f"{quote(allocation.server_name, safe='')}/" if allocation.server_name else ""
        return f"{self._factory.settings.base_url}user/{quote(allocation.user_name, safe='')}/{server}"

    def _history(self, connection: Connection, allocation_id: UUID) -> tuple[HistoryOut, ...]:
        return tuple(
            HistoryOut.model_validate({"at": event.at, "from": event.from_state, "to": event.to_state, "cause": event.cause, "actor": event.actor})
            for event in self._factory.allocations.history(connection, allocation_id)
        )
