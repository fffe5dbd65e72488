"""Charge ended sessions to other projects."""

from __future__ import annotations

from typing import Any

import click

from aiplatform_hub.cli.output import print_json, print_table
from aiplatform_hub.cli.rest import RestClient
from aiplatform_hub.cli.user import local, rest_command


@click.group()
def sessions() -> None:
    """See to which projects ended sessions were moved; admins also move them."""


@sessions.command()
@click.argument("session")
@click.argument("project")
@click.option("--reason", default="", help="Why; it stands on the session's page and in the audit trail.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@rest_command
def move(  # noqa: PLR0913  one parameter per option
    client: RestClient, session: str, project: str, *, reason: str, dry_run: bool, as_json: bool
) -> None:
    """Charge SESSION, which has ended (an id or its beginning), to PROJECT: a correction, for admins."""
    found = client.post(f"allocations/{client.find(session)}/move", {"project": project, "reason": reason, "dry_run": dry_run})
    if as_json:
        print_json(found)
        return
    columns = {"month": "month", "before": "given back", "after": "charged anew", "currency": ""}
    print_table(found["amounts"], columns, empty="It ran for no time, so no amount changes.")
    source, target = (_account(found["move"][name]) for name in ("source", "target"))
    click.echo(f"\nFrom {source} to {target}." if found["is_done"] else f"\nIt would go from {source} to {target}. Nothing was changed.")


@sessions.command()
@click.argument("session")
@rest_command
def moves(client: RestClient, session: str, *, as_json: bool) -> None:
    """List to which projects SESSION was moved since it ended."""
    items = client.get(f"allocations/{client.find(session)}/moves")["items"]
    if as_json:
        print_json(items)
        return
    rows = [{**one, "at": local(one["at"]), "source": _account(one["source"]), "target": _account(one["target"])} for one in items]
    print_table(rows, {"at": "at", "source": "from", "target": "to", "moved_by": "by", "reason": "reason"}, empty="It was never moved.")


def _account(one: dict[str, Any]) -> str:
    return f"{one['project']} ({one['cost_centre']})"
