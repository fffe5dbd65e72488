"""Invoices as CSV for import into an accounting: one row for each line, the document's own values repeated."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from aiplatform_hub.domain.invoices import Invoice, InvoiceLine, Kind

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a text for a formula."""
_Cell = Callable[[Invoice, InvoiceLine], str]


def invoice_csv(invoices: Iterable[Invoice]) -> Iterator[str]:
    """Yield the text, a heading first. Amounts of credit notes are negative, so that a column adds up to what is owed."""
    yield _row(COLUMNS)
    for invoice in invoices:
        for line in invoice.lines:
            yield _row(cell(invoice, line) for cell in COLUMNS.values())


def _row(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(list(cells))
    return text.getvalue()


def _text(value: str | None) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    text = value or ""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _signed(invoice: Invoice, amount: Decimal) -> str:
    return format(-amount if invoice.kind is Kind.CREDIT_NOTE else amount, "f")


def _day(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d}"


COLUMNS: Mapping[str, _Cell] = {
    "number": lambda invoice, _: _text(invoice.number),
    "kind": lambda invoice, _: invoice.kind.value,
    "state": lambda invoice, _: invoice.state.value,
    "issued_on": lambda invoice, _: _day(invoice.issued_at),
    "due_on": lambda invoice, _: _day(invoice.due_at),
    "credits": lambda invoice, _: _text(invoice.credits),
    "legal_entity": lambda invoice, _: _text(invoice.legal_entity),
    "cost_centre": lambda invoice, _: _text(invoice.cost_centre),
    "cost_centre_code": lambda invoice, _: _text(invoice.buyer.code),
    "month": lambda invoice, _: invoice.month,
    "position": lambda _, line: str(line.position),
    "project": lambda _, line: _text(line.project),
    "sku": lambda _, line: line.sku.value,
    "gpu_type": lambda _, line: _text(line.gpu_type),
    "line_month": lambda _, line: f"{line.month:%Y-%m}",
    "rate_card": lambda _, line: _text(line.rate_card),
    "is_off_peak": lambda _, line: str(line.is_off_peak).lower(),
    "is_correction": lambda _, line: str(line.is_correction).lower(),
    "quantity": lambda invoice, line: _signed(invoice, line.quantity),
    "unit_price": lambda _, line: format(line.price, "f"),
    "line_amount": lambda invoice, line: _signed(invoice, line.amount),
    "currency": lambda invoice, _: invoice.currency,
    "invoice_net": lambda invoice, _: _signed(invoice, invoice.net),
    "tax_percent": lambda invoice, _: "" if invoice.tax_percent is None else format(invoice.tax_percent, "f"),
    "invoice_tax": lambda invoice, _: _signed(invoice, invoice.tax),
    "invoice_total": lambda invoice, _: _signed(invoice, invoice.total),
}
"""What each column holds."""
