"""One invoice as a document: to print, to send, to import."""

from __future__ import annotations

from aiplatform_hub.reports.invoice_formats import INVOICE_FORMATS
from aiplatform_hub.services.platform.api.invoices import InvoiceApiHandler, id_of
from aiplatform_hub.services.platform.auth import BILLING, READ
from aiplatform_hub.services.platform.invoice_files import DEFAULT_FORMAT, send_invoice
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route


class DocumentHandler(InvoiceApiHandler):
    """``GET invoices/{id}/document``."""

    async def get(self, invoice_id: str) -> None:
        """Answer with the file."""
        self.check_reads()
        await send_invoice(self, id_of(invoice_id))


_FIRST, *_OTHERS = dict.fromkeys(each.media_type.partition(";")[0] for each in INVOICE_FORMATS.values())
RESOURCES = (
    Resource(
        DocumentHandler,
        (
            Route(
                method="GET",
                path="api/v1/invoices/{id}/document",
                summary="An invoice as a document: PDF, page to print, e-invoice or CSV",
                description="For admins and billing viewers. The bytes of an issued invoice are the same at any time. A draft has no UBL, and what lacks a value that EN 16931 "
                "demands is refused with its name.",
                scope=READ,
                other_scope=BILLING,
                parameters=(Parameter("format", f"Of the file; {DEFAULT_FORMAT} by default", {"enum": list(INVOICE_FORMATS)}),),
                replies={200: Reply("The file, in the format asked for", media_type=_FIRST, other_media_types=tuple(_OTHERS))},
                errors=(400, 404, 409),
            ),
        ),
    ),
)
