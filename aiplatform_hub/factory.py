"""The one place that constructs clients and operations; what a hub needs is in ``hub_factory``, money in ``money``, what is stored in ``stores``.

Each object is made once, when it is first asked for, so that a process only pays for what
it uses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property, partial

from aiplatform_hub import metrics
from aiplatform_hub.clients.gpu_samples import SCRIPT_FILE, GpuSampler
from aiplatform_hub.clients.notifiers.loading import SECRET_FILE, load_notifiers
from aiplatform_hub.clients.notifiers.vapid import SECRET_NAME as VAPID_FILE
from aiplatform_hub.clients.notifiers.vapid import VapidKey, kept_key
from aiplatform_hub.clients.notifiers.webpush import WebPushNotifier
from aiplatform_hub.clients.notifiers.webpush import options_of as web_push_options
from aiplatform_hub.clients.session_use import SessionProcesses
from aiplatform_hub.config import Place, notifier_secret, notifier_secret_name
from aiplatform_hub.domain.kueue import queue_name
from aiplatform_hub.domain.notices import Notice, Notifier
from aiplatform_hub.domain.push import WEB_PUSH
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.money import Money
from aiplatform_hub.operations.activity_meter import ActivityMeter
from aiplatform_hub.operations.catalog_files import CatalogFiles
from aiplatform_hub.operations.cluster_capacity import ClusterCapacityRegister
from aiplatform_hub.operations.cluster_home import ClusterHome
from aiplatform_hub.operations.decision_reader import DecisionReader
from aiplatform_hub.operations.demand_history import DemandHistory
from aiplatform_hub.operations.dispatcher import Dispatcher
from aiplatform_hub.operations.drains import Drains
from aiplatform_hub.operations.efficiency import EfficiencyReader
from aiplatform_hub.operations.energy import EnergyRecorder
from aiplatform_hub.operations.grant_grace import GrantGrace
from aiplatform_hub.operations.grants import Grants
from aiplatform_hub.operations.health import HealthReader
from aiplatform_hub.operations.home_list import HomeList
from aiplatform_hub.operations.inactivity import InactivityLimits
from aiplatform_hub.operations.interest import InterestClock
from aiplatform_hub.operations.kueue_dispatcher import Kueue, KueueDispatcher, KueueTerms
from aiplatform_hub.operations.ledger_watch import LedgerWatch
from aiplatform_hub.operations.limit_grants import LimitGrants
from aiplatform_hub.operations.notice_delivery import NoticeDelivery
from aiplatform_hub.operations.notice_watch import NoticeWatch
from aiplatform_hub.operations.people import PeopleDirectory
from aiplatform_hub.operations.presets import Presets
from aiplatform_hub.operations.projects import ProjectDirectory
from aiplatform_hub.operations.prospects import Prospects
from aiplatform_hub.operations.pruning import Pruner
from aiplatform_hub.operations.push_desk import PushDesk
from aiplatform_hub.operations.queue_desk import QueueDesk
from aiplatform_hub.operations.queue_memory import QueueMemory
from aiplatform_hub.operations.queue_moves import QueueMoves
from aiplatform_hub.operations.releaser import Releaser
from aiplatform_hub.operations.releases import Releases
from aiplatform_hub.operations.series_recorder import SeriesRecorder
from aiplatform_hub.operations.server_culler import ServerCuller
from aiplatform_hub.operations.session_costs import SessionCosts
from aiplatform_hub.operations.session_prices import SessionPrices
from aiplatform_hub.operations.session_series import SessionSeriesReader
from aiplatform_hub.operations.session_stops import SessionStops
from aiplatform_hub.operations.standing_reader import StandingReader
from aiplatform_hub.operations.trace_export import TraceExporter
from aiplatform_hub.operations.unused_warnings import UnusedWarnings
from aiplatform_hub.operations.wait_forecaster import WaitForecaster
from aiplatform_hub.storage.activity_sums import ActivitySums
from aiplatform_hub.storage.limit_grants import LimitGrantStore
from aiplatform_hub.storage.memberships import MembershipStore
from aiplatform_hub.storage.past_requests import PastRequestStore
from aiplatform_hub.storage.presets import PresetStore
from aiplatform_hub.storage.queue_snapshots import QueueSnapshotStore
from aiplatform_hub.storage.retention import RetentionStore


class Factory(Money):
    """Makes every object of one process; its parameters are those of :class:`~aiplatform_hub.stores.Stores`."""

    kueue: Kueue | None = None
    """Where Kueue is asked; whoever does sets it before it asks for :attr:`dispatcher`."""

    @cached_property
    def session_prices(self) -> SessionPrices:
        """What an hour of a session would cost somebody now."""
        return SessionPrices(cards=self.rate_cards, tier_of=self.enforcer.tier_name, clock=self.clock)

    @cached_property
    def session_costs(self) -> SessionCosts:
        """What single sessions have cost until now."""
        return SessionCosts(charges=self.charge_reader, cards=self.rate_cards)

    @cached_property
    def standing_reader(self) -> StandingReader:
        """How a person stands against their limits, and what the place has."""
        return StandingReader(reader=self.decision_reader)

    @cached_property
    def home_list(self) -> HomeList:
        """What people take off their own lists."""
        return HomeList(database=self.database, allocations=self.allocations, hidden=self.hidden, clock=self.clock)

    @cached_property
    def decision_reader(self) -> DecisionReader:
        """Gathers what a decision depends on."""
        return DecisionReader(
            catalog=self.catalog,
            devices=self.devices,
            facts=self.facts,
            budgets=self.budget_store,
            cards=self.rate_cards,
            policy=self.policies.current,
            max_queued_per_user=self.settings.max_queued_per_user,
            is_kueue=self.settings.is_kueue,
        )

    @cached_property
    def dispatcher(self) -> Dispatcher:
        """Moves requests out of the queue.

        Raises
        ------
        ConfigurationError
            Where Kueue gives out the GPUs, before :attr:`kueue` is set.
        """
        make: Callable[..., Dispatcher] = Dispatcher
        if self.settings.is_kueue:
            if self.kueue is None:
                raise ConfigurationError("This process does not speak to Kueue.")
            terms = KueueTerms(partial(queue_name, self.settings.kueue_queue), self.settings.kueue_priority)
            make = partial(KueueDispatcher, kueue=self.kueue, terms=terms)
        return make(
            database=self.database,
            allocations=self.allocations,
            decisions=self.decisions,
            grants=self.grant_store,
            outlooks=self.queue_outlooks,
            history=DemandHistory(usage=self.usage_store, policy=self.policies.current),
            reader=self.decision_reader,
            budgets=self.budget_store,
            releases=self.releases,
            memory=self.queue_memory,
            interest=self._interest_clock(),
            clock=self.clock,
        )

    def _interest_clock(self) -> InterestClock:
        return InterestClock(
            database=self.database,
            allocations=self.allocations,
            devices=self.devices,
            outlooks=self.queue_outlooks,
            interest=timedelta(hours=self.settings.queue_interest_hours),
            clock=self.clock,
        )

    @cached_property
    def releases(self) -> Releases:
        """What becomes of running sessions."""
        return Releases(
            allocations=self.allocations,
            activity=self.activity,
            events=self.events,
            notifications=self.notifications,
            outlooks=self.queue_outlooks,
            budgets=self.budget_store,
            policy=self.policies.current,
            is_kueue=self.settings.is_kueue,
        )

    @cached_property
    def releaser(self) -> Releaser:
        """Gives GPUs back."""
        return Releaser(
            database=self.database,
            allocations=self.allocations,
            devices=self.devices,
            heartbeats=self.heartbeats,
            releases=self.releases,
            stops=self.stops,
            audit_trail=self.audit_trail,
            policy=self.policies.current,
            clock=self.clock,
            uptime_seconds=time.monotonic,
        )

    @cached_property
    def queue_memory(self) -> QueueMemory:
        """Remembers what the planner saw and found."""
        return QueueMemory(database=self.database, snapshots=QueueSnapshotStore(), allocations=self.allocations, clock=self.clock)

    @cached_property
    def pruner(self) -> Pruner:
        """Deletes what is old."""
        return Pruner(database=self.database, retention=RetentionStore(), clock=self.clock)

    @cached_property
    def queue_desk(self) -> QueueDesk:
        """What owners do with their queued requests."""
        return QueueDesk(
            database=self.database,
            allocations=self.allocations,
            decisions=self.decisions,
            outlooks=self.queue_outlooks,
            moves=self.queue_move_store,
            reader=self.decision_reader,
            audit_trail=self.audit_trail,
            clock=self.clock,
        )

    @cached_property
    def drains(self) -> Drains:
        """Takes GPUs out of what is given out."""
        return Drains(
            database=self.database,
            devices=self.devices,
            allocations=self.allocations,
            drains=self.drain_store,
            audit_trail=self.audit_trail,
            clock=self.clock,
        )

    @cached_property
    def queue_moves(self) -> QueueMoves:
        """Moves requests to the front of the queue."""
        return QueueMoves(
            database=self.database,
            allocations=self.allocations,
            devices=self.devices,
            outlooks=self.queue_outlooks,
            moves=self.queue_move_store,
            audit_trail=self.audit_trail,
            clock=self.clock,
            is_kueue=self.settings.is_kueue,
        )

    @cached_property
    def prospects(self) -> Prospects:
        """What would happen to what nobody has asked for yet."""
        return Prospects(database=self.database, allocations=self.allocations, reader=self.decision_reader, forecaster=self.wait_forecaster, clock=self.clock)

    @cached_property
    def presets(self) -> Presets:
        """Choices of a launch that people keep."""
        return Presets(database=self.database, presets=PresetStore(), clock=self.clock)

    @cached_property
    def wait_forecaster(self) -> WaitForecaster:
        """Estimates how long those who wait will wait."""
        return WaitForecaster(
            database=self.database,
            allocations=self.allocations,
            outlooks=self.queue_outlooks,
            past=PastRequestStore(),
            history=DemandHistory(usage=self.usage_store, policy=self.policies.current),
            reader=self.decision_reader,
            clock=self.clock,
        )

    @cached_property
    def cluster_capacity(self) -> ClusterCapacityRegister:
        """Stores what a cluster has."""
        return ClusterCapacityRegister(database=self.database, catalog=self.catalog, allocations=self.allocations, devices=self.devices, clock=self.clock)

    @cached_property
    def cluster_home(self) -> ClusterHome:
        """Tells whether the database belongs to the cluster that the keeper is in."""
        return ClusterHome(
            database=self.database,
            clusters=self.clusters,
            allocations=self.allocations,
            usage=self.usage_store,
            heartbeats=self.heartbeats,
            audit_trail=self.audit_trail,
            clock=self.clock,
        )

    @cached_property
    def activity_meter(self) -> ActivityMeter:
        """Records whether the GPUs of sessions are used."""
        return ActivityMeter(
            database=self.database,
            allocations=self.allocations,
            devices=self.devices,
            activity=self.activity,
            sampler=GpuSampler(script=self.settings.data_dir / SCRIPT_FILE),
            policy=self.policies.current,
            clock=self.clock,
            series=SeriesRecorder(series=self.series, processes=SessionProcesses(spool=self.spool)),
            energy=EnergyRecorder(energies=self.energies),
        )

    @cached_property
    def session_series(self) -> SessionSeriesReader:
        """Reads what sessions did over time."""
        return SessionSeriesReader(
            database=self.database,
            allocations=self.allocations,
            activity=self.activity,
            devices=self.devices,
            series=self.series,
            policy=self.policies.current,
            clock=self.clock,
        )

    @cached_property
    def ledger_watch(self) -> LedgerWatch:
        """Checks the same a few rows at a time."""
        return LedgerWatch(database=self.database, usage=self.usage_store, head=self.ledger_head, clock=self.clock)

    @cached_property
    def health(self) -> HealthReader:
        """Tells how the platform does."""
        return HealthReader(
            settings=self.settings,
            database=self.database,
            devices=self.devices,
            heartbeats=self.heartbeats,
            policies=self.policies,
            files=self.catalog_files,
            clock=self.clock,
        )

    @cached_property
    def catalog_files(self) -> CatalogFiles:
        """Tells what the catalogue's files say now."""
        return CatalogFiles(self.settings.resolved_catalog_dirs)

    @cached_property
    def trace_exporter(self) -> TraceExporter:
        """Makes a demand trace of what ran."""
        return TraceExporter(database=self.database, allocations=self.allocations, devices=self.devices, activity=ActivitySums(), clock=self.clock)

    @cached_property
    def limit_grants(self) -> LimitGrants:
        """Raised limits: given, ended, restored."""
        return LimitGrants(database=self.database, catalog=self.catalog, limit_grants=LimitGrantStore(), audit_trail=self.audit_trail, clock=self.clock)

    @cached_property
    def grants(self) -> Grants:
        """Gives tiers to persons until an instant."""
        return Grants(database=self.database, catalog=self.catalog, grants=self.grant_store, audit_trail=self.audit_trail, clock=self.clock)

    @cached_property
    def people(self) -> PeopleDirectory:
        """Tells what people have."""
        return PeopleDirectory(
            database=self.database,
            catalog=self.catalog,
            grants=self.grant_store,
            allocations=self.allocations,
            memberships=MembershipStore(),
            enforcer=self.enforcer,
            clock=self.clock,
        )

    @cached_property
    def projects(self) -> ProjectDirectory:
        """Tells what projects share, hold and used."""
        return ProjectDirectory(catalog=self.catalog, enforcer=self.enforcer, reporter=self.reporter, policy=self.policies.current, clock=self.clock)

    @cached_property
    def efficiency(self) -> EfficiencyReader:
        """Tells how well GPUs are used."""
        return EfficiencyReader(
            database=self.database,
            allocations=self.allocations,
            activity=self.activity,
            devices=self.devices,
            reporter=self.reporter,
            clock=self.clock,
        )

    @cached_property
    def server_culler(self) -> ServerCuller:
        """Ends servers without GPUs that nobody uses."""
        return ServerCuller(
            database=self.database,
            allocations=self.allocations,
            devices=self.devices,
            limits=self.inactivity_limits,
            releases=self.releases,
            warnings=self.unused_warnings,
            stops=self.stops,
            audit_trail=self.audit_trail,
            policy=self.policies.current,
            clock=self.clock,
        )

    @cached_property
    def unused_warnings(self) -> UnusedWarnings:
        """Tells owners of servers that nobody uses."""
        return UnusedWarnings(
            database=self.database,
            allocations=self.allocations,
            devices=self.devices,
            notifications=self.notifications,
            notices=self.notices,
            clock=self.clock,
        )

    @cached_property
    def inactivity_limits(self) -> InactivityLimits:
        """Finds how long servers may be unused."""
        return InactivityLimits(catalog=self.catalog, decisions=self.decisions, grants=self.grant_store, policy=self.policies.current)

    @cached_property
    def stops(self) -> SessionStops:
        """Records who wants a session stopped."""
        return SessionStops(database=self.database, allocations=self.allocations, devices=self.devices, audit_trail=self.audit_trail, clock=self.clock)

    @cached_property
    def notice_watch(self) -> NoticeWatch:
        """Sees what people have to be told."""
        return NoticeWatch(
            database=self.database,
            allocations=self.allocations,
            events=self.events,
            notifications=self.notifications,
            notices=self.notices,
            interest=timedelta(hours=self.settings.queue_interest_hours),
            grace=timedelta(minutes=self.settings.grant_grace_minutes),
            warned=self.releases.warned,
            clock=self.clock,
        )

    @cached_property
    def notifiers(self) -> dict[str, Notifier]:
        """Ways to reach people, by name.

        Raises
        ------
        ConfigurationError
            If one cannot be made; the message names it.
        """
        notifiers = load_notifiers(self.settings.notifier_options, notifier_secret)
        for name, notifier in notifiers.items():
            metrics.know_channel(name)
            if isinstance(notifier, WebPushNotifier):
                notifier.connect(self.push_desk, lambda: self.vapid_key)
        return notifiers

    @property
    def has_push(self) -> bool:
        """Whether browsers can be told by push."""
        return WEB_PUSH in self.settings.notifier_options

    @cached_property
    def vapid_key(self) -> VapidKey:
        """What push services know this hub by; made when it is first needed.

        Raises
        ------
        ConfigurationError
            In a cluster, where platform and keeper have no folder in common, if neither file nor environment holds it.
        """
        options = self.settings.notifier_options[WEB_PUSH]
        secret = notifier_secret(WEB_PUSH, str(options.get(SECRET_FILE, "")))
        if secret:
            return VapidKey(secret)
        if self.settings.place is Place.CLUSTER:
            raise ConfigurationError(
                f"The notifier 'webpush' needs {notifier_secret_name(WEB_PUSH)} in the platform service and the keeper: the same 32 bytes in base64."
            )
        return kept_key(self.settings.secrets_dir / VAPID_FILE)

    @cached_property
    def push_desk(self) -> PushDesk:
        """Switches browsers on and off."""
        options = {name: value for name, value in self.settings.notifier_options[WEB_PUSH].items() if name != SECRET_FILE}
        return PushDesk(database=self.database, push_subscriptions=self.push_subscriptions, services=web_push_options(options).services, clock=self.clock)

    @cached_property
    def notice_delivery(self) -> NoticeDelivery:
        """Passes notices on."""
        return NoticeDelivery(database=self.database, notifications=self.notifications, notifiers=self.notifiers, page_of=self._page_of, clock=self.clock)

    def _page_of(self, notice: Notice) -> str:
        """Return the address of a notice's page, as people outside reach it; empty where that is not known."""
        settings = self.settings
        return f"{settings.public_url.rstrip('/')}{settings.api_prefix}{notice.page or 'home'}" if settings.public_url else ""

    @cached_property
    def grant_grace(self) -> GrantGrace:
        """Takes back what nobody opened."""
        return GrantGrace(
            database=self.database,
            allocations=self.allocations,
            devices=self.devices,
            activity=self.activity,
            notifications=self.notifications,
            clock=self.clock,
        )

    def check_notices(self) -> None:
        """Make sure that notices can be told as the operator wants it.

        Raises
        ------
        ConfigurationError
            With the first thing that is wrong.
        """
        if self.settings.grant_grace_minutes < 0:
            raise ConfigurationError(f"c.AIPlatform.grant_grace_minutes is {self.settings.grant_grace_minutes}; it is a number of minutes, or 0 for ever.")
        if self.settings.public_url and not self.settings.public_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"c.AIPlatform.public_url is {self.settings.public_url!r}; it begins with https://, as in a browser.")
        _ = self.notifiers, self.invoice_hand_over
        if self.has_push and self.settings.place is Place.CLUSTER:
            _ = self.vapid_key
