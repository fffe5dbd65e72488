"""An invoice as one HTML file that needs nothing else: to look at, and to print."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from aiplatform_hub.domain.invoice_document import document_of
from aiplatform_hub.domain.invoices import Invoice

FOLDER = Path(__file__).parent / "page_templates"
PNG_START = b"\x89PNG"


def invoice_html(invoice: Invoice) -> bytes:
    """Return the file; of an invoice that was issued always the same bytes, whatever became of it since."""
    document = document_of(invoice)
    # Our own style sheet has no mark-up in it; everything else is escaped.
    text = _environment().get_template("invoice.html").render(document=document, style=Markup(_style()), logo=_address(document.seller.logo))  # noqa: S704
    return text.encode()


@cache
def html_policy() -> str:
    """Return the Content-Security-Policy under which it is sent: its own style and picture, and nothing that runs."""
    digest = b64encode(sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def _style() -> str:
    return (FOLDER / "invoice.css").read_text(encoding="utf-8")


def _address(picture: bytes) -> str:
    kind = "png" if picture.startswith(PNG_START) else "jpeg"
    return f"data:image/{kind};base64,{b64encode(picture).decode()}" if picture else ""
