"""The keeper as it is, with a hub to start servers at, submit times alone for the order, and its rhythms a tenth as long."""

import asyncio
import signal
import sys
from argparse import ArgumentParser

from aiplatform_hub.clients.hub_api import HubApiClient
from aiplatform_hub.config import add_arguments, settings_from
from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.keeper.keeper import Keeper
from aiplatform_hub.services.keeper.machine import MachineDuties


async def keep() -> None:
    parser = ArgumentParser()
    add_arguments(parser)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    factory = Factory(settings_from(parser.parse_args()))
    factory.policies.current = lambda: FIFO
    hub = HubApiClient(api_url=factory.settings.hub_api_url, token="secret")
    await Keeper(factory=factory, hub=hub, duties=MachineDuties(factory=factory), pace=0.1).run(stop)


if __name__ == "__main__":
    sys.exit(asyncio.run(keep()))
