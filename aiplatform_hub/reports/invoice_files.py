"""The formats in which a single invoice is a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiplatform_hub.domain.invoice_json import invoice_values
from aiplatform_hub.domain.invoices import Invoice
from aiplatform_hub.reports.invoice_csv import invoice_csv


@dataclass(frozen=True, slots=True)
class InvoiceFormat:
    """How an invoice becomes a file."""

    label: str
    media_type: str
    write: Callable[[Invoice], bytes]

    def file_name(self, invoice: Invoice, extension: str) -> str:
        """Return what the file is called: by the number, or as a draft."""
        words = invoice.number or f"draft-{invoice.cost_centre}-{invoice.month}"
        return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in words) + f".{extension}"


def _json(invoice: Invoice) -> bytes:
    return (json.dumps(invoice_values(invoice), ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


INVOICE_FORMATS: Mapping[str, InvoiceFormat] = {
    "csv": InvoiceFormat("CSV", "text/csv; charset=utf-8", lambda invoice: "".join(invoice_csv((invoice,))).encode()),
    "json": InvoiceFormat("JSON", "application/json", _json),
}
"""By name, which is also the extension."""
