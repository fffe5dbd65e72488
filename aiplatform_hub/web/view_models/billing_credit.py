"""Giving back part of an invoice, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.invoices import InvoiceLine
from aiplatform_hub.operations.invoices import CreditPlan
from aiplatform_hub.web.view_models.billing import amount_text, full_title, invoice_url, line_row
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import Problem

FIELD = "line-"
"""What the names of the fields of amounts begin with; the line's number follows."""


@dataclass(frozen=True, slots=True)
class CreditRow:
    """A line of which something is left."""

    position: int
    field: str
    what: str
    project: str
    note: str
    left: str
    """In words, with the currency."""
    rest: str
    """The same as it is written into the field."""
    value: str
    """What stands in the field."""


@dataclass(frozen=True, slots=True)
class GivenRow:
    """What a credit note would give back of a line."""

    position: int
    what: str
    amount: str


@dataclass(frozen=True, slots=True)
class CreditPage:
    """What the page shows."""

    title: str
    url: str
    """Of the invoice."""
    everything_url: str
    """This page with all that is left filled in."""
    rows: tuple[CreditRow, ...]
    given: tuple[GivenRow, ...]
    """Empty until something is chosen."""
    sums: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, str], ...]
    """What is chosen, to be sent with the confirmation."""
    seen_total: str
    total: str
    is_rest: bool
    """Whether nothing of the invoice is left then."""
    reason: str
    currency: str
    problem: Problem | None


def credit_page(plan: CreditPlan, fields: Mapping[str, str], catalog: Catalog, paths: Paths, *, problem: Problem | None) -> CreditPage:
    """Return what can be given back, and what was chosen comes to."""
    invoice, refund = plan.invoice, plan.refund
    url = invoice_url(paths, invoice.id)
    everything = "&".join(f"{FIELD}{line.position}={line.amount:f}" for line in plan.left)
    tax = () if refund is None or invoice.tax_percent is None else ((f"Tax, {invoice.tax_percent.normalize():f} %", amount_text(refund.tax, invoice.currency)),)
    total = None if refund is None else refund.net + refund.tax
    return CreditPage(
        title=full_title(invoice),
        url=url,
        everything_url=f"{url}/credit?{everything}#total",
        rows=tuple(_row(line, plan, fields, catalog, paths) for line in plan.left),
        given=() if refund is None else tuple(_given(line, plan, catalog, paths) for line in refund.lines),
        sums=() if refund is None else (("Net", amount_text(refund.net, invoice.currency)), *tax),
        fields=() if refund is None else tuple((f"{FIELD}{line.position}", f"{line.amount:f}") for line in refund.lines),
        seen_total="" if total is None else f"{total:f}",
        total="" if total is None else amount_text(total, invoice.currency),
        is_rest=refund is not None and refund.is_rest,
        reason=fields.get("reason", ""),
        currency=invoice.currency,
        problem=problem,
    )


def _row(line: InvoiceLine, plan: CreditPlan, fields: Mapping[str, str], catalog: Catalog, paths: Paths) -> CreditRow:
    shown, name = line_row(line, plan.invoice, None, catalog, paths), f"{FIELD}{line.position}"
    return CreditRow(line.position, name, shown.what, shown.project, shown.note, shown.amount, f"{line.amount:f}", fields.get(name, ""))


def _given(line: InvoiceLine, plan: CreditPlan, catalog: Catalog, paths: Paths) -> GivenRow:
    shown = line_row(line, plan.invoice, None, catalog, paths)
    return GivenRow(line.position, f"{shown.what}, {shown.project}", shown.amount)
