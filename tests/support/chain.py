"""The chain over a real database, with a catalogue and a clock that tests control."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import pytest

from aiplatform_hub.domain.allocations import Allocation, EndCause, GpuDevice, ServerKey
from aiplatform_hub.domain.catalog import Catalog, CostCentre, EnvironmentTemplate, GpuType, LimitAmount, Project, Range, RateCard, Tier
from aiplatform_hub.domain.policy import SHIPPED, Policy
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.decision_reader import DecisionReader
from aiplatform_hub.operations.demand_history import DemandHistory
from aiplatform_hub.operations.dispatcher import Dispatched, Dispatcher
from aiplatform_hub.operations.interest import InterestClock
from aiplatform_hub.operations.ledger import LedgerVerifier
from aiplatform_hub.operations.queue_desk import QueueDesk
from aiplatform_hub.operations.queue_memory import QueueMemory
from aiplatform_hub.operations.queue_moves import QueueMoves
from aiplatform_hub.operations.quota_enforcer import QuotaEnforcer
from aiplatform_hub.operations.releaser import Releaser
from aiplatform_hub.operations.releases import Releases
from aiplatform_hub.operations.session_stops import SessionStops
from aiplatform_hub.operations.usage_meter import UsageMeter
from aiplatform_hub.operations.wait_forecaster import WaitForecaster
from aiplatform_hub.storage.activity import ActivityStore
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.decisions import DecisionStore
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.events import EventStore
from aiplatform_hub.storage.facts import FactStore
from aiplatform_hub.storage.grants import GrantStore
from aiplatform_hub.storage.heartbeats import HeartbeatStore
from aiplatform_hub.storage.ledger_head import LedgerHead
from aiplatform_hub.storage.notifications import NotificationStore
from aiplatform_hub.storage.past_requests import PastRequestStore
from aiplatform_hub.storage.queue_moves import QueueMoveStore
from aiplatform_hub.storage.queue_outlooks import QueueOutlookStore
from aiplatform_hub.storage.queue_snapshots import QueueSnapshotStore
from aiplatform_hub.storage.usage import UsageStore

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _amounts(gpus: int, memory_gib: int, environments: int) -> tuple[LimitAmount, ...]:
    return (
        LimitAmount("gpus", Decimal(gpus)),
        LimitAmount("memory_bytes", Decimal(memory_gib * GIB)),
        LimitAmount("environments", Decimal(environments)),
        LimitAmount("storage_bytes", Decimal(100 * GIB)),
    )


CATALOG = Catalog(
    environment_templates={"jupyterlab": EnvironmentTemplate("jupyterlab", "JupyterLab", "", Range(0, 8, 1), Range(1, 256, 1), Range(1, 64, 1), ())},
    tiers={
        "default": Tier("default", "Default", 0, _amounts(2, 32, 5)),
        "premium": Tier("premium", "Premium", 10, _amounts(4, 64, 10), groups=("staff",)),
        "metered": Tier("metered", "Metered", 5, (*_amounts(4, 64, 10), LimitAmount("gpu_hours", Decimal(10), window_days=7)), groups=("metered",)),
    },
    gpu_types={"h100": GpuType("h100", "H100")},
    projects={
        "personal": Project("personal", "Personal", "university", is_personal=True),
        "vision": Project("vision", "Vision", "lab", groups=("vision",), limits=(LimitAmount("environments", Decimal(3)),)),
    },
    cost_centres={"university": CostCentre("university", "University"), "lab": CostCentre("lab", "Lab")},
    rate_cards=(RateCard("1", datetime(2020, 1, 1, tzinfo=UTC), "EUR", {"*": Decimal(2)}, Decimal("0.1")),),
)


@dataclass
class Clock:
    """Stands still until a test moves it."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def move(self, **span: float) -> datetime:
        self.now += timedelta(**span)
        return self.now


def person(number: int, *groups: str) -> Caller:
    return Caller(user_id=number, user_name=f"user{number}", groups=frozenset(groups))


def want(gpus: int = 1, *, memory_gib: int = 1, project: str = "personal") -> LaunchRequest:
    centre = CATALOG.projects[project].cost_centre
    return LaunchRequest("jupyterlab", gpus, "h100" if gpus else None, memory_gib * GIB, 1, project, centre)


@dataclass
class Chain:
    """One process's view of the platform."""

    database: Database
    head_file: Path
    clock: Clock = field(default_factory=Clock)
    catalog: Catalog = CATALOG
    policy: Policy = SHIPPED
    policy_of: Callable[[], Policy] | None = None
    """Gives a policy that may change."""
    is_kueue: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.allocations, self.devices, self.usage = AllocationStore(), DeviceStore(), UsageStore()
        self.head = LedgerHead(self.head_file)
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
        )
        self.memory = QueueMemory(database=self.database, snapshots=QueueSnapshotStore(), allocations=self.allocations, clock=self.clock)
        self.releases = Releases(
            allocations=self.allocations,
            activity=ActivityStore(),
            events=EventStore(),
            notifications=NotificationStore(),
            outlooks=QueueOutlookStore(),
            budgets=BudgetStore(),
            policy=self.current_policy,
            is_kueue=self.is_kueue,
        )
        self.dispatcher, self.desk, self.releaser = self._dispatcher(), self._desk(), self.new_releaser()
        self.meter = UsageMeter(
            database=self.database, allocations=self.allocations, devices=self.devices, usage=self.usage, ledger_head=self.head, clock=self.clock
        )
        self.forecaster = WaitForecaster(
            database=self.database,
            allocations=self.allocations,
            outlooks=QueueOutlookStore(),
            past=PastRequestStore(),
            history=DemandHistory(usage=self.usage, policy=self.current_policy),
            reader=self._reader(),
            clock=self.clock,
        )
        self.verifier = LedgerVerifier(self.database, self.head, self.usage)

    def _reader(self) -> DecisionReader:
        return DecisionReader(
            catalog=self.catalog,
            devices=self.devices,
            facts=FactStore(),
            budgets=BudgetStore(),
            cards=lambda: self.catalog.rate_cards,
            policy=self.current_policy,
            max_queued_per_user=10,
        )

    def current_policy(self) -> Policy:
        """Return the policy that counts now."""
        return self.policy_of() if self.policy_of is not None else self.policy

    def _dispatcher(self) -> Dispatcher:
        return Dispatcher(
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

    def interest_clock(self, monotonic: Callable[[], float] | None = None, longest_step: timedelta = timedelta(days=999)) -> InterestClock:
        """Return what counts the time that passes; unless told otherwise, all that the test's clock says."""
        return InterestClock(
            database=self.database,
            allocations=self.allocations,
            devices=self.devices,
            outlooks=QueueOutlookStore(),
            interest=timedelta(hours=24),
            clock=self.clock,
            monotonic=monotonic or (lambda: self.clock().timestamp()),
            longest_step=longest_step,
        )

    def _desk(self) -> QueueDesk:
        return QueueDesk(
            database=self.database,
            allocations=self.allocations,
            decisions=DecisionStore(),
            outlooks=QueueOutlookStore(),
            moves=QueueMoveStore(),
            reader=self._reader(),
            audit_trail=AuditTrail(database=self.database, audit=AuditStore(), clock=self.clock),
            clock=self.clock,
        )

    def new_moves(self) -> QueueMoves:
        """Return what moves requests to the front."""
        return QueueMoves(
            database=self.database,
            allocations=self.allocations,
            devices=self.devices,
            outlooks=QueueOutlookStore(),
            moves=QueueMoveStore(),
            audit_trail=AuditTrail(database=self.database, audit=AuditStore(), clock=self.clock),
            clock=self.clock,
            is_kueue=self.is_kueue,
        )

    def new_releaser(self, uptime_seconds: Callable[[], float] | None = None) -> Releaser:
        """Return what a keeper that begins now has."""
        audit_trail = AuditTrail(database=self.database, audit=AuditStore(), clock=self.clock)
        return Releaser(
            database=self.database,
            allocations=self.allocations,
            devices=self.devices,
            heartbeats=HeartbeatStore(),
            releases=self.releases,
            stops=SessionStops(database=self.database, allocations=self.allocations, devices=self.devices, audit_trail=audit_trail, clock=self.clock),
            audit_trail=audit_trail,
            policy=self.current_policy,
            clock=self.clock,
            uptime_seconds=uptime_seconds or (lambda: self.clock().timestamp()),
        )

    def register(self, gpus: int = 4, *, memory_gib: int = 256) -> None:
        devices = [GpuDevice(f"GPU-{number}", "h100", 80 * GIB, index=number) for number in range(gpus)]
        self.enforcer.register_devices(devices, memory_gib * GIB, 32)

    def hold(self, caller: Caller, name: str = "", request: LaunchRequest | None = None, **how: object) -> Allocation:
        server = ServerKey(caller.user_id, name)
        return self.enforcer.hold(caller, request or want(), server, door="rest", actor=caller.user_name, **how)

    def queue(self, caller: Caller, name: str = "", request: LaunchRequest | None = None, **how: object) -> Allocation:
        """Ask as somebody who wants to wait."""
        return self.hold(caller, name, request, may_wait=True, **how)

    def dispatch(self, *people: Caller) -> Dispatched:
        """Make one pass; the hub knows these people, or else everybody who waits, without groups."""
        known = {caller.user_name: caller for caller in people} or {a.user_name: person(a.user_id) for a in self.queued()}
        return self.dispatcher.dispatch(known)

    def queued(self) -> tuple[Allocation, ...]:
        with self.database.read() as connection:
            return self.allocations.queued(connection)

    def end(self, allocation: Allocation) -> None:
        """Let a hold or a session end."""
        if self.find(allocation).started_at is None:
            self.meter.released(allocation.id, EndCause.STOPPED_BY_USER, allocation.user_name)
        else:
            self.meter.ended(allocation.id, self.clock(), EndCause.EXITED)

    def take_up(self, caller: Caller, name: str = "", request: LaunchRequest | None = None, *, spawner_id: int | None = None, **how: object) -> Allocation:
        server = ServerKey(caller.user_id, name, spawner_id)
        return self.enforcer.take_up(caller, request or want(), server, door="hub", actor=caller.user_name, hub_instance="hub-1", **how)

    def find(self, allocation: Allocation) -> Allocation:
        with self.database.read() as connection:
            found = self.allocations.find(connection, allocation.id)
        assert found is not None
        return found

    def open(self) -> tuple[Allocation, ...]:
        with self.database.read() as connection:
            return self.allocations.open(connection)

    def intervals(self, allocation: Allocation) -> tuple[object, ...]:
        with self.database.read() as connection:
            return self.usage.of_allocation(connection, allocation.id)


@pytest.fixture
def chain(database: Database, tmp_path: Path) -> Iterator[Chain]:
    """The chain over each kind of database, on a machine with 4 GPUs."""
    made = Chain(database, tmp_path / "ledger-head.json")
    made.register()
    yield made
