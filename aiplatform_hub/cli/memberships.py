"""Who belongs to which project from when until when."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from aiplatform_hub.cli.output import print_json, print_table
from aiplatform_hub.cli.rest import RestClient, path_word
from aiplatform_hub.cli.user import local, rest_command
from aiplatform_hub.domain.units import isoformat

_DATE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"])
_STATES = {"to_come": "to come", "counts": "counts", "over": "over"}


@click.group()
def memberships() -> None:
    """Show to which projects you belong from when until when; admins also give and end memberships."""


@memberships.command("list")
@click.option("--user", default=None, help="Only of this person.")
@click.option("--project", default=None, help="Only of this project.")
@rest_command
def list_(client: RestClient, *, user: str | None, project: str | None, as_json: bool) -> None:
    """List memberships beside those of groups."""
    asked = {name: value for name, value in (("user", user), ("project", project)) if value is not None}
    items = client.whole("memberships", asked)["items"]
    if as_json:
        print_json(items)
        return
    rows = [
        {**one, "from": local(one["starts_at"]), "until": local(one["ends_at"]) if one["ends_at"] else "further notice", "state": _STATES[one["state"]]}
        for one in items
    ]
    columns = {name: name for name in ("project", "user", "from", "until", "state", "reason", "id")}
    print_table(rows, columns, empty="No membership: projects come from groups alone.")


@memberships.command()
@click.argument("user")
@click.argument("project")
@click.option("--from", "starts_at", type=_DATE, default=None, help="When it begins, UTC; default: now.")
@click.option("--until", "ends_at", type=_DATE, default=None, help="When it ends, UTC, exclusive; default: never.")
@click.option("--reason", required=True, help="Why; it stands in the audit trail.")
@rest_command
def add(  # noqa: PLR0913  one parameter per option
    client: RestClient, user: str, project: str, *, starts_at: datetime | None, ends_at: datetime | None, reason: str, as_json: bool
) -> None:
    """Let USER belong to PROJECT: they may launch in it, and what they launch is charged to it."""
    found = client.post("memberships", {"user": user, "project": project, "starts_at": _utc(starts_at), "ends_at": _utc(ends_at), "reason": reason})
    if as_json:
        print_json(found)
        return
    click.echo(f"{found['user']} belongs to {found['project']} from {local(found['starts_at'])} on. To undo: aiplatform memberships end {found['id']}")


@memberships.command()
@click.argument("membership_id", metavar="ID")
@rest_command
def end(client: RestClient, membership_id: str, *, as_json: bool) -> None:
    """End the membership ID: it counts at no launch any more; what runs goes on."""
    client.delete(f"memberships/{path_word(membership_id)}")
    if as_json:
        print_json({"id": membership_id})
        return
    click.echo("It has ended, and stays on record.")


def _utc(instant: datetime | None) -> str | None:
    return None if instant is None else isoformat(instant.replace(tzinfo=UTC))
