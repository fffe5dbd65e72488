"""What all spawners of one hub process share: objects, threads and the hub's sign of life."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from uuid import uuid4

from tornado.ioloop import PeriodicCallback

from aiplatform_hub.clients.gpus import discover
from aiplatform_hub.config import Place
from aiplatform_hub.domain.announcements import Announcement, shown
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.garbage import look_seldom
from aiplatform_hub.hub.traits import AIPlatform
from aiplatform_hub.hub_factory import HubFactory
from aiplatform_hub.storage.database import DatabaseBusyError
from aiplatform_hub.storage.heartbeats import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from traitlets.config import Config

    from aiplatform_hub.config import Settings
    from aiplatform_hub.domain.allocations import GpuDevice

P = ParamSpec("P")
T = TypeVar("T")

DECISION_SECONDS = 0.8
"""Longest wait for a decision once its turn has come, lock wait included: the hub answers 202 or a redirect soon after."""

AGAIN_SECONDS = 0.3
"""How long after its beginning a decision may be tried once more, when another writer had the lock for too long: the second try ends in time, too."""

TURN_SECONDS = 10
"""Longest wait for the turn: starts that come at once are decided one after the other, and none is refused for being the fiftieth."""

RECORD_SECONDS = 10
"""How long the hub tries to record what has happened already."""

RECORD_PAUSE_SECONDS = 0.2
"""Time between two tries."""

HEARTBEAT_SECONDS = 10
"""Time between two signs of life of the hub."""

GATHERING_SECONDS = 1
"""How long servers that a new hub finds ready are gathered, to be looked up together."""

log = logging.getLogger(__name__)


class HubProcess:
    """One per hub process. Everything that may block runs in its threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.factory = HubFactory(settings)
        self.instance = uuid4().hex
        """Names this life of the hub in our rows."""
        self.gpu_types: tuple[str, ...] | None = None
        """GPU types of this place in the catalogue's order; None until they are known."""
        self.products: dict[str, str] = {}
        """In a cluster: what the product label of each GPU's node says, by the GPU's id."""
        self._announcements: tuple[Announcement, ...] = ()
        # Writers of one database queue up anyway: one thread keeps them in order and spends nothing on a lock.
        self._decisions = ThreadPoolExecutor(1, "aiplatform-decide")
        self._work = ThreadPoolExecutor(8, "aiplatform-work")
        self._heartbeat = PeriodicCallback(self._beat, HEARTBEAT_SECONDS * 1000)
        self._started_at = self.factory.clock()
        self._found_ready: set[UUID] = set()

    async def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the call returns, computed beside the event loop."""
        return await asyncio.wrap_future(self._work.submit(call, *args, **kwargs))

    async def record(self, call: Callable[[], T], seconds: float) -> T:
        """As :meth:`in_thread`, tried again while the database is busy or away: a pod that runs must not end because fifty start at once.

        The call must be one that may be made twice.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer for so long.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                return await self.in_thread(call)
            except ServiceUnavailableError:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(RECORD_PAUSE_SECONDS)

    async def decide(self, call: Callable[[], T], undo: Callable[[T], None]) -> T:
        """Return the decision, or refuse when it takes too long.

        A decision that comes after the refusal is undone in the same thread, so that nothing stays held for nobody.

        Raises
        ------
        ServiceUnavailableError
            If the decision takes more than 0.8 s, or its turn does not come within 10 s.
        """
        loop = asyncio.get_running_loop()
        begun: asyncio.Future[None] = loop.create_future()

        def in_turn() -> T:
            loop.call_soon_threadsafe(begun.set_result, None)
            began = time.monotonic()
            try:
                return call()
            except DatabaseBusyError:
                if time.monotonic() - began > AGAIN_SECONDS:
                    raise
                return call()

        future = self._decisions.submit(in_turn)
        try:
            finished = asyncio.ensure_future(_finished(future))
            await asyncio.wait({begun, finished}, timeout=TURN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if begun.done():
                await asyncio.wait({finished}, timeout=DECISION_SECONDS)
        except asyncio.CancelledError:
            self._give_up(future, undo)
            raise
        if not future.done():
            self._give_up(future, undo)
            raise ServiceUnavailableError(
                "The platform is too busy to decide just now; nothing was started. Try again in a few seconds.", retry_after_seconds=5
            )
        return future.result()

    def _give_up(self, future: Future[T], undo: Callable[[T], None]) -> None:
        """Leave a decision behind; it is undone if it comes late."""

        def late(done: Future[T]) -> None:
            if not done.cancelled() and done.exception() is None:
                self._work.submit(_undo, undo, done.result())

        if not future.cancel():
            future.add_done_callback(late)

    def found_ready(self, allocation_id: UUID) -> None:
        """Note that a server was found ready that ran before this hub: almost always the row says so already, and a thousand are asked for at once."""
        if not self._found_ready:
            asyncio.get_running_loop().call_later(GATHERING_SECONDS, lambda: asyncio.ensure_future(self._record_found()))
        self._found_ready.add(allocation_id)

    async def _record_found(self) -> None:
        found, self._found_ready = self._found_ready, set()
        meter, at = self.factory.meter, self.factory.clock()
        try:
            await self.record(partial(meter.found_ready, found, at), RECORD_SECONDS)
        except Exception:
            log.warning("That %d servers are ready could not be recorded", len(found), exc_info=True)

    def start_heartbeat(self) -> None:
        """Begin to write the hub's sign of life, once; call it on the event loop."""
        if not self._heartbeat.is_running():
            self._heartbeat.start()
            look_seldom()
            if self.settings.place is Place.MACHINE:
                self._work.submit(self._look_around)
            self._beat()

    def _look_around(self) -> None:
        """Load what the first start would otherwise wait for."""
        try:
            catalog = self.factory.catalog
            devices = self._cluster_gpus() if self.settings.place is Place.CLUSTER else discover(self.settings.simulated_gpus, catalog.gpu_types)
            here = dict.fromkeys(device.gpu_type for device in devices)
            self.gpu_types = tuple(sorted(here, key=[*catalog.gpu_types, *here].index)) if self.settings.place is Place.CLUSTER else tuple(here)
        except ServiceUnavailableError:
            log.warning("The GPUs could not be read: the platform's database does not answer")
        except Exception:
            log.exception("The catalogue or the GPUs could not be read")

    def announcements(self) -> tuple[Announcement, ...]:
        """Return what everybody is told now, the most urgent first, as of the last sign of life. Asks nobody."""
        return shown(self._announcements, self.factory.clock())

    async def know_gpus(self) -> None:
        """In a cluster: wait for the first look at its GPUs, so that the first start too means a type that is here."""
        if self.settings.place is Place.CLUSTER and self.gpu_types is None:
            await self.in_thread(self._look_around)

    def _cluster_gpus(self) -> tuple[GpuDevice, ...]:
        """Return the slots that the keeper has registered."""
        with self.factory.database.read() as connection:
            pool = self.factory.devices.pool(connection)
        devices = pool.devices if pool else ()
        self.products = {device.uuid: device.product_name for device in devices}
        return devices

    def _beat(self) -> None:
        self._work.submit(self._look_at_announcements)
        self._work.submit(self._write_heartbeat)
        if self.settings.place is Place.CLUSTER:
            self._work.submit(self._look_around)  # nodes come and go

    def _look_at_announcements(self) -> None:
        """Remember what counts now or later; what was known stays while the database is away."""
        try:
            self._announcements = self.factory.announcements.not_over()
        except Exception:
            log.exception("What admins tell everybody could not be read")

    def _write_heartbeat(self) -> None:
        detail = {"pid": os.getpid(), "stop_inactive_minutes": self.settings.stop_inactive_minutes}
        beat = Heartbeat(process="hub", instance=self.instance, started_at=self._started_at, at=self.factory.clock(), detail=detail)
        try:
            with self.factory.database.write() as connection:
                self.factory.heartbeats.beat(connection, beat)
        except ServiceUnavailableError:
            log.warning("The hub's heartbeat could not be written: the platform's database does not answer")
        except Exception:
            log.exception("The hub's heartbeat could not be written")


def _undo(undo: Callable[[T], None], result: T) -> None:
    try:
        undo(result)
    except Exception:
        log.exception("A late hold could not be released; the keeper will do it")


async def _finished(future: Future[T]) -> None:
    """End when the future ends, however it ends, and never cancel it."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    future.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
    await ended.wait()


@dataclass(frozen=True, slots=True)
class Shared:
    """What all spawners of one configuration have together."""

    config: Config
    """Kept, so that its id is nobody else's."""
    place: AIPlatform
    process: HubProcess


_processes: dict[Settings, HubProcess] = {}
_shared: dict[tuple[int, str], Shared] = {}


def process_for(settings: Settings) -> HubProcess:
    """Return this hub process's shared part, made when it is first asked for."""
    if settings not in _processes:
        _processes[settings] = HubProcess(settings)
    return _processes[settings]


def shared_by(config: Config, base_url: str) -> Shared:
    """Return what this configuration of a hub at this base URL makes: read once, as it does not change while the hub runs."""
    key = id(config), base_url
    known = _shared.get(key)
    if known is None:
        place = AIPlatform(config=config)
        known = _shared[key] = Shared(config, place, process_for(place.settings(base_url)))
    return known
