"""The one place that constructs stores, clients and operations.

Each object is made once, when it is first asked for, so that a process only pays for what
it uses.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from aiplatform_hub import metrics
from aiplatform_hub.storage.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiplatform_hub.clients.spool import Spool
    from aiplatform_hub.config import Settings
    from aiplatform_hub.domain.catalog import Catalog
    from aiplatform_hub.operations.cost_reporter import CostReporter
    from aiplatform_hub.operations.ledger import LedgerVerifier
    from aiplatform_hub.operations.quota_enforcer import QuotaEnforcer
    from aiplatform_hub.operations.reconciler import Reconciler
    from aiplatform_hub.operations.usage_meter import UsageMeter
    from aiplatform_hub.storage.allocations import AllocationStore
    from aiplatform_hub.storage.audit import AuditStore
    from aiplatform_hub.storage.devices import DeviceStore
    from aiplatform_hub.storage.events import EventStore
    from aiplatform_hub.storage.grants import GrantStore
    from aiplatform_hub.storage.heartbeats import HeartbeatStore
    from aiplatform_hub.storage.ledger_head import LedgerHead
    from aiplatform_hub.storage.storage_usage import StorageUsageStore
    from aiplatform_hub.storage.usage import UsageStore


def utc_now() -> datetime:
    """Return the present instant, aware, UTC."""
    return datetime.now(UTC)


class Factory:
    """Makes every object of one process.

    Parameters
    ----------
    settings
        Where and how this installation runs.
    clock
        Gives the present instant, aware UTC; tests fix it.
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
        self.settings = settings
        self.clock = clock

    @cached_property
    def database(self) -> Database:
        """The one engine of this process."""
        return Database(url=self.settings.resolved_database_url)

    @cached_property
    def catalog(self) -> Catalog:
        """The catalogue as it was when first asked for.

        Raises
        ------
        CatalogError
            If a file of it is wrong.
        """
        from aiplatform_hub.catalog.loader import load_catalog  # noqa: PLC0415

        catalog = load_catalog(self.settings.resolved_catalog_dirs)
        for gpu_type in catalog.gpu_types:
            metrics.know_gpu_type(gpu_type)
        return catalog

    @cached_property
    def allocations(self) -> AllocationStore:
        """Allocations, their leases and decisions."""
        from aiplatform_hub.storage.allocations import AllocationStore  # noqa: PLC0415

        return AllocationStore()

    @cached_property
    def usage_store(self) -> UsageStore:
        """Usage intervals: the ledger."""
        from aiplatform_hub.storage.usage import UsageStore  # noqa: PLC0415

        return UsageStore()

    @cached_property
    def devices(self) -> DeviceStore:
        """GPUs and the machine's pool."""
        from aiplatform_hub.storage.devices import DeviceStore  # noqa: PLC0415

        return DeviceStore()

    @cached_property
    def grants(self) -> GrantStore:
        """Tiers given to persons until an instant."""
        from aiplatform_hub.storage.grants import GrantStore  # noqa: PLC0415

        return GrantStore()

    @cached_property
    def audit(self) -> AuditStore:
        """Privileged and refused acts."""
        from aiplatform_hub.storage.audit import AuditStore  # noqa: PLC0415

        return AuditStore()

    @cached_property
    def heartbeats(self) -> HeartbeatStore:
        """Signs of life of hub, platform and keeper."""
        from aiplatform_hub.storage.heartbeats import HeartbeatStore  # noqa: PLC0415

        return HeartbeatStore()

    @cached_property
    def storage_usage(self) -> StorageUsageStore:
        """Measured sizes of home folders."""
        from aiplatform_hub.storage.storage_usage import StorageUsageStore  # noqa: PLC0415

        return StorageUsageStore()

    @cached_property
    def events(self) -> EventStore:
        """Transitions of allocations, in order."""
        from aiplatform_hub.storage.events import EventStore  # noqa: PLC0415

        return EventStore()

    @cached_property
    def ledger_head(self) -> LedgerHead:
        """Hash and count of the ledger, kept outside the database."""
        from aiplatform_hub.storage.ledger_head import LedgerHead  # noqa: PLC0415

        return LedgerHead(self.settings.ledger_head_file)

    @cached_property
    def spool(self) -> Spool:
        """Records of the session runners."""
        from aiplatform_hub.clients.spool import Spool  # noqa: PLC0415

        return Spool(self.settings.spool_dir)

    @cached_property
    def enforcer(self) -> QuotaEnforcer:
        """Decides and holds."""
        from aiplatform_hub.operations.quota_enforcer import QuotaEnforcer  # noqa: PLC0415

        return QuotaEnforcer(
            database=self.database,
            catalog=self.catalog,
            allocations=self.allocations,
            usage=self.usage_store,
            devices=self.devices,
            grants=self.grants,
            clock=self.clock,
        )

    @cached_property
    def meter(self) -> UsageMeter:
        """Opens and closes usage intervals."""
        from aiplatform_hub.operations.usage_meter import UsageMeter  # noqa: PLC0415

        return UsageMeter(
            database=self.database,
            allocations=self.allocations,
            usage=self.usage_store,
            ledger_head=self.ledger_head,
            clock=self.clock,
        )

    @cached_property
    def verifier(self) -> LedgerVerifier:
        """Checks the chain of the ledger."""
        from aiplatform_hub.operations.ledger import LedgerVerifier  # noqa: PLC0415

        return LedgerVerifier(self.database, self.ledger_head)

    @cached_property
    def reporter(self) -> CostReporter:
        """Sums usage and costs."""
        from aiplatform_hub.operations.cost_reporter import CostReporter  # noqa: PLC0415

        return CostReporter(database=self.database, catalog=self.catalog, clock=self.clock)

    @cached_property
    def reconciler(self) -> Reconciler:
        """Makes the ledger equal what runs."""
        from aiplatform_hub.operations.reconciler import Reconciler  # noqa: PLC0415

        return Reconciler(
            database=self.database,
            allocations=self.allocations,
            heartbeats=self.heartbeats,
            meter=self.meter,
            spool=self.spool,
            clock=self.clock,
        )

    def close(self) -> None:
        """Close what was opened."""
        if "database" in self.__dict__:
            self.database.close()
