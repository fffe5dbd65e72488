"""One invoice as a document: to print, to send, to import."""

from __future__ import annotations

from aiplatform_hub.reports.invoice_formats import INVOICE_FORMATS
from aiplatform_hub.services.platform.api.invoices import InvoiceApiHandler, id_of
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route
from aiplatform_hub.web.security_headers import CSP

DEFAULT_FORMAT = "pdf"


class DocumentHandler(InvoiceApiHandler):
    """``GET invoices/{id}/document``."""

    async def get(self, invoice_id: str) -> None:
        """Answer with the file."""
        self.check_reads()
        name = self.get_query_argument("format", DEFAULT_FORMAT)
        if name not in INVOICE_FORMATS:
            raise invalid("format", f"format must be among {', '.join(INVOICE_FORMATS)}.", tuple(INVOICE_FORMATS))
        chosen = INVOICE_FORMATS[name]
        invoice = await self.platform.run(self.office.find, id_of(invoice_id))
        content = await self.platform.run(chosen.write, invoice)
        self.set_header("Content-Type", chosen.media_type)
        self.set_header("Content-Disposition", f'{"inline" if chosen.is_shown else "attachment"}; filename="{chosen.file_name(invoice)}"')
        if chosen.policy is not None:
            self.set_header(CSP, chosen.policy())
        await self.finish(content)


_FIRST, *_OTHERS = dict.fromkeys(each.media_type.partition(";")[0] for each in INVOICE_FORMATS.values())
RESOURCES = (
    Resource(
        DocumentHandler,
        (
            Route(
                method="GET",
                path="api/v1/invoices/{id}/document",
                summary="An invoice as a document: PDF, page to print, e-invoice or CSV",
                description="For admins. The bytes of an issued invoice are the same at any time. A draft has no UBL, and what lacks a value that EN 16931 "
                "demands is refused with its name.",
                scope=READ,
                parameters=(Parameter("format", f"Of the file; {DEFAULT_FORMAT} by default", {"enum": list(INVOICE_FORMATS)}),),
                replies={200: Reply("The file, in the format asked for", media_type=_FIRST, other_media_types=tuple(_OTHERS))},
                errors=(400, 404, 409),
            ),
        ),
    ),
)
