"""The keeper's part of giving GPUs back: it looks once a second, and has the hub stop what is recorded as ending."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from uuid import UUID

from aiplatform_hub.clients.hub_api import HubApiClient
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.errors import NotFoundError, ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.releaser import Claims, Released

LOOK_SECONDS = 1.0
"""Time between two looks."""
AGAIN_SECONDS = 10.0
"""Time after which the hub is asked again to stop what it was asked to stop and has not."""
_LOG = logging.getLogger(__name__)


class ReleaseDuty:
    """Carries out the verdicts.

    Parameters
    ----------
    claims
        Returns the sessions whose GPUs the last pass over the queue asked for.
    """

    def __init__(self, *, factory: Factory, hub: HubApiClient, claims: Callable[[], Claims]) -> None:
        self._factory = factory
        self._hub = hub
        self._claims = claims
        self._asked: dict[UUID, float] = {}
        self._stopping: dict[UUID, asyncio.Task[None]] = {}

    async def begin(self) -> None:
        """Learn when a keeper last looked. Where that cannot be known, every warning begins anew."""
        try:
            await asyncio.to_thread(self._factory.releaser.begin)
        except ServiceUnavailableError as error:
            _LOG.warning("When a keeper last looked is not known, so warnings begin anew: %s", error)

    async def look(self) -> None:
        """Warn, record what ends, and ask the hub to stop it.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer; then nothing is given back.
        """
        released = await asyncio.to_thread(self._factory.releaser.look, self._claims(), frozenset(self._asked))
        _tell(released)
        wanted = {allocation.id for allocation in released.stops}
        self._asked = {id_: at for id_, at in self._asked.items() if id_ in wanted}
        for allocation in released.stops:
            self._stop(allocation)

    async def end(self) -> None:
        """Leave stops that are under way to the hub."""
        for task in self._stopping.values():
            task.cancel()

    def _stop(self, allocation: Allocation) -> None:
        is_recent = time.monotonic() - self._asked.get(allocation.id, -AGAIN_SECONDS) < AGAIN_SECONDS
        if is_recent or allocation.id in self._stopping:
            return
        task = asyncio.create_task(self._stop_one(allocation))
        self._stopping[allocation.id] = task
        task.add_done_callback(lambda _, id_=allocation.id: self._stopping.pop(id_, None))  # type: ignore[misc]  # mypy cannot infer the default

    async def _stop_one(self, allocation: Allocation) -> None:
        """Ask once; what the hub does not do now is asked again by a later look."""
        try:
            answer = await self._hub.stop_server(allocation.user_name, allocation.server_name)
        except ServiceUnavailableError as error:
            _LOG.warning("Session %s is to end and the hub cannot be asked; trying again: %s", allocation.id, error)
            return
        if answer.is_ok or answer.status == NotFoundError.status:
            self._asked[allocation.id] = time.monotonic()
        else:
            _LOG.warning("The hub does not stop session %s; trying again: %s %s", allocation.id, answer.status, answer.message)


def _tell(released: Released) -> None:
    for allocation, found in released.warned:
        _LOG.info("Session %s is warned: %s", allocation.id, found.why)
    for allocation, found in released.recorded:
        _LOG.info("Session %s ends: %s", allocation.id, found.why)
