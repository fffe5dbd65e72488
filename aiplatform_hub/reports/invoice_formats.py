"""The formats of one invoice. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiplatform_hub.domain.invoices import Invoice
from aiplatform_hub.reports.invoice_csv import invoice_csv
from aiplatform_hub.reports.invoice_html import html_policy, invoice_html
from aiplatform_hub.reports.invoice_ubl import invoice_ubl


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceFormat:
    """One of them."""

    label: str
    media_type: str
    ending: str
    """Of the file's name, without a dot before it."""
    write: Callable[[Invoice], bytes]
    policy: Callable[[], str] | None = None
    """Content-Security-Policy under which a browser may show it; None is that of data."""
    is_shown: bool = False
    """Whether a browser shows it, and does not save it."""

    def file_name(self, invoice: Invoice) -> str:
        """Return what to call the file: by number, of a draft by cost centre and month."""
        return f"{invoice.number or f'draft-{invoice.cost_centre}-{invoice.month}'}.{self.ending}"


def _pdf(invoice: Invoice) -> bytes:
    from aiplatform_hub.reports.invoice_pdf import invoice_pdf  # noqa: PLC0415 - ReportLab is large, and most processes never write one

    return invoice_pdf(invoice)


def _csv(invoice: Invoice) -> bytes:
    return "".join(invoice_csv((invoice,))).encode()


INVOICE_FORMATS: Mapping[str, InvoiceFormat] = {
    "pdf": InvoiceFormat(label="PDF", media_type="application/pdf", ending="pdf", write=_pdf),
    "html": InvoiceFormat(label="Page to print", media_type="text/html; charset=utf-8", ending="html", write=invoice_html, policy=html_policy, is_shown=True),
    "ubl": InvoiceFormat(label="E-invoice (UBL)", media_type="application/xml", ending="xml", write=invoice_ubl),
    "csv": InvoiceFormat(label="CSV", media_type="text/csv; charset=utf-8", ending="csv", write=_csv),
}
"""By name, in the order in which they are offered."""
