"""What a keeper does in a cluster: slots of nodes, homes in pods, namespaces of people who went."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from aiplatform_hub.clients.hub_api import HubApiClient
from aiplatform_hub.clients.kubernetes.access import KubernetesApi
from aiplatform_hub.clients.kubernetes.identity import cluster_identity
from aiplatform_hub.clients.kubernetes.pods import node_of
from aiplatform_hub.clients.kubernetes.source import WatchedPods
from aiplatform_hub.clients.kueue import KueueClient
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.cluster import slot_of
from aiplatform_hub.domain.clusters import ClusterIdentity, elsewhere
from aiplatform_hub.domain.nodes import foreign_gpus, node_view
from aiplatform_hub.domain.pods import CONTAINER
from aiplatform_hub.domain.supply import catalog_warnings
from aiplatform_hub.errors import AIPlatformError, ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.cluster_home import WrongClusterError
from aiplatform_hub.services.keeper.namespaces import departed
from aiplatform_hub.services.keeper.ticks import Tick
from aiplatform_hub.storage.allocations import AllocationFilter

WHO = "The keeper"
MEASURE_SECONDS = 60
"""Longest time that one home may take to be counted."""
BETWEEN_HOMES_SECONDS = 1
RETRY_SECONDS = 2
"""Time between two tries at the start to reach API server or database."""
_LOG = logging.getLogger(__name__)

Json = Mapping[str, Any]
T = TypeVar("T")


class ClusterDuties:
    """Watches the cluster and gives the factory its source of pods."""

    def __init__(self, *, factory: Factory, hub: HubApiClient | None) -> None:
        self._factory = factory
        self._hub = hub
        self._api: KubernetesApi | None = None
        self._source: WatchedPods | None = None
        self._watching: asyncio.Task[None] | None = None
        self._warned: tuple[str, ...] = ()
        self._told: frozenset[str] = frozenset()
        self._here: ClusterIdentity | None = None
        self._is_misplaced: asyncio.Future[WrongClusterError] = asyncio.get_running_loop().create_future()

    @property
    def source(self) -> WatchedPods:
        """The watches, once :meth:`prepare` has begun them."""
        if self._source is None:
            raise ServiceUnavailableError("The cluster is not watched yet.")
        return self._source

    async def prepare(self) -> None:
        """Make sure that the database belongs here, begin to watch, and wait for the first lists for as long as the API server is away.

        Raises
        ------
        WrongClusterError
            If the database belongs to another cluster or namespace.
        MissingRightError
            If the cluster does not let the keeper see its namespace, pods or nodes.
        """
        settings = self._factory.settings
        self._api = await KubernetesApi.connect(who=WHO)
        self._here = await _answered(self._look)
        is_known = await _answered(self._belongs_here)
        self._source = WatchedPods(api=self._api, namespace=settings.namespace, is_namespace_per_user=settings.is_namespace_per_user, before_list=self._confirm)
        self._factory.pod_source = self._source
        if settings.is_kueue:
            self._factory.kueue = KueueClient(api=self._api, namespace=settings.namespace, nodes=self._source.nodes)
        self._watching = asyncio.create_task(self._source.run())
        await self._source.until_listed()
        if not is_known:
            await _answered(self._claim)
        self._factory.is_cluster_confirmed = True

    async def misplaced(self) -> None:
        """Wait until the API server is seen to be another cluster's; its lists are never taken.

        Raises
        ------
        WrongClusterError
            Then.
        """
        raise await self._is_misplaced

    async def _look(self) -> ClusterIdentity:
        if self._api is None:
            raise ServiceUnavailableError("The cluster is not watched yet.")
        return await cluster_identity(self._api, self._factory.settings.namespace)

    async def _confirm(self) -> None:
        """Before each list: is this still the same cluster? Its list would end what it does not name."""
        now = await self._look()
        if self._here is not None and now.namespace_uid != self._here.namespace_uid:
            error = WrongClusterError(elsewhere(self._here, now), here=now)
            if not self._is_misplaced.done():
                self._is_misplaced.set_result(error)
            raise error

    async def _belongs_here(self) -> bool:
        return self._here is not None and await asyncio.to_thread(self._factory.cluster_home.check, self._here)

    async def _claim(self) -> None:
        if self._here is not None:
            await asyncio.to_thread(self._factory.cluster_home.claim, self._here, tuple(self.source.pods(None) or ()))

    def ticks(self, people: Callable[[], Coroutine[Any, Any, frozenset[str]]]) -> tuple[Tick, ...]:  # noqa: ARG002 - only pods that run can be measured
        """Return the tasks of a cluster."""
        ticks = (Tick("devices", 10, self._devices), Tick("storage", 900, self._storage, is_slow=True))
        return (*ticks, Tick("namespaces", 300, self._namespaces, is_slow=True)) if self._factory.settings.is_namespace_per_user else ticks

    async def end(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        if self._api is not None:
            await self._api.close()

    async def _devices(self) -> None:
        await asyncio.to_thread(self._register)

    def _register(self) -> None:
        """Move leases to the nodes that pods were bound to, then store what the cluster has."""
        nodes = self.source.known_nodes()
        if nodes is None:
            return  # unknown is not none
        opened = self._open()
        self._place(opened)
        taken = foreign_gpus(self.source.other_pods(), {str(allocation.id) for allocation in opened})
        self._factory.cluster_capacity.register([node_view(node) for node in nodes.values()], taken)
        self._warn()

    def _place(self, opened: tuple[Allocation, ...]) -> None:
        pods = self.source.pods(None) or {}
        for allocation in opened:
            node = node_of(pods[allocation.id]) if allocation.id in pods else None
            slots = [slot for uuid in allocation.devices if (slot := slot_of(uuid)) is not None]
            if node is not None and any(slot.node != node for slot in slots):
                _LOG.info("Session %s was bound to node %s: its GPUs are promised there", allocation.id, node)
                self._factory.cluster_capacity.place(allocation.id, node)

    def _warn(self) -> None:
        """Say at the start, and when it changes, what of the catalogue no node could ever start."""
        warnings = catalog_warnings(self._factory.catalog, self._factory.enforcer.whole_capacity())
        for warning in warnings:
            if warning not in self._warned:
                _LOG.warning("%s", warning)
        self._warned = warnings

    def _open(self) -> tuple[Allocation, ...]:
        with self._factory.database.read() as connection:
            return self._factory.allocations.open(connection)

    async def _storage(self) -> None:
        """Count one home of each person whose server runs, one after the other."""
        for user_name, pod in (await asyncio.to_thread(self._homes)).items():
            try:
                size = await self.source.home_bytes(pod, CONTAINER, timeout_seconds=MEASURE_SECONDS)
            except AIPlatformError as error:
                is_new = str(error) not in self._told
                self._told |= {str(error)}
                _LOG.log(logging.WARNING if is_new else logging.DEBUG, "The home of one person could not be counted: %s", error)
            else:
                await asyncio.to_thread(self._factory.storage_meter.record, {user_name: size})
            await asyncio.sleep(BETWEEN_HOMES_SECONDS)

    def _homes(self) -> dict[str, Json]:
        opened = self._open()
        pods = self.source.pods(None) or {}
        alive = {id_ for id_, record in self._factory.runtime.records(pods).found.items() if record.is_alive}
        return {allocation.user_name: pods[allocation.id] for allocation in opened if allocation.id in alive}

    async def _namespaces(self) -> None:
        """Delete the namespaces of people whom the hub has no more and who have nothing open."""
        if self._hub is None:
            return
        owned = await self.source.owned_namespaces()
        if not owned:
            return
        busy = {str(allocation.user_id) for allocation in await asyncio.to_thread(self._open)}
        candidates = {name: owner for name, owner in owned.items() if owner not in busy and owner.isdecimal()}
        for name in await departed(self._hub, candidates, await asyncio.to_thread(self._last_names, candidates)):
            _LOG.warning("Namespace %s belongs to nobody whom the hub knows: deleting it", name)
            await self.source.delete_namespace(name)

    def _last_names(self, candidates: Mapping[str, str]) -> dict[str, str]:
        """Return the last known names of owners, by their id."""
        factory = self._factory
        found: dict[str, str] = {}
        with factory.database.read() as connection:
            for owner in candidates.values():
                latest = factory.allocations.page(connection, AllocationFilter(user_id=int(owner)), limit=1)
                if latest:
                    found[owner] = latest[0].user_name
        return found


async def _answered(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Ask until API server and database answer; say once that they do not."""
    is_told = False
    while True:
        try:
            return await ask()
        except ServiceUnavailableError as error:
            if not is_told:
                _LOG.warning("%s Trying again until it does", error)
            is_told = True
            await asyncio.sleep(RETRY_SECONDS)
