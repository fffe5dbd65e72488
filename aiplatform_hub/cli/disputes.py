"""What is disputed of invoices, and what was answered."""

from __future__ import annotations

from typing import Any

import click

from aiplatform_hub.cli.output import print_json, print_table
from aiplatform_hub.cli.rest import RestClient, path_word
from aiplatform_hub.cli.user import local, rest_command
from aiplatform_hub.errors import NotFoundError

text_option = click.option("--text", required=True, help="What you say; it is kept as you write it.")
id_argument = click.argument("dispute_id", metavar="ID")


@click.group()
def disputes() -> None:
    """Dispute lines of invoices, as a billing viewer; admins answer."""


@disputes.command("list")
@click.option("--state", type=click.Choice(["open", "answered", "withdrawn"]), help="Only in this state.")
@rest_command
def list_(client: RestClient, *, state: str | None, as_json: bool) -> None:
    """List disputes, the one that was spoken in last first."""
    items = client.whole("disputes", {"state": state})["items"]
    if as_json:
        print_json(items)
        return
    rows = [{**one, "last": one["entries"][-1]["by"], "at": local(one["entries"][-1]["at"])} for one in items]
    columns = {"invoice": "invoice", "position": "line", "cost_centre": "cost centre", "state": "state", "last": "last by", "at": "at", "id": "id"}
    print_table(rows, columns, empty="No disputes.")


@disputes.command()
@id_argument
@rest_command
def show(client: RestClient, dispute_id: str, *, as_json: bool) -> None:
    """Show the dispute ID with all that was said."""
    _print(client.get(f"disputes/{path_word(dispute_id)}"), as_json=as_json)


@disputes.command("open")
@click.argument("invoice")
@click.argument("line", type=click.IntRange(1))
@text_option
@rest_command
def open_(client: RestClient, invoice: str, line: int, *, text: str, as_json: bool) -> None:
    """Dispute a LINE, by its position, of an issued INVOICE, by its number or id."""
    _print(client.post(f"invoices/{_id_of(client, invoice)}/lines/{line}/disputes", {"text": text}), as_json=as_json)


@disputes.command()
@click.argument("invoice")
@click.argument("line", type=click.IntRange(1))
@rest_command
def sessions(client: RestClient, invoice: str, line: int, *, as_json: bool) -> None:
    """List the sessions behind a LINE of an INVOICE, the dearest first."""
    found = client.whole(f"invoices/{_id_of(client, invoice)}/lines/{line}/sessions")
    if as_json:
        print_json(found)
        return
    rows = [{**one, "from": local(one["start"]), "until": local(one["end"])} for one in found["items"]]
    columns = {"allocation_id": "session", "user": "person", "environment_template": "environment", "from": "from", "until": "until"}
    print_table(rows, {**columns, "quantity": "quantity", "amount": found["currency"]}, empty="No session is behind this line any more.")
    click.echo(f"All: {found['total']} {found['currency']}; on the line: {found['line_amount']} {found['currency']}")


@disputes.command()
@id_argument
@text_option
@rest_command
def reply(client: RestClient, dispute_id: str, *, text: str, as_json: bool) -> None:
    """Say more about the dispute ID: it is open again."""
    _print(client.post(f"disputes/{path_word(dispute_id)}/reply", {"text": text}), as_json=as_json)


@disputes.command()
@id_argument
@text_option
@rest_command
def answer(client: RestClient, dispute_id: str, *, text: str, as_json: bool) -> None:
    """Answer the dispute ID, as an admin."""
    _print(client.post(f"disputes/{path_word(dispute_id)}/answer", {"text": text}), as_json=as_json)


@disputes.command()
@id_argument
@click.option("--text", default="", help="Why.")
@rest_command
def withdraw(client: RestClient, dispute_id: str, *, text: str, as_json: bool) -> None:
    """End the dispute ID, which must be your own."""
    _print(client.post(f"disputes/{path_word(dispute_id)}/withdraw", {"text": text}), as_json=as_json)


def _id_of(client: RestClient, invoice: str) -> str:
    found = client.get("invoices", {"number": invoice})["items"]
    if invoice and found:
        return str(found[0]["id"])
    if len(invoice) == len("00000000-0000-0000-0000-000000000000"):
        return path_word(invoice)
    raise NotFoundError(f"There is no invoice {invoice}.")


def _print(one: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(one)
        return
    click.echo(f"{one['invoice']}, line {one['position']}: {one['state']} ({one['id']})")
    for entry in one["entries"]:
        click.echo(f"{local(entry['at'])}  {entry['by']} {entry['kind']}: {entry['text']}")
