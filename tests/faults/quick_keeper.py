"""The keeper as it is, with its rhythms a tenth as long, so that many crashes fit into a test."""

import asyncio
import signal
import sys
from argparse import ArgumentParser

from aiplatform_hub.config import add_arguments, settings_from
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.keeper.keeper import Keeper
from aiplatform_hub.services.keeper.machine import MachineDuties


async def keep() -> None:
    parser = ArgumentParser()
    add_arguments(parser)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    factory = Factory(settings_from(parser.parse_args()))
    await Keeper(factory=factory, hub=None, duties=MachineDuties(factory=factory), pace=0.1).run(stop)


if __name__ == "__main__":
    sys.exit(asyncio.run(keep()))
