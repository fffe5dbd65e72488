"""What was given to cost centres, projects and people."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click

from aiplatform_hub.cli.output import print_json, print_table
from aiplatform_hub.cli.rest import RestClient, path_word
from aiplatform_hub.cli.user import local, rest_command
from aiplatform_hub.domain.units import isoformat

_DATE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"])


@click.group("credits")
def credits_() -> None:
    """Show the credits that pay for your sessions; admins also give and end them."""


@credits_.command("list")
@rest_command
def list_(client: RestClient, *, as_json: bool) -> None:
    """List credits in the order in which they burn, with what is paid and left."""
    items = client.get("credits")["items"]
    if as_json:
        print_json(items)
        return
    rows = [{**one, "whose": f"{one['scope']} {one['name']}", "until": _until(one), **_amounts(one)} for one in items]
    columns = {"whose": "for", "amount": "given", "paid": "paid", "left": "left", "currency": "", "state": "state", "until": "until", "id": "id"}
    print_table(rows, columns, empty="No credit applies to you.")


@credits_.command()
@click.argument("scope", type=click.Choice(["cost_centre", "project", "person"]))
@click.argument("name")
@click.argument("amount")
@click.argument("currency")
@click.option("--priority", type=int, default=100, show_default=True, help="From 0 to 1000; the smallest burns first.")
@click.option("--from", "starts_at", type=_DATE, default=None, help="From when on it pays, UTC; default: now.")
@click.option("--expires", "expires_at", type=_DATE, default=None, help="Until when it pays, UTC, exclusive; default: for ever.")
@click.option("--reason", required=True, help="Why; it stands on reports and in the audit trail.")
@rest_command
def grant(  # noqa: PLR0913  one parameter per option
    client: RestClient,
    scope: str,
    name: str,
    amount: str,
    currency: str,
    *,
    priority: int,
    starts_at: datetime | None,
    expires_at: datetime | None,
    reason: str,
    as_json: bool,
) -> None:
    """Give AMOUNT to NAME: it pays for what is used from now on."""
    body = {"scope": scope, "name": name, "amount": amount, "currency": currency, "priority": priority, "reason": reason}
    found = client.post("credits", {**body, "starts_at": _utc(starts_at), "expires_at": _utc(expires_at)})
    if as_json:
        print_json(found)
        return
    click.echo(f"{found['left']} {found['currency']} are given. To undo: aiplatform credits end {found['id']}")


@credits_.command()
@click.argument("credit_id", metavar="ID")
@rest_command
def end(client: RestClient, credit_id: str, *, as_json: bool) -> None:
    """End the credit ID: it pays for nothing that is used from now on."""
    client.delete(f"credits/{path_word(credit_id)}")
    if as_json:
        print_json({"id": credit_id})
        return
    click.echo("The credit has ended. What it has paid stays paid.")


def _amounts(one: dict[str, Any]) -> dict[str, str]:
    return {name: f"{Decimal(one[name]):.2f}" for name in ("amount", "paid", "left")}


def _until(one: dict[str, Any]) -> str:
    end_ = one["ended_at"] or one["expires_at"]
    return local(end_) if end_ else "for ever"


def _utc(instant: datetime | None) -> str | None:
    return None if instant is None else isoformat(instant.replace(tzinfo=UTC))
