"""Bodies about what stands behind invoices, and about disputes."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from aiplatform_hub.domain.disputes import MOST_TEXT, Dispute, DisputeState, EntryKind
from aiplatform_hub.domain.invoice_sessions import LineSessions, SessionCharge, SessionShare
from aiplatform_hub.domain.invoices import Invoice
from aiplatform_hub.services.platform.wire import Input, Instant, Money, Output


class SessionShareOut(Output):
    """What one session is of a line."""

    allocation_id: UUID
    user: str
    environment_template: str
    start: Instant = Field(description="Of what of it is charged there, inclusive")
    end: Instant = Field(description="Exclusive")
    quantity: Money = Field(description="Hours, or months of storage, × units")
    amount: Money = Field(description="To 6 places; only the line is rounded to the places of its currency")
    is_estimated: bool = Field(description="Whether nobody saw when it ended")


class LineSessionsOut(Output):
    """A page of the sessions behind a line, as the ledger has them now; the dearest first."""

    line_amount: Money
    currency: str
    total: Money = Field(description="What all sessions behind the line cost, to 6 places")
    invoiced_before: Money = Field(
        description="What `total` has beside the line: of a correction, what earlier invoices demand already; else what the ledger has learnt since. 0 if nothing"
    )
    count: int = Field(description="Sessions in all")
    items: tuple[SessionShareOut, ...]
    next_cursor: str | None


class SessionChargeOut(Output):
    """One SKU of a session over a span in which its price did not change."""

    start: Instant
    end: Instant
    sku: str
    gpu_type: str | None
    project: str
    units: int
    list_price: Money
    price: Money
    amount: Money
    rate_card: str
    is_off_peak: bool
    is_correction: bool
    is_estimated: bool
    is_in_line: bool = Field(description="Whether it is part of the line that was asked about")


class SessionChargesOut(Output):
    """What a session cost in a line's month, as the invoice's cost centre pays it."""

    allocation_id: UUID
    currency: str
    items: tuple[SessionChargeOut, ...]


class EntryOut(Output):
    """What somebody said in a dispute."""

    number: int
    kind: str = Field(description=f"One of {', '.join(f'`{kind.value}`' for kind in EntryKind)}")
    by: str
    at: Instant
    text: str


class DisputeOut(Output):
    """A dispute of one line of an invoice."""

    id: UUID
    invoice_id: UUID
    invoice: str | None = Field(description="Its number")
    cost_centre: str
    month: str = Field(description="That the invoice is for, `2026-11`")
    position: int = Field(description="Of the line")
    state: str = Field(description=f"One of {', '.join(f'`{state.value}`' for state in DisputeState)}")
    opened_by: str
    entries: tuple[EntryOut, ...] = Field(description="All that was said, in order; nothing of it ever changes")


class DisputePage(Output):
    """A page of disputes, the one that was spoken in last first."""

    items: tuple[DisputeOut, ...]
    next_cursor: str | None


class DisputeBody(Input):
    """What somebody says in a dispute."""

    text: str = Field(description=f"At most {MOST_TEXT} characters")


class WithdrawalBody(Input):
    """Why a dispute is withdrawn."""

    text: str = Field("", description=f"At most {MOST_TEXT} characters; may be empty")


def line_sessions_out(invoice: Invoice, found: LineSessions, items: tuple[SessionShare, ...], next_cursor: str | None) -> LineSessionsOut:
    """Return a page of the sessions behind a line."""
    shares = tuple(
        SessionShareOut(user=each.user_name, **{name: getattr(each, name) for name in SessionShareOut.model_fields if name != "user"}) for each in items
    )
    return LineSessionsOut(
        line_amount=found.line.amount,
        currency=invoice.currency,
        total=found.amount,
        invoiced_before=found.invoiced_before,
        count=len(found.sessions),
        items=shares,
        next_cursor=next_cursor,
    )


def session_charge_out(each: SessionCharge) -> SessionChargeOut:
    """Return a charge behind a line."""
    own = {name: getattr(each.charge, name) for name in SessionChargeOut.model_fields if name not in {"amount", "is_in_line", "sku"}}
    return SessionChargeOut(**own, sku=each.charge.sku.value, amount=each.amount, is_in_line=each.is_in_line)


def dispute_out(dispute: Dispute, invoice: Invoice) -> DisputeOut:
    """Return a dispute as it is sent."""
    return DisputeOut(
        id=dispute.id,
        invoice_id=invoice.id,
        invoice=invoice.number,
        cost_centre=invoice.cost_centre,
        month=invoice.month,
        position=dispute.position,
        state=dispute.state.value,
        opened_by=dispute.opened_by,
        entries=tuple(EntryOut(number=each.number, kind=each.kind.value, by=each.by, at=each.at, text=each.text) for each in dispute.entries),
    )
