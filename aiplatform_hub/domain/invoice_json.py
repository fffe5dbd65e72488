"""Invoices as plain values: for the REST API, the command line and the accounting. Pure; amounts and prices are decimal strings."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from aiplatform_hub.domain.invoices import Invoice, InvoiceLine, Party
from aiplatform_hub.domain.units import isoformat


def invoice_values(invoice: Invoice) -> dict[str, Any]:
    """Return an invoice with its lines."""
    return {
        "id": str(invoice.id),
        "kind": invoice.kind.value,
        "state": invoice.state.value,
        "number": invoice.number,
        "legal_entity": invoice.legal_entity,
        "cost_centre": invoice.cost_centre,
        "month": invoice.month,
        "currency": invoice.currency,
        "net": _text(invoice.net),
        "tax_percent": None if invoice.tax_percent is None else _text(invoice.tax_percent),
        "tax": _text(invoice.tax),
        "total": _text(invoice.total),
        "seller": _party(invoice.seller),
        "buyer": _party(invoice.buyer),
        "payment_days": invoice.payment_days,
        "payment_account": invoice.payment_account or None,
        "iban": invoice.iban or None,
        "bic": invoice.bic or None,
        "drafted_at": isoformat(invoice.drafted_at),
        "drafted_by": invoice.drafted_by,
        "issued_at": _instant(invoice.issued_at),
        "issued_by": invoice.issued_by,
        "due_at": _instant(invoice.due_at),
        "paid_at": _instant(invoice.paid_at),
        "payment_reference": invoice.payment_reference or None,
        "credits": invoice.credits,
        "is_partial": invoice.is_partial,
        "credited_by": invoice.credited_by,
        "reason": invoice.reason or None,
        "estimated_seconds": _text(Decimal(invoice.estimated_microseconds) / 1_000_000),
        "rate_cards": list(invoice.rate_cards),
        "ledger_rows": invoice.ledger_rows,
        "ledger_hash": invoice.ledger_hash,
        "lines": [_line(line) for line in invoice.lines],
    }


def _line(line: InvoiceLine) -> dict[str, Any]:
    return {
        "position": line.position,
        "project": line.project,
        "sku": line.sku.value,
        "gpu_type": line.gpu_type,
        "month": f"{line.month:%Y-%m}",
        "rate_card": line.rate_card,
        "is_off_peak": line.is_off_peak,
        "is_correction": line.is_correction,
        "quantity": _text(line.quantity),
        "list_price": _text(line.list_price),
        "price": _text(line.price),
        "amount": _text(line.amount),
    }


def _party(party: Party) -> dict[str, Any]:
    return {
        "name": party.name,
        "address": list(party.address),
        "country": party.country or None,
        "tax_id": party.tax_id or None,
        "code": party.code or None,
        "registration_id": party.registration_id or None,
        "email": party.email or None,
    }


def _text(number: Decimal) -> str:
    return format(number, "f")


def _instant(at: datetime | None) -> str | None:
    return None if at is None else isoformat(at)
