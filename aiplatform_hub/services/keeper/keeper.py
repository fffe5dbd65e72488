"""The keeper's repeated tasks."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from aiplatform_hub import metrics
from aiplatform_hub.clients.gpus import discover, machine_capacity
from aiplatform_hub.clients.hub_api import HubApiClient
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.keeper import homes, state
from aiplatform_hub.storage.heartbeats import Heartbeat

KEPT_IN_SPOOL = timedelta(days=7)
"""How long the folder of an ended session stays in the spool before it is archived."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tick:
    """One repeated task."""

    name: str
    """As in :data:`aiplatform_hub.metrics.TICKS`."""
    seconds: float
    """Time from the end of one run to the start of the next."""
    run: Callable[[], Coroutine[Any, Any, None]]
    is_slow: bool = False
    """Whether the others must not wait for it at the start."""


class Keeper:
    """Runs the tasks until told to stop. A task that fails is logged, counted and runs again.

    Parameters
    ----------
    hub
        Asked whether unfinished starts go on; None never asks, and such starts stay.
    pace
        Factor on the time between two runs of a task.
    """

    def __init__(self, *, factory: Factory, hub: HubApiClient | None, pace: float = 1.0) -> None:
        self._factory = factory
        self._hub = hub
        self._pace = pace
        self._instance = uuid4().hex
        self._started_at = factory.clock()
        self._is_database_away = False
        self._people: frozenset[str] = frozenset()
        self._correcting = asyncio.Lock()
        self.ticks = (
            Tick("heartbeat", 10, self._heartbeat),
            Tick("devices", 60, self._devices),
            Tick("reconcile", 15, self._reconcile),
            Tick("scan", 1.5, self._scan),
            Tick("proofs", 10, self._prove),
            Tick("state", 10, self._state),
            Tick("storage", 900, self._storage, is_slow=True),
            Tick("archive", 3600, self._archive, is_slow=True),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run every task in its rhythm until the event is set."""
        await asyncio.to_thread(self._factory.spool.path.mkdir, mode=0o700, parents=True, exist_ok=True)
        for tick in self.ticks:
            if not tick.is_slow:
                await self.once(tick)  # in order: what is counted below was registered above
        await asyncio.gather(*(self._repeat(tick, stop) for tick in self.ticks))

    async def _repeat(self, tick: Tick, stop: asyncio.Event) -> None:
        if tick.is_slow:
            await self.once(tick)
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), tick.seconds * self._pace)
            except TimeoutError:
                await self.once(tick)

    async def once(self, tick: Tick) -> None:
        """Run a task once; nothing it raises goes further."""
        try:
            await tick.run()
        except ServiceUnavailableError as error:
            metrics.KEEPER_TICK_ERRORS.labels(tick.name).inc()
            if not self._is_database_away:
                _LOG.warning("The database does not answer; trying again until it does: %s", error.__cause__ or error)
            self._is_database_away = True
        except Exception:  # noqa: BLE001 - the edge of a background task
            metrics.KEEPER_TICK_ERRORS.labels(tick.name).inc()
            _LOG.exception("Task %s failed; it runs again in %s s", tick.name, tick.seconds)
        else:
            if self._is_database_away and tick.name in {"heartbeat", "reconcile"}:
                _LOG.warning("The database answers again")
                self._is_database_away = False

    async def _heartbeat(self) -> None:
        await asyncio.to_thread(self._beat)

    def _beat(self) -> None:
        factory = self._factory
        beat = Heartbeat(process="keeper", instance=self._instance, started_at=self._started_at, at=factory.clock(), detail={"pid": os.getpid()})
        with factory.database.write() as connection:
            factory.heartbeats.beat(connection, beat)

    async def _prove(self) -> None:
        await asyncio.to_thread(self._factory.reconciler.prove)

    async def _scan(self) -> None:
        """Settle what has changed since the last look."""
        async with self._correcting:
            changed = await asyncio.to_thread(self._factory.reconciler.changed)
            if not changed:
                return
            try:
                await asyncio.to_thread(self._factory.reconciler.reconcile, changed)
            except BaseException:
                self._factory.reconciler.forget(changed)  # so that the next look sees them again
                raise

    async def _reconcile(self) -> None:
        async with self._correcting:
            found = await asyncio.to_thread(self._factory.reconciler.reconcile)
        if found.counts:
            _LOG.info("Reconciled: %s", dict(found.counts))
        for allocation in found.unfinished:
            await self._ask_hub(allocation)

    async def _ask_hub(self, allocation: Allocation) -> None:
        if self._hub is None:
            return
        try:
            servers = await self._hub.servers_of(allocation.user_name)
        except ServiceUnavailableError as error:
            _LOG.info("Start of allocation %s is unfinished and the hub does not tell whether it goes on: %s", allocation.id, error)
            return
        if allocation.server_name not in servers:
            async with self._correcting:
                await asyncio.to_thread(self._factory.reconciler.abandon, allocation.id)

    async def _state(self) -> None:
        self._people |= await asyncio.to_thread(state.refresh, self._factory)

    async def _devices(self) -> None:
        await asyncio.to_thread(self._register_devices)

    def _register_devices(self) -> None:
        settings = self._factory.settings
        memory_bytes, cpu_cores = machine_capacity()
        self._factory.enforcer.register_devices(discover(settings.simulated_gpus, self._factory.catalog.gpu_types), memory_bytes, cpu_cores)

    async def _storage(self) -> None:
        await self._state()
        await asyncio.to_thread(self._measure)

    def _measure(self) -> None:
        factory = self._factory
        sizes = homes.measure(sorted(self._people), factory.settings)
        if sizes:
            with factory.database.write() as connection:
                factory.storage_usage.record(connection, sizes, factory.clock())

    async def _archive(self) -> None:
        await asyncio.to_thread(self._archive_spool)

    def _archive_spool(self) -> None:
        """Move old sessions away; only while the database says that nothing of theirs is open."""
        with self._factory.database.read() as connection:
            oldest = min((a.held_at for a in self._factory.allocations.open(connection) if a.held_at), default=self._factory.clock())
        self._factory.spool.archive(min(oldest, self._factory.clock() - KEPT_IN_SPOOL))
