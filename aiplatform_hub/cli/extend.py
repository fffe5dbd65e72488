"""Keep a running session for longer."""

from __future__ import annotations

import click

from aiplatform_hub.cli.output import print_json
from aiplatform_hub.cli.rest import RestClient
from aiplatform_hub.cli.user import local, rest_command


@click.command()
@click.argument("session")
@rest_command
def extend(client: RestClient, session: str, *, as_json: bool) -> None:
    """Keep SESSION for one more period from now, though it is idle or over its cap: an id, its beginning, or the name of a server that is open."""
    found = client.post(f"allocations/{client.find(session)}/extend", {})
    if as_json:
        print_json(found)
        return
    release = found["release"]
    if release is None:
        click.echo(f"{found['server_name']} does not run any more.")
        return
    click.echo(f"{found['server_name']} is kept until {local(release['extended_until'])}.")
