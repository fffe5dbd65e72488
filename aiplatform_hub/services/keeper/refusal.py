"""A keeper that finds the database of another cluster: it says so, ends nothing, and waits."""

from __future__ import annotations

import asyncio
import logging

from aiplatform_hub import metrics
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.cluster_home import WrongClusterError
from aiplatform_hub.services.keeper.health import serve
from aiplatform_hub.services.keeper.lock import pause

LOOK_SECONDS = 5
"""Time between two looks whether the database belongs here by now."""
_LOG = logging.getLogger(__name__)


async def refused(factory: Factory, error: WrongClusterError, stop: asyncio.Event) -> None:
    """Do nothing until the database belongs here, or until told to stop. Another keeper may have the lock meanwhile."""
    settings = factory.settings
    _LOG.error("%s", error)
    metrics.KEEPER_WRONG_CLUSTER.set(1)
    server = serve(settings.service_host, settings.keeper_port, lambda: str(error))
    try:
        while not stop.is_set() and not await _belongs_here(factory, error):
            await pause(stop, LOOK_SECONDS)
    finally:
        server.stop()
        metrics.KEEPER_WRONG_CLUSTER.set(0)
    if not stop.is_set():
        _LOG.warning("The database belongs here now: beginning")


async def _belongs_here(factory: Factory, error: WrongClusterError) -> bool:
    if error.here is None:
        return False
    try:
        await asyncio.to_thread(factory.cluster_home.refused, error.here, str(error))
        home = await asyncio.to_thread(factory.cluster_home.home)
    except ServiceUnavailableError as away:
        _LOG.info("Whether the database belongs here is not known just now: %s", away)
        return False
    return home is not None and home.namespace_uid == error.here.namespace_uid
