"""What admins tell everybody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from aiplatform_hub.cli.output import print_json, print_table
from aiplatform_hub.cli.rest import RestClient
from aiplatform_hub.cli.user import local, rest_command
from aiplatform_hub.domain.units import isoformat

_INSTANT = click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"])


@click.group()
def announcements() -> None:
    """Show what admins tell everybody; admins also add and remove."""


@announcements.command("list")
@rest_command
def list_(client: RestClient, *, as_json: bool) -> None:
    """List what counts now or later, with maintenance windows."""
    items = client.get("announcements")["items"]
    if as_json:
        print_json(items)
        return
    rows = [{**one, "kind": _kind(one), "from": local(one["starts_at"]), "until": local(one["ends_at"])} for one in items]
    print_table(rows, {"id": "number", "kind": "kind", "from": "from", "until": "until", "text": "text"}, empty="Nothing is announced.")


@announcements.command()
@click.argument("text")
@click.option("--level", type=click.Choice(["info", "warning", "critical"]), default="info", show_default=True, help="How much it matters.")
@click.option("--from", "starts_at", type=_INSTANT, default=None, help="When it begins, UTC, as 2026-12-01T08:00; default: now.")
@click.option("--until", "ends_at", type=_INSTANT, default=None, help="When it ends, UTC; default: a day after it begins.")
@click.option("--maintenance", "is_maintenance", is_flag=True, help="It is a maintenance window: shown ahead, and starts that reach into it are told so.")
@rest_command
def add(  # noqa: PLR0913  one parameter per option
    client: RestClient, text: str, *, level: str, starts_at: datetime | None, ends_at: datetime | None, is_maintenance: bool, as_json: bool
) -> None:
    """Show TEXT above every page until it ends."""
    until = ends_at or (starts_at or datetime.now(UTC).replace(tzinfo=None)) + timedelta(days=1)
    body = {"text": text, "level": level, "starts_at": _utc(starts_at), "ends_at": _utc(until), "is_maintenance": is_maintenance}
    found = client.post("announcements", body)
    if as_json:
        print_json(found)
        return
    when = "is shown now" if found["is_shown"] else f"is shown from {local(found['starts_at'])}"
    click.echo(f"Announcement {found['id']} {when}, until {local(found['ends_at'])}.")


@announcements.command()
@click.argument("number", type=click.IntRange(min=1))
@rest_command
def remove(client: RestClient, number: int, *, as_json: bool) -> None:
    """Take the announcement NUMBER back."""
    found = client.delete(f"announcements/{number}")
    if as_json:
        print_json(found)
        return
    click.echo(f"Nobody sees announcement {number} any more. To undo: aiplatform announcements restore {number}")


@announcements.command()
@click.argument("number", type=click.IntRange(min=1))
@rest_command
def restore(client: RestClient, number: int, *, as_json: bool) -> None:
    """Show the announcement NUMBER again after it was removed."""
    found = client.post(f"announcements/{number}/restore", {})
    if as_json:
        print_json(found)
        return
    click.echo(f"Announcement {number} counts again, until {local(found['ends_at'])}.")


def _kind(one: dict[str, Any]) -> str:
    return f"{one['level']}, maintenance" if one["is_maintenance"] else str(one["level"])


def _utc(instant: datetime | None) -> str | None:
    return None if instant is None else isoformat(instant.replace(tzinfo=UTC))
