"""What every process opens: the database with its stores, the catalogue, the files beside them, and by what all operations tell what they did.

Each object is made once, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cached_property

from aiplatform_hub import metrics
from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.clients.spool import Spool
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.notices import Notices
from aiplatform_hub.storage.activity import ActivityStore
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.clusters import ClusterStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.decisions import DecisionStore
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.drains import DrainStore
from aiplatform_hub.storage.events import EventStore
from aiplatform_hub.storage.facts import FactStore
from aiplatform_hub.storage.grants import GrantStore
from aiplatform_hub.storage.heartbeats import HeartbeatStore
from aiplatform_hub.storage.hidden import HiddenStore
from aiplatform_hub.storage.ledger_head import LedgerHead
from aiplatform_hub.storage.notifications import NotificationStore
from aiplatform_hub.storage.push_subscriptions import PushSubscriptionStore
from aiplatform_hub.storage.queue_moves import QueueMoveStore
from aiplatform_hub.storage.queue_outlooks import QueueOutlookStore
from aiplatform_hub.storage.series import SeriesStore
from aiplatform_hub.storage.storage_usage import StorageUsageStore
from aiplatform_hub.storage.usage import UsageStore


class Stores:
    """Makes what is stored and read.

    Parameters
    ----------
    settings
        Where and how this installation runs.
    clock
        Gives the present instant, aware UTC; tests fix it.
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self.settings = settings
        self.clock = clock

    @cached_property
    def database(self) -> Database:
        """The one engine of this process."""
        return Database(url=self.settings.resolved_database_url, on_unavailable=metrics.DATABASE_ERRORS.inc)

    @cached_property
    def catalog(self) -> Catalog:
        """The catalogue as it was when first asked for.

        Raises
        ------
        CatalogError
            If a file of it is wrong.
        """
        catalog = load_catalog(self.settings.resolved_catalog_dirs)
        for gpu_type in catalog.gpu_types:
            metrics.know_gpu_type(gpu_type)
        return catalog

    @cached_property
    def budget_store(self) -> BudgetStore:
        """Budgets, and what sessions hold of them."""
        return BudgetStore()

    @cached_property
    def ledger_head(self) -> LedgerHead:
        """Hash and count of the ledger, kept outside the database."""
        return LedgerHead(self.settings.ledger_head_file)

    @cached_property
    def spool(self) -> Spool:
        """Records of the session runners."""
        return Spool(self.settings.spool_dir)

    @cached_property
    def allocations(self) -> AllocationStore:
        """Allocations, their leases and history."""
        return AllocationStore()

    @cached_property
    def activity(self) -> ActivityStore:
        """What the GPUs of running sessions do."""
        return ActivityStore()

    @cached_property
    def series(self) -> SeriesStore:
        """What sessions did, minute by minute."""
        return SeriesStore()

    @cached_property
    def decisions(self) -> DecisionStore:
        """Decisions with their inputs."""
        return DecisionStore()

    @cached_property
    def facts(self) -> FactStore:
        """What a decision needs to know beside open allocations."""
        return FactStore()

    @cached_property
    def usage_store(self) -> UsageStore:
        """Usage intervals: the ledger."""
        return UsageStore()

    @cached_property
    def devices(self) -> DeviceStore:
        """GPUs and the machine's pool."""
        return DeviceStore()

    @cached_property
    def grant_store(self) -> GrantStore:
        """Rows of granted tiers."""
        return GrantStore()

    @cached_property
    def audit(self) -> AuditStore:
        """Rows of privileged and refused acts."""
        return AuditStore()

    @cached_property
    def heartbeats(self) -> HeartbeatStore:
        """Signs of life of hub, platform and keeper."""
        return HeartbeatStore()

    @cached_property
    def storage_usage(self) -> StorageUsageStore:
        """Measured sizes of home folders."""
        return StorageUsageStore()

    @cached_property
    def clusters(self) -> ClusterStore:
        """Which cluster the database belongs to."""
        return ClusterStore()

    @cached_property
    def events(self) -> EventStore:
        """Transitions of allocations, in order."""
        return EventStore()

    @cached_property
    def queue_outlooks(self) -> QueueOutlookStore:
        """What the dispatcher knew and found in its last pass."""
        return QueueOutlookStore()

    @cached_property
    def hidden(self) -> HiddenStore:
        """What people took off their own lists."""
        return HiddenStore()

    @cached_property
    def drain_store(self) -> DrainStore:
        """GPUs on which nothing new starts."""
        return DrainStore()

    @cached_property
    def queue_move_store(self) -> QueueMoveStore:
        """Requests that admins moved up."""
        return QueueMoveStore()

    @cached_property
    def notifications(self) -> NotificationStore:
        """What people are told."""
        return NotificationStore()

    @cached_property
    def push_subscriptions(self) -> PushSubscriptionStore:
        """Browsers that are told by push."""
        return PushSubscriptionStore()

    def close(self) -> None:
        """Close what was opened."""
        if "database" in self.__dict__:
            self.database.close()

    @cached_property
    def audit_trail(self) -> AuditTrail:
        """Records privileged and refused acts."""
        return AuditTrail(database=self.database, audit=self.audit, clock=self.clock)

    @cached_property
    def notices(self) -> Notices:
        """Tells people things."""
        return Notices(
            database=self.database,
            notifications=self.notifications,
            catalog=self.catalog,
            channels=tuple(self.settings.notifier_options),
            clock=self.clock,
        )
