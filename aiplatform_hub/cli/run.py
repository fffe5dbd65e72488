"""``aiplatform run``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import click

from aiplatform_hub.cli.operator import config_option, data_dir_option, database_option
from aiplatform_hub.cli.output import guarded, say
from aiplatform_hub.supervisor.data_directory import DataDirectory
from aiplatform_hub.supervisor.options import RunOptions
from aiplatform_hub.supervisor.preparation import check, prepare
from aiplatform_hub.supervisor.supervisor import Supervisor


@click.command()
@data_dir_option
@config_option
@database_option
@click.option("--demo", "is_demo", is_flag=True, help="Try it out: demo people with generated passwords, simulated GPUs where there are none, on 127.0.0.1.")
@click.option("--host", help="Address to listen on; default: the configuration's, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on; default: the configuration's, else 8000.")
@click.option("--simulated-gpus", type=click.IntRange(0, 1024), metavar="N", help="Labelled pretend GPUs; 0 uses what the machine has.")
@click.option(
    "--catalog-dir",
    "catalog_dirs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Catalogue folder over the built-in one; may be repeated.",
)
@click.option("--admin", "admins", multiple=True, metavar="USER", help="An admin; may be repeated.")
@click.option("--allow-all", is_flag=True, help="Everybody whom the authenticator accepts may log in.")
@click.option("--allow-group", "allow_groups", multiple=True, metavar="GROUP", help="Members of this Unix group may log in; may be repeated.")
@click.option("--new-passwords", is_flag=True, help="With --demo: make new passwords for the demo people.")
@guarded
def run(data_dir: Path, **given: object) -> None:
    """Run the hub, the proxy and the services until Ctrl-C; sessions run on."""
    options = RunOptions(data_dir=data_dir.absolute(), **given)  # type: ignore[arg-type]  # click gives what the options above declare
    timed_say = _stopwatch()
    directory = DataDirectory(options.data_dir, is_traversable=os.geteuid() == 0)
    directory.create()
    with directory.lock():
        operator = check(options)
        timed_say(f"Preparing {options.data_dir}")
        plan = prepare(options, operator, directory)
        directory.note_supervisor(address=operator.address, hub_api_url=plan.settings.hub_api_url)
        timed_say("Starting proxy, hub, platform and keeper")
        Supervisor(plan=plan, say=timed_say).run()


def _stopwatch() -> Callable[[str], None]:
    began = time.monotonic()

    def timed_say(message: str) -> None:
        say(f"[{time.monotonic() - began:3.0f} s] {message}" if time.monotonic() - began < 60 else f"[{time.strftime('%H:%M:%S')}] {message}")  # noqa: PLR2004

    return timed_say
