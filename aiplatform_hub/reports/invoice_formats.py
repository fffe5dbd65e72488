"""The formats of one invoice. A new one is one file and one line here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiplatform_hub.domain.invoice_json import invoice_values
from aiplatform_hub.domain.invoices import Invoice
from aiplatform_hub.reports.invoice_csv import invoice_csv
from aiplatform_hub.reports.invoice_html import html_policy, invoice_html
from aiplatform_hub.reports.invoice_ubl import invoice_ubl, missing


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceFormat:
    """One of them."""

    label: str
    media_type: str
    ending: str
    """Of the file's name, without a dot before it."""
    write: Callable[[Invoice], bytes]
    missing: Callable[[Invoice], tuple[str, ...]] = lambda _: ()
    """Says what an invoice lacks, so that it cannot be written."""
    policy: Callable[[], str] | None = None
    """Content-Security-Policy under which a browser may show it; None is that of data."""
    is_shown: bool = False
    """Whether a browser shows it, and does not save it."""

    def file_name(self, invoice: Invoice) -> str:
        """Return what to call the file: by number, of a draft by cost centre and month."""
        words = invoice.number or f"draft-{invoice.cost_centre}-{invoice.month}"
        return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "-" for letter in words) + f".{self.ending}"


def _pdf(invoice: Invoice) -> bytes:
    from aiplatform_hub.reports.invoice_pdf import invoice_pdf  # noqa: PLC0415 - ReportLab is large, and most processes never write one

    return invoice_pdf(invoice)


def _csv(invoice: Invoice) -> bytes:
    return "".join(invoice_csv((invoice,))).encode()


def _json(invoice: Invoice) -> bytes:
    return (json.dumps(invoice_values(invoice), ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


INVOICE_FORMATS: Mapping[str, InvoiceFormat] = {
    "pdf": InvoiceFormat(label="PDF", media_type="application/pdf", ending="pdf", write=_pdf),
    "html": InvoiceFormat(label="Page to print", media_type="text/html; charset=utf-8", ending="html", write=invoice_html, policy=html_policy, is_shown=True),
    "ubl": InvoiceFormat(label="E-invoice (UBL)", media_type="application/xml", ending="xml", write=invoice_ubl, missing=missing),
    "csv": InvoiceFormat(label="CSV", media_type="text/csv; charset=utf-8", ending="csv", write=_csv),
    "json": InvoiceFormat(label="JSON", media_type="application/json", ending="json", write=_json),
}
"""By name, in the order in which they are offered."""
