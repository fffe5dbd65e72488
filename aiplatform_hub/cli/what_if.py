"""``aiplatform what-if``: what a launch would get, and what else could be asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from aiplatform_hub.cli.launch import exit_if_refused, show_decision
from aiplatform_hub.cli.output import print_json
from aiplatform_hub.cli.rest import RestClient
from aiplatform_hub.cli.user import rest_command


def _launch_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option("--gpus", type=int, help="Number of GPUs; default: the template's."),
            click.option("--gpu-type", help="Type of GPU."),
            click.option("--memory-gib", type=int, help="Memory in GiB."),
            click.option("--cpu-cores", type=int, help="CPU cores."),
            click.option("--project", help="Project to charge."),
            click.option("--user", help="For whom, if not for yourself."),
        )
    ):
        command = option(command)
    return command


@click.command("what-if")
@click.argument("environment_template", metavar="TEMPLATE")
@_launch_options
@rest_command
def what_if(client: RestClient, *, as_json: bool, **options: Any) -> None:
    """Say what a launch from TEMPLATE would get now, and with fewer GPUs, other GPU types, or asked for in the evening. Nothing is started."""
    found = client.post("decisions", {**options, "if_full": "queue", "alternatives": True})
    if as_json:
        print_json(found)
    else:
        show_decision(found, as_json=False)
        for other in found["alternatives"]:
            click.echo(other["message"])
    exit_if_refused(found)
