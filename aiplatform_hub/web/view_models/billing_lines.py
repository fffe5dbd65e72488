"""Billing, a line of an invoice: the sessions behind it, what each cost, and what is said about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.charges import NO_SESSION
from aiplatform_hub.domain.disputes import Dispute, DisputeState, Entry, EntryKind
from aiplatform_hub.domain.invoice_sessions import LineSessions, SessionCharge, SessionShare
from aiplatform_hub.domain.invoices import Invoice, InvoiceLine, State, places_of
from aiplatform_hub.web.view_models.billing import DISPUTE_WORDS, Badge, centre_label, full_title, invoice_url, line_row, line_url, quantity_text, sku_text
from aiplatform_hub.web.view_models.environments import Fact
from aiplatform_hub.web.view_models.formats import Stamp, count, price, stamp
from aiplatform_hub.web.view_models.labels import project_label, template_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import Problem

_ENTRY_WORDS: Mapping[EntryKind, str] = {
    EntryKind.OPENED: "disputes this line",
    EntryKind.REPLIED: "adds",
    EntryKind.ANSWERED: "answers",
    EntryKind.WITHDRAWN: "withdraws the dispute",
}


@dataclass(frozen=True, slots=True)
class ShareRow:
    """One session behind a line."""

    title: str
    url: str
    """Empty where there is no session, as for storage."""
    user: str
    start: Stamp | None
    end: Stamp | None
    quantity: str
    amount: str
    is_estimated: bool


@dataclass(frozen=True, slots=True)
class EntryView:
    """What somebody said."""

    by: str
    does: str
    at: Stamp | None
    text: str
    is_answer: bool


@dataclass(frozen=True, slots=True)
class Thread:
    """A dispute with what the reader may do."""

    id: str
    state: Badge
    entries: tuple[EntryView, ...]
    can_reply: bool
    can_answer: bool
    can_withdraw: bool


@dataclass(frozen=True, slots=True)
class LinePage:
    """One line: what is behind it, and what is said about it."""

    title: str
    invoice_url: str
    invoice_title: str
    url: str
    facts: tuple[Fact, ...]
    sessions: tuple[ShareRow, ...]
    shown: str
    """How many of how many sessions are shown."""
    more_url: str
    sums: tuple[tuple[str, str], ...]
    explanation: str
    """What the sum of the sessions has beside the line; empty if nothing."""
    threads: tuple[Thread, ...]
    can_open: bool
    text: str
    """What was typed so far, which a refusal keeps."""
    problem: Problem | None

    def fault(self, name: str) -> str:
        """Return what is wrong with one field."""
        return self.problem.fields.get(name, "") if self.problem else ""


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """One charge of a session."""

    start: Stamp | None
    end: Stamp | None
    what: str
    units: str
    price: str
    amount: str
    is_in_line: bool


@dataclass(frozen=True, slots=True)
class SessionChargesPage:
    """One session behind a line."""

    title: str
    line_url: str
    line_title: str
    facts: tuple[Fact, ...]
    rows: tuple[ChargeRow, ...]
    in_line: str
    total: str
    session_url: str
    """The session's own page; empty where the reader may not see it."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What the reader of a page may do."""

    name: str
    may_dispute: bool
    may_answer: bool


def line_page(  # noqa: PLR0913  what a line's page is made of
    invoice: Invoice,
    found: LineSessions,
    disputes: Collection[Dispute],
    *,
    reader: Reader,
    catalog: Catalog,
    paths: Paths,
    offset: int = 0,
    size: int = 50,
    text: str = "",
    problem: Problem | None = None,
) -> LinePage:
    """Return one line of an invoice.

    Parameters
    ----------
    offset, size
        Which of its sessions are shown.
    text
        What the reader typed, where it was refused.
    """
    line, currency = found.line, invoice.currency
    url = line_url(paths, invoice.id, line.position)
    mine = [each for each in disputes if each.position == line.position]
    shown = found.sessions[offset : offset + size]
    last = offset + len(shown)
    is_payable = invoice.state in {State.ISSUED, State.PAID}
    row = line_row(line, invoice, None, catalog, paths)
    return LinePage(
        title=f"{row.what} of {row.project}",
        invoice_url=invoice_url(paths, invoice.id),
        invoice_title=full_title(invoice),
        url=url,
        facts=(
            Fact("Line", f"{line.position}{f'. {row.note}' if row.note else ''}"),
            Fact("Quantity", row.quantity),
            Fact("Unit price", row.price),
            Fact("Amount", row.amount),
            Fact("Rate card", line.rate_card),
        ),
        sessions=tuple(_share(share, currency, catalog, url) for share in shown),
        shown=f"{offset + 1} to {last} of {len(found.sessions)}, the dearest first" if len(found.sessions) > size else "",
        more_url=f"{url}?from={last}" if last < len(found.sessions) else "",
        sums=((f"All {count(len(found.sessions), 'session')}", _exact(found.amount, currency)), ("On the line", row.amount)),
        explanation=_explanation(found, currency),
        threads=tuple(_thread(each, reader) for each in mine),
        can_open=reader.may_dispute and is_payable and all(each.state is DisputeState.WITHDRAWN for each in mine),
        text=text,
        problem=problem,
    )


def _explanation(found: LineSessions, currency: str) -> str:
    if not found.invoiced_before:
        return ""
    amount = _exact(found.invoiced_before, currency)
    if found.is_own_month:
        return f"The ledger has learnt something since: {amount} of these are not on this line. A correction line of the next invoice has the difference."
    return f"This line corrects {found.line.month:%B %Y}: {amount} of these were invoiced before, and the line is the rest."


def _exact(value: Decimal, currency: str) -> str:
    """Return an amount with the places that it needs, at least those of its currency."""
    places = max(places_of(currency), -int(value.normalize().as_tuple().exponent)) if value else places_of(currency)
    return f"{value:,.{places}f} {currency}"


def _share(share: SessionShare, currency: str, catalog: Catalog, url: str) -> ShareRow:
    has_session = share.allocation_id != NO_SESSION
    return ShareRow(
        title=template_label(catalog, share.environment_template) if has_session else "Storage",
        url=f"{url}/sessions/{share.allocation_id}" if has_session else "",
        user=share.user_name,
        start=stamp(share.start),
        end=stamp(share.end),
        quantity=quantity_text(share.quantity),
        amount=_exact(share.amount, currency),
        is_estimated=share.is_estimated,
    )


def _thread(dispute: Dispute, reader: Reader) -> Thread:
    is_over = dispute.state is DisputeState.WITHDRAWN
    return Thread(
        id=str(dispute.id),
        state=Badge(*DISPUTE_WORDS[dispute.state]),
        entries=tuple(_entry(entry) for entry in dispute.entries),
        can_reply=reader.may_dispute and not is_over,
        can_answer=reader.may_answer and not is_over,
        can_withdraw=reader.may_dispute and not is_over and reader.name == dispute.opened_by,
    )


def _entry(entry: Entry) -> EntryView:
    return EntryView(entry.by, _ENTRY_WORDS[entry.kind], stamp(entry.at), entry.text, is_answer=entry.kind is EntryKind.ANSWERED)


def charges_page(  # noqa: PLR0913  what a session's page is made of
    invoice: Invoice, line: InvoiceLine, found: Sequence[SessionCharge], *, catalog: Catalog, paths: Paths, may_open: bool
) -> SessionChargesPage:
    """Return one session behind a line, charge by charge."""
    first, currency = found[0].charge, invoice.currency
    zero = Decimal(0)
    return SessionChargesPage(
        title=f"{template_label(catalog, first.environment_template)} of {first.user_name}",
        line_url=line_url(paths, invoice.id, line.position),
        line_title=f"{full_title(invoice)}, line {line.position}",
        facts=(
            Fact("Person", first.user_name),
            Fact("Environment", template_label(catalog, first.environment_template)),
            Fact("Project", project_label(catalog, first.project)),
            Fact("Cost centre", centre_label(invoice.cost_centre, catalog)),
            Fact("Session", str(first.allocation_id)),
        ),
        rows=tuple(_charge_row(each, catalog) for each in found),
        in_line=_exact(sum((each.amount for each in found if each.is_in_line), zero), currency),
        total=_exact(sum((each.amount for each in found), zero), currency),
        session_url=paths.session(first.allocation_id) if may_open else "",
    )


def _charge_row(each: SessionCharge, catalog: Catalog) -> ChargeRow:
    charge = each.charge
    words = sku_text(charge.sku, charge.gpu_type, catalog, is_off_peak=charge.is_off_peak)
    notes = (("correction", charge.is_correction), ("estimated", charge.is_estimated))
    return ChargeRow(
        start=stamp(charge.start),
        end=stamp(charge.end),
        what=", ".join((words, *(word for word, holds in notes if holds))),
        units=str(charge.units),
        price=price(charge.price, charge.currency).removesuffix(" per hour"),
        amount=_exact(each.amount, charge.currency),
        is_in_line=each.is_in_line,
    )
