"""What all spawners of one hub process share: objects, threads and the hub's sign of life."""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from uuid import uuid4

from tornado.ioloop import PeriodicCallback

from aiplatform_hub.clients.gpus import discover
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.heartbeats import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiplatform_hub.config import Settings

P = ParamSpec("P")
T = TypeVar("T")

DECISION_SECONDS = 0.8
"""Longest wait for a decision, lock wait included: the hub answers 202 or a redirect soon after."""

HEARTBEAT_SECONDS = 10
"""Time between two signs of life of the hub."""

log = logging.getLogger(__name__)


class HubProcess:
    """One per hub process. Everything that may block runs in its threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.factory = Factory(settings)
        self.instance = uuid4().hex
        """Names this life of the hub in our rows."""
        self.gpu_types: tuple[str, ...] | None = None
        """GPU types of this machine in order; None until they are known."""
        # Writers of one database queue up anyway: one thread keeps them in order and spends nothing on a lock.
        self._decisions = ThreadPoolExecutor(1, "aiplatform-decide")
        self._work = ThreadPoolExecutor(8, "aiplatform-work")
        self._heartbeat = PeriodicCallback(self._beat, HEARTBEAT_SECONDS * 1000)
        self._started_at = self.factory.clock()

    async def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the call returns, computed beside the event loop."""
        return await asyncio.wrap_future(self._work.submit(call, *args, **kwargs))

    async def decide(self, call: Callable[[], T], undo: Callable[[T], None]) -> T:
        """Return the decision, or refuse when it takes too long.

        A decision that comes after the refusal is undone in the same thread, so that nothing stays held for nobody.

        Raises
        ------
        ServiceUnavailableError
            If the decision takes more than 0.8 s.
        """
        future = self._decisions.submit(call)
        try:
            await asyncio.wait({asyncio.ensure_future(_finished(future))}, timeout=DECISION_SECONDS)
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

    def start_heartbeat(self) -> None:
        """Begin to write the hub's sign of life, once; call it on the event loop."""
        if not self._heartbeat.is_running():
            self._heartbeat.start()
            self._work.submit(self._look_around)
            self._beat()

    def _look_around(self) -> None:
        """Load what the first start would otherwise wait for."""
        try:
            catalog = self.factory.catalog
            devices = discover(self.settings.simulated_gpus, catalog.gpu_types)
            self.gpu_types = tuple(dict.fromkeys(device.gpu_type for device in devices))
        except Exception:
            log.exception("The catalogue or the GPUs could not be read")

    def _beat(self) -> None:
        self._work.submit(self._write_heartbeat)

    def _write_heartbeat(self) -> None:
        beat = Heartbeat(process="hub", instance=self.instance, started_at=self._started_at, at=self.factory.clock(), detail={"pid": os.getpid()})
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


_processes: dict[Settings, HubProcess] = {}


def process_for(settings: Settings) -> HubProcess:
    """Return this hub process's shared part, made when it is first asked for."""
    if settings not in _processes:
        _processes[settings] = HubProcess(settings)
    return _processes[settings]
