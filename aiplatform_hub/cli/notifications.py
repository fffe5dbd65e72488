"""What you were told."""

from __future__ import annotations

import click

from aiplatform_hub.cli.output import print_json
from aiplatform_hub.cli.rest import RestClient
from aiplatform_hub.cli.user import local, rest_command


@click.command()
@click.option("--all", "is_all", is_flag=True, help="Dismissed and past ones too.")
@click.option("--dismiss", "dismissed", type=click.IntRange(min=1), metavar="NUMBER", help="Say that you have seen this one.")
@click.option("--most", type=click.IntRange(1, 200), default=50, show_default=True, help="Look at so many of the newest.")
@rest_command
def notifications(client: RestClient, *, is_all: bool, dismissed: int | None, most: int, as_json: bool) -> None:
    """Show what you were told: whose turn came, what expires or was given back."""
    if dismissed is not None:
        found = client.post(f"notifications/{dismissed}/dismiss", {})
        if as_json:
            print_json(found)
        else:
            click.echo(f"Dismissed: {found['subject']}")
        return
    items = [entry for entry in client.get("notifications", {"limit": most})["items"] if is_all or entry["is_current"]]
    if as_json:
        print_json(items)
        return
    if not items:
        click.echo("Nothing was told." if is_all else "Nothing new.")
    for entry in items:
        click.echo(f"{entry['id']:>6}  {local(entry['at'])}  {entry['subject']}")
        for sentence in entry["sentences"]:
            click.echo(f"        {sentence}")
