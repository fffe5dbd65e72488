"""One invoice as a file that goes out, from a page or over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from aiplatform_hub.reports.invoice_formats import INVOICE_FORMATS
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.web.security_headers import CSP

if TYPE_CHECKING:
    from aiplatform_hub.services.platform.base import PlatformHandler

DEFAULT_FORMAT = "pdf"


async def send_invoice(handler: PlatformHandler, id_: UUID) -> None:
    """Answer a request with an invoice in the format that its query names.

    Raises
    ------
    AIPlatformError
        If there is no such format or invoice, or the invoice lacks what the format demands; nothing is sent then.
    """
    name, run = handler.get_query_argument("format", DEFAULT_FORMAT), handler.platform.run
    if name not in INVOICE_FORMATS:
        raise invalid("format", f"format must be among {', '.join(INVOICE_FORMATS)}.", tuple(INVOICE_FORMATS))
    chosen = INVOICE_FORMATS[name]
    invoice = await run(handler.platform.factory.invoices.find, id_)
    content = await run(chosen.write, invoice)
    handler.set_header("Content-Type", chosen.media_type)
    handler.set_header("Content-Disposition", f'{"inline" if chosen.is_shown else "attachment"}; filename="{chosen.file_name(invoice)}"')
    if chosen.policy is not None:
        handler.set_header(CSP, chosen.policy())
    await handler.finish(content)
