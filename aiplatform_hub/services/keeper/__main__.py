"""Start the keeper: ``python -m aiplatform_hub.services.keeper``."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from aiplatform_hub import metrics
from aiplatform_hub.clients.hub_api import HubApiClient
from aiplatform_hub.config import Settings, add_arguments, service_token_from_environment, settings_from
from aiplatform_hub.errors import AIPlatformError, ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.keeper.keeper import Keeper
from aiplatform_hub.storage.migrate import check_current

LOCK_SECONDS = 2
"""Time between two tries to become the one keeper."""
EXIT_CONFIGURATION = 2
_LOG = logging.getLogger("aiplatform_hub.keeper")


class MetricsHandler(RequestHandler):
    """What Prometheus reads."""

    def get(self) -> None:
        """Answer with this process's metrics and the platform's state."""
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.write(metrics.exposition(with_state=True))


def main() -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    parser = ArgumentParser(prog="python -m aiplatform_hub.services.keeper", description="Keeps the ledger equal to what runs.")
    add_arguments(parser)
    settings = settings_from(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="[%(levelname)1.1s %(asctime)s keeper] %(message)s")
    try:
        asyncio.run(_run(settings))
    except AIPlatformError as error:
        print(f"keeper: {error}", file=sys.stderr)  # noqa: T201 - to whoever started it
        return EXIT_CONFIGURATION
    return 0


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    factory = Factory(settings)
    _ = factory.catalog  # a broken one is told now
    with _lock_file(settings.run_dir) as handle:
        if await _becomes_the_one(handle, stop) and await _database_is_ready(factory, stop):
            server = _serve_metrics(settings.keeper_port)
            _LOG.info("Keeping %s", settings.data_dir)
            await Keeper(factory=factory, hub=_hub(settings)).run(stop)
            server.stop()
    factory.close()


def _hub(settings: Settings) -> HubApiClient | None:
    token = service_token_from_environment()
    return HubApiClient(api_url=settings.hub_api_url, token=token) if token else None


@contextmanager
def _lock_file(run_dir: Path) -> Iterator[int]:
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(run_dir / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


async def _becomes_the_one(handle: int, stop: asyncio.Event) -> bool:
    """Wait until no other keeper of this data directory lives; False if told to stop meanwhile."""
    is_told = False
    while not stop.is_set():
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not is_told:
                _LOG.info("Another keeper of this data directory is at work; waiting for it to end")
            is_told = True
            await _pause(stop)
        else:
            return True
    return False


async def _database_is_ready(factory: Factory, stop: asyncio.Event) -> bool:
    """Wait until the database answers.

    Raises
    ------
    ConfigurationError
        If its tables are not those of this version.
    """
    is_told = False
    while not stop.is_set():
        try:
            await asyncio.to_thread(check_current, factory.database)
        except ServiceUnavailableError as error:
            if not is_told:
                _LOG.warning("The database does not answer; trying again until it does: %s", error.__cause__ or error)
            is_told = True
            await _pause(stop)
        else:
            return True
    return False


async def _pause(stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), LOCK_SECONDS)
    except TimeoutError:
        return


def _serve_metrics(port: int) -> HTTPServer:
    """Listen for Prometheus. A port that is taken costs the metrics, not the ledger."""
    server = HTTPServer(Application([("/metrics", MetricsHandler)]))
    try:
        server.listen(port, "127.0.0.1")
    except OSError as error:
        _LOG.warning("No metrics on port %s: %s. Choose another with --keeper-port", port, error.strerror)
    return server


if __name__ == "__main__":
    sys.exit(main())
