"""The keeper's part of the grace time: it asks who was seen, and has the hub stop what nobody opened."""

from __future__ import annotations

import asyncio
import logging

from aiplatform_hub.clients.hub_api import HubApiClient, HubUnreachableError
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.factory import Factory

_LOG = logging.getLogger(__name__)


class GraceDuty:
    """Looks at sessions that were waited for, until somebody was seen in them."""

    def __init__(self, *, factory: Factory, hub: HubApiClient) -> None:
        self._factory = factory
        self._hub = hub

    async def look(self) -> None:
        """Settle what is known now.

        Raises
        ------
        ServiceUnavailableError
            If hub, proxy or database do not answer: nothing is stopped then.
        """
        grace = self._factory.grant_grace
        if not await asyncio.to_thread(grace.unopened):
            return
        traffic = await self._hub.traffic()
        found = await asyncio.to_thread(grace.settle, traffic)
        for allocation in found.too_late:
            await self._stop(allocation)

    async def _stop(self, allocation: Allocation) -> None:
        """Have the hub stop a session; a wish that it does not carry out is taken back."""
        _LOG.info("Session %s was not opened in time: its GPUs go to whoever is next", allocation.id)
        try:
            answer = await self._hub.stop_server(allocation.user_name, allocation.server_name, token="")
        except HubUnreachableError:
            await asyncio.to_thread(self._factory.grant_grace.not_stopped, allocation.id)
            raise  # without any answer the stop may go on, so the wish stays: the next look sees
        if not answer.is_ok and answer.status != NotFoundError.status:
            _LOG.warning("The hub does not stop session %s: %s %s", allocation.id, answer.status, answer.message)
            await asyncio.to_thread(self._factory.grant_grace.not_stopped, allocation.id)
