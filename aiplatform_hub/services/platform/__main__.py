"""``python -m aiplatform_hub.services.platform``: the same program, managed by the hub or beside it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys

from aiplatform_hub.config import add_arguments, settings_from
from aiplatform_hub.errors import AIPlatformError, CatalogError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.app import Service, make_platform
from aiplatform_hub.services.platform.rate_limit import DEFAULT_REQUESTS_PER_MINUTE

USAGE = 2


async def serve(service: Service) -> None:
    """Run until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await service.start()
    await stopping.wait()
    await service.stop()


def main(arguments: list[str] | None = None) -> int:
    """Start the service; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m aiplatform_hub.services.platform", description="Pages and REST API of the AI Platform Hub.")
    add_arguments(parser)
    parser.add_argument(
        "--requests-per-minute", type=int, default=DEFAULT_REQUESTS_PER_MINUTE, help=f"reads that each caller may make; default: {DEFAULT_REQUESTS_PER_MINUTE}"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = settings_from(options)
        factory = Factory(settings)
        _ = factory.catalog, settings.notifier_options  # what is wrong is told now
        if factory.has_push:
            _ = factory.push_desk, factory.vapid_key.public
        service = Service(make_platform(settings, factory, requests_per_minute=options.requests_per_minute), address=settings.service_host)
        asyncio.run(serve(service))
    except CatalogError as error:
        print("\n".join(error.problems), file=sys.stderr)  # noqa: T201 - for the operator
        return USAGE
    except (AIPlatformError, OSError) as error:
        print(f"platform: {error}", file=sys.stderr)  # noqa: T201 - for the operator
        return USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
