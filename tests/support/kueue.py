"""A Kueue of one ClusterQueue, small enough to read, for what the real one cannot be made to show at will."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from aiplatform_hub.clients.kueue import KueueAwayError
from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.kueue import Answer, Change, Flavour, Phase, Work
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.operations.decision_reader import DecisionReader
from aiplatform_hub.operations.demand_history import DemandHistory
from aiplatform_hub.operations.dispatcher import Dispatcher
from aiplatform_hub.operations.kueue_dispatcher import KueueDispatcher, KueueTerms
from aiplatform_hub.operations.quota_enforcer import QuotaEnforcer
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.decisions import DecisionStore
from aiplatform_hub.storage.facts import FactStore
from aiplatform_hub.storage.grants import GrantStore
from aiplatform_hub.storage.queue_outlooks import QueueOutlookStore
from tests.support.chain import Chain

INSUFFICIENT = "Pending: couldn't assign flavors to pod set session: insufficient unused quota for nvidia.com/gpu in flavor a100, {missing} more needed"


@dataclass
class KueueStandIn:
    """Admits by priority, strictly: nobody passes the first who waits."""

    quota: int = 4
    works: dict[UUID, Work] = field(default_factory=dict)
    is_away: bool = False
    is_admitting: bool = True
    is_preemptor_there: bool = True
    """Whether somebody of another queue waits for what is evicted."""
    done: list[tuple[str, UUID]] = field(default_factory=list)

    def look(self) -> Answer:
        if self.is_away:
            raise KueueAwayError("Kueue does not answer.")
        waiting = [work.id for work in self._waiting()]
        places, flavours = {id_: place for place, id_ in enumerate(waiting)}, {"a100": Flavour({}, frozenset({"n1"}))}
        return Answer(dict(self.works), places, flavours, is_anybody_waiting=bool(waiting) or self.is_preemptor_there)

    def carry_out(self, wanted: Sequence[Change]) -> None:
        if self.is_away:
            raise KueueAwayError("Kueue does not answer.")
        for change in wanted:
            self.done.append((change.kind.value, change.id))
            if change.wish is None:
                del self.works[change.id]
            else:
                why = INSUFFICIENT.format(missing=1) if change.wish.is_active else ""
                self.works[change.id] = Work(
                    change.id, f"uid-{change.id}", change.wish.asked, change.priority, Phase.PENDING, is_active=change.wish.is_active, why=why
                )
        self.admit()

    def admit(self) -> None:
        for work in self._waiting() if self.is_admitting else ():
            if work.asked.gpus > self.quota - sum(w.asked.gpus for w in self.works.values() if w.phase is not Phase.PENDING):
                return
            self.works[work.id] = replace(work, phase=Phase.ADMITTED, flavour="a100", why="")

    def evict(self, id_: UUID, *, is_preempted: bool = True) -> None:
        self.works[id_] = replace(self.works[id_], phase=Phase.EVICTED, is_preempted=is_preempted)

    def restore(self, id_: UUID) -> None:
        self.works[id_] = replace(self.works[id_], phase=Phase.ADMITTED, is_preempted=False)

    def _waiting(self) -> list[Work]:
        pending = [work for work in self.works.values() if work.phase is Phase.PENDING and work.is_active]
        return sorted(pending, key=lambda work: -work.priority)


@dataclass
class KueueChain(Chain):
    """The chain on a cluster of one node whose GPUs Kueue gives out."""

    is_kueue = True

    def __post_init__(self) -> None:
        self.kueue = KueueStandIn()
        super().__post_init__()
        self.enforcer = QuotaEnforcer(
            database=self.database,
            catalog=self.catalog,
            allocations=self.allocations,
            decisions=DecisionStore(),
            devices=self.devices,
            facts=FactStore(),
            audit=AuditStore(),
            budgets=BudgetStore(),
            cards=lambda: self.catalog.rate_cards,
            clock=self.clock,
            policy=self.current_policy,
            is_kueue=True,
        )

    def _reader(self) -> DecisionReader:
        return DecisionReader(
            catalog=self.catalog,
            devices=self.devices,
            facts=FactStore(),
            budgets=BudgetStore(),
            cards=lambda: self.catalog.rate_cards,
            policy=self.current_policy,
            max_queued_per_user=10,
            is_kueue=True,
        )

    def _dispatcher(self) -> Dispatcher:
        return KueueDispatcher(
            kueue=self.kueue,
            terms=KueueTerms("hub-{}".format),
            database=self.database,
            allocations=self.allocations,
            decisions=DecisionStore(),
            grants=GrantStore(),
            outlooks=QueueOutlookStore(),
            history=DemandHistory(usage=self.usage, policy=self.current_policy),
            reader=self._reader(),
            budgets=BudgetStore(),
            releases=self.releases,
            memory=self.memory,
            interest=self.interest_clock(),
            clock=self.clock,
        )

    def register(self, gpus: int = 4, *, memory_gib: int = 256, node: str = "n1") -> None:
        """Let the one node have so many GPUs."""
        slots = [GpuDevice(f"{node}/nvidia.com/gpu/{number}", "h100", 80 * GIB, index=number, node=node, product_name="NVIDIA-H100") for number in range(gpus)]
        with self.database.write() as connection:
            self.devices.lock(connection)
            self.devices.register_cluster(connection, slots, (), memory_bytes=memory_gib * GIB, cpu_cores=32, at=self.clock())
