"""What a hub needs: it decides, holds, meters and settles starts. The rest is in ``money`` and ``factory``, which a hub need not read when it starts.

Each object is made once, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property

from aiplatform_hub.clients.kubernetes.runtime import PodRuntime, PodSource
from aiplatform_hub.clients.spool_runtime import SpoolRuntime
from aiplatform_hub.config import Place, Settings
from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.operations.announcements import Announcements
from aiplatform_hub.operations.memberships import Memberships
from aiplatform_hub.operations.policies import Policies
from aiplatform_hub.operations.quota_enforcer import QuotaEnforcer
from aiplatform_hub.operations.rate_cards import RateCards
from aiplatform_hub.operations.reconciler import Reconciler
from aiplatform_hub.operations.session_runtime import SessionRuntime
from aiplatform_hub.operations.usage_meter import UsageMeter
from aiplatform_hub.storage.announcements import AnnouncementStore
from aiplatform_hub.storage.memberships import MembershipStore
from aiplatform_hub.storage.policies import PolicyStore
from aiplatform_hub.storage.rate_cards import RateCardStore
from aiplatform_hub.stores import Stores


def utc_now() -> datetime:
    """Return the present instant, aware, UTC."""
    return datetime.now(UTC)


class HubFactory(Stores):
    """Makes every object of a hub; its parameters are those of :class:`~aiplatform_hub.stores.Stores`."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(settings, clock)
        self.pod_source: PodSource | None = None
        """Where a cluster's pods are known from; whoever watches them sets it before it asks for :attr:`runtime`."""
        self.is_cluster_confirmed = False
        """Whether this process made sure that the database belongs to the cluster: only then is a session without a pod gone."""

    @cached_property
    def price_list(self) -> RateCards:
        """Rate cards: recorded, changed, withdrawn."""
        return RateCards(database=self.database, rate_cards=RateCardStore(), catalog=lambda: self.catalog, audit_trail=self.audit_trail, clock=self.clock)

    def rate_cards(self) -> tuple[RateCard, ...]:
        """Return every rate card that counts now or later, in order of ``effective_from``. May ask the database."""
        return self.price_list.current()

    @cached_property
    def policies(self) -> Policies:
        """Who is next, what may pass, and what is taken back when."""
        return Policies(database=self.database, policies=PolicyStore(), catalog=lambda: self.catalog, audit_trail=self.audit_trail, clock=self.clock)

    @cached_property
    def announcements(self) -> Announcements:
        """What admins tell everybody."""
        return Announcements(database=self.database, announcements=AnnouncementStore(), audit_trail=self.audit_trail, clock=self.clock)

    @cached_property
    def memberships(self) -> Memberships:
        """Tells who belongs to which project from when until when."""
        return Memberships(
            database=self.database,
            catalog=self.catalog,
            memberships=MembershipStore(),
            devices=self.devices,
            audit_trail=self.audit_trail,
            clock=self.clock,
        )

    @cached_property
    def enforcer(self) -> QuotaEnforcer:
        """Decides and holds."""
        return QuotaEnforcer(
            database=self.database,
            catalog=self.catalog,
            allocations=self.allocations,
            decisions=self.decisions,
            devices=self.devices,
            facts=self.facts,
            audit=self.audit,
            budgets=self.budget_store,
            cards=self.rate_cards,
            clock=self.clock,
            policy=self.policies.current,
            max_queued_per_user=self.settings.max_queued_per_user,
            is_kueue=self.settings.is_kueue,
        )

    @cached_property
    def meter(self) -> UsageMeter:
        """Opens and closes usage intervals."""
        return UsageMeter(
            database=self.database,
            allocations=self.allocations,
            devices=self.devices,
            usage=self.usage_store,
            ledger_head=self.ledger_head,
            clock=self.clock,
        )

    @cached_property
    def runtime(self) -> SessionRuntime:
        """What runs people's sessions here.

        Raises
        ------
        ConfigurationError
            In a cluster, before :attr:`pod_source` is set.
        """
        if self.settings.place is Place.MACHINE:
            return SpoolRuntime(spool=self.spool)
        if self.pod_source is None:
            raise ConfigurationError("This process does not watch the cluster's pods.")
        return PodRuntime(
            source=self.pod_source,
            clock=self.clock,
            node_lost_after=timedelta(seconds=self.settings.node_lost_seconds),
            can_tell_gone=self.is_cluster_confirmed,
        )

    @cached_property
    def reconciler(self) -> Reconciler:
        """Makes the ledger equal what runs."""
        return Reconciler(
            database=self.database,
            allocations=self.allocations,
            usage=self.usage_store,
            heartbeats=self.heartbeats,
            meter=self.meter,
            runtime=self.runtime,
            clock=self.clock,
        )
