"""What a keeper does on one machine: its GPUs, its homes, its spool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from aiplatform_hub.clients.gpus import discover, machine_capacity
from aiplatform_hub.domain.activity import SAMPLE_PERIOD
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.keeper import homes
from aiplatform_hub.services.keeper.ticks import Tick

KEPT_IN_SPOOL = timedelta(days=7)
"""How long the folder of an ended session stays in the spool before it is archived."""


class MachineDuties:
    """Looks at this machine."""

    def __init__(self, *, factory: Factory) -> None:
        self._factory = factory

    async def prepare(self) -> None:
        """Make the spool's folder, if the database is not a cluster's."""
        await asyncio.to_thread(self._factory.cluster_home.check_machine)
        await asyncio.to_thread(self._factory.spool.path.mkdir, mode=0o700, parents=True, exist_ok=True)

    def ticks(self, people: Callable[[], Coroutine[Any, Any, frozenset[str]]]) -> tuple[Tick, ...]:
        """Return the tasks of a machine."""

        async def storage() -> None:
            await asyncio.to_thread(self._measure, await people())

        return (
            Tick("devices", 60, self._devices),
            Tick("activity", SAMPLE_PERIOD.total_seconds(), self._activity),
            Tick("storage", 900, storage, is_slow=True),
            Tick("archive", 3600, self._archive, is_slow=True),
        )

    async def misplaced(self) -> None:
        """Wait for ever: a machine does not become another one."""
        await asyncio.Event().wait()

    async def end(self) -> None:
        """Nothing was opened."""

    async def _devices(self) -> None:
        await asyncio.to_thread(self._register_devices)

    def _register_devices(self) -> None:
        settings = self._factory.settings
        memory_bytes, cpu_cores = machine_capacity()
        self._factory.enforcer.register_devices(discover(settings.simulated_gpus, self._factory.catalog.gpu_types), memory_bytes, cpu_cores)

    async def _activity(self) -> None:
        await asyncio.to_thread(self._factory.activity_meter.sample)

    def _measure(self, people: frozenset[str]) -> None:
        self._factory.storage_meter.record(homes.measure(sorted(people), self._factory.settings))

    async def _archive(self) -> None:
        await asyncio.to_thread(self._archive_spool)

    def _archive_spool(self) -> None:
        """Move old sessions away; only while the database says that nothing of theirs is open."""
        with self._factory.database.read() as connection:
            oldest = min((a.held_at for a in self._factory.allocations.open(connection) if a.held_at), default=self._factory.clock())
        self._factory.spool.archive(min(oldest, self._factory.clock() - KEPT_IN_SPOOL))
