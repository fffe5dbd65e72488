"""Billing: months of invoices, an invoice with its lines, what is behind a line, and what is said about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from aiplatform_hub.domain.budgets import Scope, from_micros
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.disputes import Dispute, DisputeState
from aiplatform_hub.domain.invoices import Invoice, InvoiceLine, Kind, Party, State, places_of
from aiplatform_hub.operations.billing_reader import Months
from aiplatform_hub.storage.budgets import Standing
from aiplatform_hub.storage.invoice_heads import InvoiceHead
from aiplatform_hub.web.view_models.environments import Fact
from aiplatform_hub.web.view_models.formats import Bar, Stamp, count, money, percent, price, stamp
from aiplatform_hub.web.view_models.labels import gpu_label, project_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.usage import Link

STATE_WORDS: Mapping[State, tuple[str, str]] = {
    State.DRAFT: ("Draft", "warn"),
    State.ISSUED: ("Issued", "queue"),
    State.PAID: ("Paid", "good"),
    State.VOID: ("Taken back", ""),
}
DISPUTE_WORDS: Mapping[DisputeState, tuple[str, str]] = {
    DisputeState.OPEN: ("Waits for an answer", "warn"),
    DisputeState.ANSWERED: ("Answered", "good"),
    DisputeState.WITHDRAWN: ("Withdrawn", ""),
}
_SKU_WORDS: Mapping[Sku, str] = {
    Sku.CPU_ONLY_HOUR: "Environment without GPUs",
    Sku.CPU_CORE_HOUR: "CPU cores",
    Sku.MEMORY_GIB_HOUR: "GiB of memory",
    Sku.STORAGE_GIB_MONTH: "GiB of storage",
    Sku.CREDIT: "Paid by a credit",
}


@dataclass(frozen=True, slots=True)
class Badge:
    """A word with its tone."""

    label: str
    tone: str


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """An invoice, credit note or draft in a month's list."""

    url: str
    title: str
    cost_centre: str
    state: Badge
    net: str
    tax: str
    total: str
    disputes: str
    """How many wait for an answer; empty if none does."""


@dataclass(frozen=True, slots=True)
class MonthCard:
    """One month with its documents."""

    title: str
    name: str
    totals: str
    """Of what is owed: invoices less credit notes, without drafts; each currency apart."""
    note: str
    rows: tuple[DocumentRow, ...]


@dataclass(frozen=True, slots=True)
class DisputeRow:
    """A dispute in a list."""

    title: str
    url: str
    state: Badge
    by: str
    at: Stamp | None
    """When somebody spoke in it last."""
    text: str


@dataclass(frozen=True, slots=True)
class MonthsPage:
    """What Billing begins with."""

    months: tuple[MonthCard, ...]
    disputes: tuple[DisputeRow, ...]
    """Those that wait for an answer."""
    budgets: tuple[Bar, ...]
    """Of cost centres and projects."""
    earlier_url: str
    """Empty where there are no older months."""
    is_newest: bool


@dataclass(frozen=True, slots=True)
class LineRow:
    """One line of an invoice."""

    position: int
    url: str
    project: str
    what: str
    note: str
    quantity: str
    price: str
    amount: str
    dispute: Badge | None


@dataclass(frozen=True, slots=True)
class InvoicePage:
    """One invoice."""

    title: str
    state: Badge
    seller: tuple[str, ...]
    buyer: tuple[str, ...]
    facts: tuple[Fact, ...]
    lines: tuple[LineRow, ...]
    sums: tuple[tuple[str, str], ...]
    downloads: tuple[Link, ...]
    credit_url: str
    """Where part of it is given back; empty where the reader may not, or it cannot be."""


def invoice_url(paths: Paths, invoice_id: UUID) -> str:
    """Return the page of an invoice."""
    return f"{paths.platform}billing/invoices/{invoice_id}"


def line_url(paths: Paths, invoice_id: UUID, position: int) -> str:
    """Return the page of a line."""
    return f"{invoice_url(paths, invoice_id)}/lines/{position}"


def months_page(  # noqa: PLR0913  what the page is made of
    found: Months, waiting: Sequence[tuple[Dispute, Invoice]], budgets: Sequence[Standing], catalog: Catalog, paths: Paths, *, is_newest: bool
) -> MonthsPage:
    """Return the months, the newest first.

    Parameters
    ----------
    waiting
        Disputes that wait for an answer.
    budgets
        Everybody's; those of single persons are left out.
    """
    by_month: dict[datetime, list[InvoiceHead]] = {}
    for head in found.documents:
        by_month.setdefault(head.period_start, []).append(head)
    return MonthsPage(
        months=tuple(_month(month, heads, found.open_disputes, catalog, paths) for month, heads in by_month.items()),
        disputes=tuple(_dispute_row(dispute, invoice, paths) for dispute, invoice in waiting),
        budgets=tuple(_budget(each, catalog) for each in budgets if each.budget.scope is not Scope.PERSON),
        earlier_url="" if found.earlier_than is None else f"{paths.platform}billing?before={found.earlier_than:%Y-%m}",
        is_newest=is_newest,
    )


def _budget(each: Standing, catalog: Catalog) -> Bar:
    budget, taken = each.budget, each.spending.taken_micros
    left, limit = (money(from_micros(micros), budget.currency) for micros in (max(0, each.limit_micros - taken), each.limit_micros))
    is_project = budget.scope is Scope.PROJECT
    whose = f"Project {project_label(catalog, budget.name)}" if is_project else f"Cost centre {centre_label(budget.name, catalog)}"
    used, held = (money(from_micros(micros), budget.currency) for micros in (each.spending.committed_micros, each.spending.held_micros))
    share = percent(Decimal(taken), Decimal(each.limit_micros))
    return Bar(whose, f"{left} left of {limit}", share, is_full=taken >= each.limit_micros, note=f"{used} used, {held} held by open sessions")


def _month(month: datetime, heads: Sequence[InvoiceHead], waiting: Mapping[UUID, int], catalog: Catalog, paths: Paths) -> MonthCard:
    sums: dict[str, Decimal] = {}
    for head in heads:
        if head.state is not State.DRAFT:
            sums[head.currency] = sums.get(head.currency, Decimal(0)) + (head.total if head.kind is Kind.INVOICE else -head.total)
    drafts = sum(head.state is State.DRAFT for head in heads)
    return MonthCard(
        title=f"{month:%B %Y}",
        name=f"{month:%Y-%m}",
        totals=", ".join(amount_text(value, currency) for currency, value in sorted(sums.items())) or "Nothing issued",
        note=f"Not counted: {count(drafts, 'draft')}" if drafts else "",
        rows=tuple(_document(head, waiting.get(head.id, 0), catalog, paths) for head in heads),
    )


def _document(head: InvoiceHead, waiting: int, catalog: Catalog, paths: Paths) -> DocumentRow:
    sign = 1 if head.kind is Kind.INVOICE else -1
    title = head.number or "Draft"
    return DocumentRow(
        url=invoice_url(paths, head.id),
        title=f"{title}, takes back {head.credits}" if head.credits else title,
        cost_centre=centre_label(head.cost_centre, catalog),
        state=_state(head.state, head.kind),
        net=amount_text(sign * head.net, head.currency),
        tax=amount_text(sign * head.tax, head.currency),
        total=amount_text(sign * head.total, head.currency),
        disputes=f"{count(waiting, 'dispute')} open" if waiting else "",
    )


def _state(state: State, kind: Kind) -> Badge:
    return Badge("Credit note", "") if kind is Kind.CREDIT_NOTE else Badge(*STATE_WORDS[state])


def centre_label(name: str, catalog: Catalog) -> str:
    """Return a cost centre's title."""
    centre = catalog.cost_centres.get(name)
    return centre.display_name if centre else name


def amount_text(value: Decimal, currency: str) -> str:
    """Return an amount with the places of its currency."""
    places = places_of(currency)
    return f"{value:,.{places}f} {currency}"


def _dispute_row(dispute: Dispute, invoice: Invoice, paths: Paths) -> DisputeRow:
    last = dispute.entries[-1]
    return DisputeRow(
        title=f"{invoice.number or 'Draft'}, line {dispute.position}",
        url=line_url(paths, invoice.id, dispute.position),
        state=Badge(*DISPUTE_WORDS[dispute.state]),
        by=last.by,
        at=stamp(last.at),
        text=last.text,
    )


def invoice_page(  # noqa: PLR0913  what the page is made of
    invoice: Invoice, disputes: Collection[Dispute], formats: Mapping[str, str], catalog: Catalog, paths: Paths, *, may_credit: bool = False
) -> InvoicePage:
    """Return one invoice.

    Parameters
    ----------
    formats
        Labels of the formats that it comes in as a file, by name.
    may_credit
        Whether the reader may give back part of it.
    """
    can_be = invoice.kind is Kind.INVOICE and invoice.state in {State.ISSUED, State.PAID}
    states = {each.position: each.state for each in reversed(list(disputes))}  # the one that was spoken in last counts
    tax = () if invoice.tax_percent is None else ((f"Tax, {invoice.tax_percent.normalize():f} %", amount_text(invoice.tax, invoice.currency)),)
    url = invoice_url(paths, invoice.id)
    return InvoicePage(
        title=full_title(invoice),
        state=_state(invoice.state, invoice.kind),
        seller=_party(invoice.seller),
        buyer=_party(invoice.buyer),
        facts=tuple(_facts(invoice)),
        lines=tuple(line_row(line, invoice, states.get(line.position), catalog, paths) for line in invoice.lines),
        sums=(("Net", amount_text(invoice.net, invoice.currency)), *tax, ("Total", amount_text(invoice.total, invoice.currency))),
        downloads=tuple(Link(label, f"{url}/file?format={name}", is_current=False) for name, label in formats.items()),
        credit_url=f"{url}/credit" if may_credit and can_be else "",
    )


def full_title(invoice: Invoice) -> str:
    """Return what an invoice is called, at the begin of a sentence."""
    return f"{invoice.title[0].upper()}{invoice.title[1:]}"


def _party(party: Party) -> tuple[str, ...]:
    lines = (party.name, *party.address, party.country, f"Tax id {party.tax_id}" if party.tax_id else "", f"Cost centre {party.code}" if party.code else "")
    return tuple(line for line in lines if line)


def _facts(invoice: Invoice) -> list[Fact]:
    known = [
        Fact("Month", f"{invoice.period_start:%B %Y} (UTC)"),
        Fact("Issued", f"by {invoice.issued_by}" if invoice.issued_by else "", stamp(invoice.issued_at)) if invoice.issued_at else None,
        Fact("Due", "", stamp(invoice.due_at)) if invoice.due_at and invoice.state is State.ISSUED else None,
        Fact("Paid", invoice.payment_reference, stamp(invoice.paid_at)) if invoice.paid_at else None,
        Fact("Drafted", f"by {invoice.drafted_by}", stamp(invoice.drafted_at)) if invoice.state is State.DRAFT else None,
        Fact("Gives back part of" if invoice.is_partial else "Takes back", invoice.credits) if invoice.credits else None,
        Fact("Taken back by", invoice.credited_by) if invoice.credited_by else None,
        Fact("Reason", invoice.reason) if invoice.reason else None,
        Fact("Pay to", invoice.payment_account) if invoice.payment_account and invoice.kind is Kind.INVOICE else None,
        Fact("Rate cards", ", ".join(invoice.rate_cards)),
        Fact("Ledger", f"{invoice.ledger_rows} intervals, verified before it was drafted"),
    ]
    return [fact for fact in known if fact is not None]


def sku_text(sku: Sku, gpu_type: str | None, catalog: Catalog, *, is_off_peak: bool) -> str:
    """Return what is priced, for example ``NVIDIA H100, idle, off-peak``."""
    words = _SKU_WORDS.get(sku) or gpu_label(catalog, gpu_type) or "GPU"
    return words + (", idle" if sku is Sku.IDLE_GPU_HOUR else "") + (", off-peak" if is_off_peak else "")


def line_row(line: InvoiceLine, invoice: Invoice, dispute: DisputeState | None, catalog: Catalog, paths: Paths) -> LineRow:
    """Return one line."""
    is_earlier = line.month != invoice.period_start
    note = f"Correction of {line.month:%B %Y}" if is_earlier else "Correction" if line.is_correction else ""
    return LineRow(
        position=line.position,
        url=line_url(paths, invoice.id, line.position),
        project=project_label(catalog, line.project),
        what=sku_text(line.sku, line.gpu_type, catalog, is_off_peak=line.is_off_peak),
        note=note,
        quantity=quantity_text(line.quantity),
        price=_unit_price(line, invoice.currency),
        amount=amount_text(line.amount, invoice.currency),
        dispute=None if dispute is None else Badge(*DISPUTE_WORDS[dispute]),
    )


def _unit_price(line: InvoiceLine, currency: str) -> str:
    if line.sku is Sku.CREDIT:
        return ""
    words = price(line.price, currency)
    return words.replace("per hour", "per month") if line.sku is Sku.STORAGE_GIB_MONTH else words


def quantity_text(value: Decimal) -> str:
    """Return a quantity with the places that it needs."""
    return f"{value:,f}".rstrip("0").rstrip(".") if value % 1 else f"{value:,.0f}"
