"""What owners do with what waits: look, change, confirm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from aiplatform_hub.cli.output import print_json, print_table
from aiplatform_hub.cli.rest import RestClient
from aiplatform_hub.cli.user import gpus_of, local, rest_command
from aiplatform_hub.cli.waits import in_short, place_and_wait
from aiplatform_hub.domain.queue_sentences import span


@click.command()
@rest_command
def queue(client: RestClient, *, as_json: bool) -> None:
    """Show who waits, in order; your own requests with the reason."""
    found = client.whole("queue")
    if as_json:
        print_json(found)
        return
    columns = {"position": "place", "short": "id", "user": "user", "server_name": "server", "gpu": "gpus", "waiting": "waiting", "starts": "starts in"}
    print_table([_row(entry) for entry in found["items"]], columns, empty="Nobody waits.")
    known = [entry["allocation"] for entry in found["items"] if entry["allocation"]]
    me = client.my_name() if known else ""
    for mine in (entry for entry in known if entry["user"] == me and entry["queue"]):
        click.echo(f"\n{mine['server_name']}: {place_and_wait(mine['queue'])}")


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    known = entry["allocation"] or {}
    return {
        "position": entry["position"],
        "short": known["id"][:8] if known else None,
        "user": known.get("user"),
        "server_name": known.get("server_name"),
        "gpu": gpus_of(entry),
        "waiting": span(entry["waiting_seconds"]),
        "starts": in_short(known.get("queue")),
    }


@click.command()
@click.argument("session")
@click.option(
    "--gpus", type=click.IntRange(min=0), required=True, help="How many GPUs it asks for from now on. Fewer keep its submit time, more go to the back."
)
@rest_command
def change(client: RestClient, session: str, *, gpus: int, as_json: bool) -> None:
    """Change what SESSION asks for while it is queued."""
    found = client.patch(f"allocations/{client.find(session)}", {"gpus": gpus})
    if as_json:
        print_json(found)
        return
    click.echo(f"{found['server_name']} asks for {gpus_of(found)} {'GPU' if found['gpus'] == 1 else 'GPUs'} now.")
    if found["queue"]:
        click.echo(place_and_wait(found["queue"]))


@click.command()
@click.argument("session")
@rest_command
def confirm(client: RestClient, session: str, *, as_json: bool) -> None:
    """Say that you still want SESSION, which is queued: so it does not leave the queue."""
    found = client.post(f"allocations/{client.find(session)}/confirm", {})
    if as_json:
        print_json(found)
        return
    until = found["queue"]["expires_at"] if found["queue"] else None
    click.echo(f"{found['server_name']} stays in the queue until {local(until)}." if until else f"{found['server_name']} does not wait any more.")
