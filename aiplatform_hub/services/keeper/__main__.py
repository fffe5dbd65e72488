"""Start the keeper: ``python -m aiplatform_hub.services.keeper``."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Awaitable

from aiplatform_hub.clients.hub_api import HubApiClient
from aiplatform_hub.config import Place, Settings, add_arguments, service_token_from_environment, settings_from
from aiplatform_hub.errors import AIPlatformError, ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.garbage import look_seldom
from aiplatform_hub.operations.cluster_home import WrongClusterError
from aiplatform_hub.services.keeper.cluster import ClusterDuties
from aiplatform_hub.services.keeper.health import serve
from aiplatform_hub.services.keeper.keeper import Keeper
from aiplatform_hub.services.keeper.lock import KeeperLock, acquired, lock_for, lost, pause
from aiplatform_hub.services.keeper.machine import MachineDuties
from aiplatform_hub.services.keeper.refusal import refused
from aiplatform_hub.services.keeper.ticks import Duties
from aiplatform_hub.storage.migrate import check_current

EXIT_CONFIGURATION = 2
EXIT_LOCK_LOST = 3
"""Another keeper may be at work: whoever started this one starts it again, and it waits."""
STOP_SECONDS = 8
"""How long the tasks may take to end when told to."""
_LOG = logging.getLogger("aiplatform_hub.keeper")


def main() -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    parser = ArgumentParser(prog="python -m aiplatform_hub.services.keeper", description="Keeps the ledger equal to what runs.")
    add_arguments(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="[%(levelname)1.1s %(asctime)s keeper] %(message)s")
    try:
        return asyncio.run(_run(settings_from(options)))
    except AIPlatformError as error:
        print(f"keeper: {error}", file=sys.stderr)  # noqa: T201 - to whoever started it
        return EXIT_CONFIGURATION


async def _run(settings: Settings) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        factory = Factory(settings)
        _ = factory.catalog  # a broken one is told now
        factory.check_notices()
        try:
            return await _alone(factory, stop)
        except WrongClusterError as error:
            await refused(factory, error, stop)
        finally:
            factory.close()
    return 0


async def _alone(factory: Factory, stop: asyncio.Event) -> int:
    """Wait until no other keeper acts; then keep."""
    lock = lock_for(factory.database, factory.settings.run_dir)
    try:
        if await acquired(lock, stop) and await _database_is_ready(factory, stop):
            return await _keep(factory, lock, stop)
        return 0
    finally:
        lock.release()


async def _keep(factory: Factory, lock: KeeperLock, stop: asyncio.Event) -> int:
    """Keep until told to stop, or until another keeper may act."""
    settings = factory.settings
    hub = _hub(settings)
    duties: Duties = ClusterDuties(factory=factory, hub=hub) if settings.place is Place.CLUSTER else MachineDuties(factory=factory)
    keeper = Keeper(factory=factory, hub=hub, duties=duties)
    server = serve(settings.service_host, settings.keeper_port, lambda: "" if keeper.is_at_work else "The keeper begins.", lambda: keeper.remark)
    look_seldom()  # to look through what stays for garbage again and again took up to a third of a pass over a long queue
    _LOG.info("Keeping %s", settings.namespace if settings.place is Place.CLUSTER else settings.data_dir)
    try:
        return await _first(keeper.run(stop), lost(lock), stop.wait(), duties.misplaced())
    finally:
        server.stop()
        await duties.end()


async def _first(keeping: Awaitable[None], losing: Awaitable[None], stopping: Awaitable[object], misplacing: Awaitable[None]) -> int:
    """Wait for whichever comes first; end the others.

    Raises
    ------
    WrongClusterError
        If the database belongs to another place.
    """
    kept, gone, told, misplaced = every = tuple(asyncio.ensure_future(one) for one in (keeping, losing, stopping, misplacing))
    done, _ = await asyncio.wait(every, return_when=asyncio.FIRST_COMPLETED)
    if gone in done:
        _LOG.error("The keeper's lock is lost: ending, so that one keeper alone acts")
        return EXIT_LOCK_LOST
    if told in done:
        await asyncio.wait({kept}, timeout=STOP_SECONDS)
    ended = [one for one in (misplaced, kept) if one.done()]
    for one in every:
        one.cancel()
    for one in ended:
        one.result()
    return 0


def _hub(settings: Settings) -> HubApiClient | None:
    token = service_token_from_environment()
    return HubApiClient(api_url=settings.hub_api_url, token=token) if token else None


async def _database_is_ready(factory: Factory, stop: asyncio.Event) -> bool:
    """Wait until the database answers.

    Raises
    ------
    ConfigurationError
        If its tables are not those of this version, or a rate card that has begun was changed in the catalogue.
    """
    is_told = False
    while not stop.is_set():
        try:
            await asyncio.to_thread(_check_database, factory)
        except ServiceUnavailableError as error:
            if not is_told:
                _LOG.warning("The database does not answer; trying again until it does: %s", error.__cause__ or error)
            is_told = True
            await pause(stop)
        else:
            return True
    return False


def _check_database(factory: Factory) -> None:
    check_current(factory.database)
    factory.price_list.record_catalogue()


if __name__ == "__main__":
    sys.exit(main())
