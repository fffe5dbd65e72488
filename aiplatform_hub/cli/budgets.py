"""What may be spent on a cost centre, project or person."""

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


@click.group()
def budgets() -> None:
    """Show the budgets that your sessions are paid from; admins also set and end them."""


@budgets.command("list")
@rest_command
def list_(client: RestClient, *, as_json: bool) -> None:
    """List budgets with what is used, held and left."""
    items = client.get("budgets")["items"]
    if as_json:
        print_json(items)
        return
    rows = [{**one, "whose": f"{one['scope']} {one['name']}", "until": _until(one), "lasts": _lasts(one), **_amounts(one)} for one in items]
    columns = {"whose": "for", "amount": "limit", "committed": "used", "held": "held", "left": "left", "currency": "", "until": "until"}
    columns |= {"lasts": "probably spent", "at_limit": "then", "id": "id"}
    print_table(rows, columns, empty="No budget applies to you.")


@budgets.command("set")
@click.argument("scope", type=click.Choice(["cost_centre", "project", "person"]))
@click.argument("name")
@click.argument("amount")
@click.argument("currency")
@click.option("--period", type=click.Choice(["month", "term", "once"]), default="month", show_default=True, help="When it begins anew.")
@click.option("--from", "starts_at", type=_DATE, default=None, help="When it begins, UTC; default: now, or the first of this month.")
@click.option("--until", "ends_at", type=_DATE, default=None, help="When it ends, UTC, exclusive; needed for a term.")
@click.option(
    "--warn-at", "soft_percents", default="80,95", show_default=True, help="Per cent of AMOUNT at which people are told, with commas; none for never."
)
@click.option("--at-limit", type=click.Choice(["let_finish", "stop"]), default="let_finish", show_default=True, help="What becomes of running GPU sessions.")
@click.option("--grace-minutes", type=click.IntRange(0, 10080), default=30, show_default=True, help="For how long they run on after the warning.")
@click.option("--replace", "replaces", metavar="ID", default=None, help="The budget that ends in the same moment.")
@click.option("--reason", required=True, help="Why; it stands in the audit trail.")
@rest_command
def set_(  # noqa: PLR0913  one parameter per option
    client: RestClient,
    scope: str,
    name: str,
    amount: str,
    currency: str,
    *,
    period: str,
    starts_at: datetime | None,
    ends_at: datetime | None,
    soft_percents: str,
    at_limit: str,
    grace_minutes: int,
    replaces: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Let AMOUNT be spent on NAME in each period: new sessions with GPUs that would cost more are refused."""
    body: dict[str, Any] = {"scope": scope, "name": name, "amount": amount, "currency": currency, "period": period, "reason": reason}
    body |= {"soft_percents": _percents(soft_percents), "at_limit": at_limit, "grace_minutes": grace_minutes, "replaces": replaces}
    found = client.post("budgets", {**body, "starts_at": _utc(starts_at), "ends_at": _utc(ends_at)})
    if as_json:
        print_json(found)
        return
    click.echo(f"{found['left']} {found['currency']} are left. To undo: aiplatform budgets end {found['id']}")


@budgets.command()
@click.argument("budget_id", metavar="ID")
@rest_command
def end(client: RestClient, budget_id: str, *, as_json: bool) -> None:
    """End the budget ID: nothing is refused or held by it any more."""
    client.delete(f"budgets/{path_word(budget_id)}")
    if as_json:
        print_json({"id": budget_id})
        return
    click.echo("The budget has ended. What was spent of it stays on record.")


def _amounts(one: dict[str, Any]) -> dict[str, str]:
    return {name: f"{Decimal(one[name]):.2f}" for name in ("amount", "committed", "held", "left")}


def _lasts(one: dict[str, Any]) -> str:
    found = one["runway"]
    if found is None:
        return "unknown"
    early, late = (found[name][:10] if found[name] else "" for name in ("earliest", "latest"))
    if not found["spent_at"]:
        return f"no; {early} at the earliest" if early else "no"
    return str(found["spent_at"][:10]) + (f" ({early} to {late or 'later'})" if early != late else "")


def _percents(text: str) -> list[int]:
    if text.strip() in {"", "none"}:
        return []
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter("Write whole numbers with commas between, for example 80,95.", param_hint="--warn-at") from None


def _until(one: dict[str, Any]) -> str:
    end = local(one["period_ends_at"]) if one["period_ends_at"] else "for ever"
    is_to_come = datetime.fromisoformat(one["period_starts_at"]) > datetime.now(UTC)
    return f"from {local(one['period_starts_at'])}, {end}" if is_to_come else end


def _utc(instant: datetime | None) -> str | None:
    return None if instant is None else isoformat(instant.replace(tzinfo=UTC))
