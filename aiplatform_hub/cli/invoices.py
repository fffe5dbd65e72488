"""Draft, issue and take back invoices."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click

from aiplatform_hub.cli.operator import config_option, data_dir_option, database_option, operator_name, settings_of
from aiplatform_hub.cli.output import guarded, json_option, print_json, print_table, say
from aiplatform_hub.domain.invoice_json import invoice_values
from aiplatform_hub.domain.invoices import Invoice, State, month_span
from aiplatform_hub.domain.partial_credits import Part
from aiplatform_hub.errors import InvalidOptionError, NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.invoices import Invoices
from aiplatform_hub.reports.invoice_csv import invoice_csv
from aiplatform_hub.reports.invoice_formats import INVOICE_FORMATS, InvoiceFormat
from aiplatform_hub.storage.migrate import check_current

MOST_LISTED = 10_000
R = TypeVar("R")
month_option = click.option("--month", required=True, help="The month (UTC), for example 2026-11.")
centre_option = click.option("--cost-centre", help="Only this cost centre's.")


@click.group()
def invoices() -> None:
    """Draft a month's invoices, issue them, and take them back by credit notes; every act is audited."""


def _of_installation(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the invoices of the installation that its options name, and turn errors into lines."""

    @data_dir_option
    @config_option
    @database_option
    @json_option
    @guarded
    @wraps(command)
    def run(*args: Any, data_dir: Path, config_file: Path | None, database_url: str, **kwargs: Any) -> R:
        factory = Factory(settings_of(data_dir, config_file, database_url))
        check_current(factory.database)
        return command(factory.invoices, *args, **kwargs)

    return run


@invoices.command()
@month_option
@centre_option
@_of_installation
def draft(office: Invoices, month: str, cost_centre: str | None, as_json: bool) -> None:
    """Write the drafts of a month that is over, in place of those that are there."""
    drafts = office.draft(month, by=operator_name(), cost_centre=cost_centre)
    if as_json:
        left_out = [{"cost_centre": each.cost_centre, "reason": each.reason} for each in drafts.left_out]
        print_json({"drafts": [invoice_values(each) for each in drafts.invoices], "left_out": left_out})
        return
    _print_list(drafts.invoices, "No drafts.")
    for each in drafts.left_out:
        say(each.reason)


@invoices.command("list")
@click.option("--month", help="Only of this month, for example 2026-11.")
@centre_option
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only in this state.")
@_of_installation
def list_(office: Invoices, month: str | None, cost_centre: str | None, state: str | None, as_json: bool) -> None:
    """List invoices, credit notes and drafts, the newest month first."""
    found = office.latest(_filters(month, cost_centre, state), limit=MOST_LISTED)
    if as_json:
        print_json([invoice_values(each) for each in found])
    else:
        _print_list(found, "No invoices.")


@invoices.command()
@click.argument("invoice")
@_of_installation
def show(office: Invoices, invoice: str, as_json: bool) -> None:
    """Show an INVOICE, by its number or id, with its lines."""
    found = _find(office, invoice)
    if as_json:
        print_json(invoice_values(found))
        return
    say(f"{found.title[0].upper()}{found.title[1:]}: {found.state.value}, from {found.seller.name} to {found.buyer.name}")
    lines = invoice_values(found)["lines"]
    columns = {"position": "", "project": "project", "sku": "sku", "gpu_type": "GPU", "month": "month", "is_correction": "correction"}
    print_table(lines, {**columns, "quantity": "quantity", "price": "unit price", "amount": found.currency})
    tax = "" if found.tax_percent is None else f" + {found.tax} tax ({found.tax_percent} %)"
    say(f"{found.net}{tax} = {found.total} {found.currency}")
    for message in office.hand_overs(found.id):
        state = f"taken {message.delivered_at:%Y-%m-%d %H:%M} UTC" if message.delivered_at else message.error or "waits"
        say(f"Accounting: {message.event}, {state} ({message.id})")


@invoices.command()
@click.argument("invoice", nargs=-1)
@click.option("--month", help="Every draft of this month instead.")
@_of_installation
def issue(office: Invoices, invoice: tuple[str, ...], month: str | None, as_json: bool) -> None:
    """Give drafts their numbers: each INVOICE by its id, or a whole month's. What is issued never changes."""
    if bool(invoice) == bool(month):
        raise click.UsageError("Name drafts by their ids, or a --month.")
    chosen = [_find(office, word) for word in invoice] if invoice else office.latest(_filters(month, None, State.DRAFT.value), limit=MOST_LISTED)
    done = office.issue([each.id for each in chosen], by=operator_name())
    if as_json:
        print_json([invoice_values(each) for each in done])
    else:
        _print_list(done, "No drafts.")


@invoices.command()
@click.argument("invoice")
@click.option("--reference", default="", help="What the payment is booked as.")
@_of_installation
def pay(office: Invoices, invoice: str, reference: str, as_json: bool) -> None:
    """Note that an issued INVOICE was paid."""
    _print_one(office.pay(_find(office, invoice).id, reference=reference, by=operator_name()), as_json=as_json)


@invoices.command()
@click.argument("invoice")
@click.option("--reason", required=True, help="Why; it stands on the credit note.")
@click.option(
    "--line", "lines", multiple=True, help="Only this line, by its position (3), or only so much of it, without tax (3=12.50); may be given several times."
)
@_of_installation
def credit(office: Invoices, invoice: str, *, reason: str, lines: tuple[str, ...], as_json: bool) -> None:
    """Take an INVOICE, or some of its lines, back by a credit note; once nothing is left its month can be drafted anew."""
    note = office.credit(_find(office, invoice).id, reason=reason, by=operator_name(), parts=tuple(map(_part, lines)))
    _print_one(note, as_json=as_json)


def _part(word: str) -> Part:
    position, _, amount = word.partition("=")
    try:
        return Part(int(position), Decimal(amount) if amount else None)
    except (ValueError, InvalidOperation):
        raise click.BadParameter(f"{word!r} is no line; write for example 3, or 3=12.50.", param_hint="--line") from None


@invoices.command()
@click.argument("invoice")
@_of_installation
def drop(office: Invoices, invoice: str, as_json: bool) -> None:
    """Delete a draft, the INVOICE of this id."""
    found = _find(office, invoice)
    office.drop(found.id, by=operator_name())
    if as_json:
        print_json({"dropped": str(found.id)})
    else:
        say(f"Dropped {found.title}.")


@invoices.command()
@click.argument("invoice", required=False)
@click.option("--month", help="Everything that was issued for this month instead, for example 2026-11.")
@click.option("--format", "name", type=click.Choice(list(INVOICE_FORMATS)), help="Of the file; default: pdf for one invoice, csv for a month.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write to this file; a month's pdf, html or ubl into this folder. Default: standard output."
)
@_of_installation
def export(  # noqa: PLR0913  one parameter per option
    office: Invoices, invoice: str | None, *, month: str | None, name: str | None, output: Path | None, as_json: bool
) -> None:
    """Export an INVOICE, by its number or id, or what was issued for a month; with --json everything about it.

    A month's CSV has a row for each line, for import into an accounting; its other formats are a file for each invoice.
    """
    if bool(invoice) == bool(month):
        raise click.UsageError("Name an invoice, or a --month.")
    found = (_find(office, invoice),) if invoice else _issued_for(office, month or "")
    if as_json:
        print_json(invoice_values(found[0]) if invoice else [invoice_values(each) for each in found])
        return
    name = name or ("pdf" if invoice else "csv")
    if invoice:
        _write(INVOICE_FORMATS[name].write(found[0]), output, what=found[0].title)
    elif name == "csv":
        _write("".join(invoice_csv(found)).encode(), output, what=f"{len(found)} documents")
    else:
        _write_each(found, INVOICE_FORMATS[name], output)


def _issued_for(office: Invoices, month: str) -> tuple[Invoice, ...]:
    return tuple(office.documents(_filters(month, None, None)))


def _write(content: bytes, output: Path | None, *, what: str) -> None:
    if output is None:
        click.echo(content, nl=False)
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise InvalidOptionError(f"{output} cannot be written: {error.strerror or error}") from error
    say(f"{what[0].upper()}{what[1:]} in {output}.")


def _write_each(found: tuple[Invoice, ...], chosen: InvoiceFormat, folder: Path | None) -> None:
    if folder is None or not folder.is_dir():
        raise click.UsageError("A file for each invoice needs a folder that exists: --output FOLDER.")
    contents = {chosen.file_name(each): chosen.write(each) for each in found}  # all of them first: a refusal leaves nothing half-written
    for file_name, content in contents.items():
        _write(content, folder / file_name, what=file_name)


def _filters(month: str | None, cost_centre: str | None, state: str | None) -> dict[str, Any]:
    try:
        start = None if month is None else month_span(month)[0]
    except ValueError as error:
        raise InvalidOptionError(str(error)) from error
    known = {"period_start": start, "cost_centre": cost_centre, "state": state}
    return {name: value for name, value in known.items() if value is not None}


def _find(office: Invoices, word: str) -> Invoice:
    try:
        return office.find(UUID(word))
    except ValueError:
        pass
    try:
        return office.find_number(word)
    except NotFoundError as error:
        raise NotFoundError(f"There is no invoice {word}. Give a number, or the id of a draft; see: aiplatform invoices list") from error


def _print_one(invoice: Invoice, *, as_json: bool) -> None:
    if as_json:
        print_json(invoice_values(invoice))
    else:
        _print_list((invoice,), "")


def _print_list(found: tuple[Invoice, ...], empty: str) -> None:
    rows = [{**invoice_values(each), "invoice": each.number or str(each.id), "what": each.kind.value.replace("_", " ")} for each in found]
    columns = {"invoice": "invoice", "what": "what", "state": "state", "cost_centre": "cost centre", "month": "month"}
    print_table(rows, {**columns, "net": "net", "tax": "tax", "total": "total", "currency": ""}, empty=empty)
