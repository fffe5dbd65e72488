"""Bodies about invoices."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from aiplatform_hub.domain.invoice_json import invoice_values
from aiplatform_hub.domain.invoices import Invoice, Kind, State
from aiplatform_hub.services.platform.wire import Input, Instant, Money, Output


class PartyOut(Output):
    """Who sends or receives an invoice, as it was when it was drafted."""

    name: str
    address: tuple[str, ...] = Field(description="Lines, without the country")
    country: str | None = Field(description="ISO 3166-1 alpha-2 code")
    tax_id: str | None
    code: str | None = Field(description="Of the cost centre in the receiver's books")
    registration_id: str | None = Field(description="Of a sender, in a register of companies or institutions")
    email: str | None


class InvoiceLineOut(Output):
    """What one project owes for one SKU at one price."""

    position: int
    project: str
    sku: str
    gpu_type: str | None
    month: str = Field(description="The month that it is about, `2026-11`: an earlier one than the invoice's where a difference was found later")
    rate_card: str
    is_off_peak: bool
    is_correction: bool
    quantity: Money = Field(description="Hours, or months of storage, × units; rounded to 6 places")
    list_price: Money = Field(description="Of one unit, before discounts")
    price: Money = Field(description="Of one unit, after discounts")
    amount: Money = Field(description="Without tax; all lines add up to `net`")


class InvoiceOut(Output):
    """An invoice or a credit note of one cost centre for one month."""

    id: UUID
    kind: str = Field(description=f"One of {', '.join(f'`{kind.value}`' for kind in Kind)}; a credit note has the amounts of the invoice that it takes back")
    state: str = Field(description=f"One of {', '.join(f'`{state.value}`' for state in State)}")
    number: str | None = Field(description="Null for a draft")
    legal_entity: str
    cost_centre: str
    month: str = Field(description="The month (UTC) that it is for, `2026-11`")
    currency: str
    net: Money
    tax_percent: Money | None
    tax: Money
    total: Money
    seller: PartyOut
    buyer: PartyOut
    payment_days: int
    payment_account: str | None = Field(description="Where to pay, in words")
    iban: str | None
    bic: str | None
    drafted_at: Instant
    drafted_by: str
    issued_at: Instant | None
    issued_by: str | None
    due_at: Instant | None
    paid_at: Instant | None
    payment_reference: str | None
    credits: str | None = Field(description="Of a credit note: number of the invoice that it takes back")
    is_partial: bool = Field(description="Of a credit note: whether it gives back parts, and the invoice stands in spite of it")
    credited_by: str | None = Field(description="Of a void invoice: number of the credit note")
    reason: str | None = Field(description="Of a credit note: why")
    estimated_seconds: Money = Field(description="GPU or environment seconds of the month whose end nobody saw")
    rate_cards: tuple[str, ...] = Field(description="Versions of the rate cards")
    ledger_rows: int = Field(description="Closed intervals of the ledger that was verified before it was drafted")
    ledger_hash: str = Field(description="Hash of the newest of them")
    lines: tuple[InvoiceLineOut, ...]


class InvoicePage(Output):
    """A page of invoices, the newest month first."""

    items: tuple[InvoiceOut, ...]
    next_cursor: str | None


class LeftOutOut(Output):
    """A cost centre that gets no draft."""

    cost_centre: str
    reason: str


class DraftsOut(Output):
    """The drafts of a month."""

    items: tuple[InvoiceOut, ...]
    left_out: tuple[LeftOutOut, ...]


class HandOverOut(Output):
    """A message to the accounting; its id is the same in every try."""

    id: UUID
    event: str = Field(description="`issued` or `paid`")
    at: Instant
    attempts: int
    next_at: Instant | None = Field(description="When it is tried next; null once it was taken")
    delivered_at: Instant | None
    error: str | None = Field(description="Why the last try failed")


class HandOversOut(Output):
    """What the accounting was or is to be told of an invoice, in order."""

    items: tuple[HandOverOut, ...]


class DraftsBody(Input):
    """What to draft."""

    month: str = Field(description="A month (UTC) that is over, `2026-11`", json_schema_extra={"pattern": r"^\d{4}-\d{2}$"})
    cost_centre: str | None = Field(None, description="Only this one's; null for all")


class PaymentBody(Input):
    """A payment of a whole invoice."""

    reference: str = Field("", description="What it is booked as, at most 250 characters")
    paid_at: str | None = Field(None, description="A UTC instant from the issue until now, or a date; null for now", json_schema_extra={"format": "date-time"})


class CreditLineBody(Input):
    """What to give back of one line."""

    position: int = Field(description="Of the line on the invoice")
    amount: str | None = Field(None, description="Without tax, a decimal string; null for what is left of the line")


class CreditBody(Input):
    """What of an invoice is taken back, and why."""

    reason: str = Field(description="Stands on the credit note, at most 250 characters")
    lines: list[CreditLineBody] = Field(default_factory=list, description="Only these; empty for everything that was not given back before")


def invoice_out(invoice: Invoice) -> InvoiceOut:
    """Return an invoice as it is sent."""
    return InvoiceOut.model_validate(invoice_values(invoice))
