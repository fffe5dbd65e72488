"""An invoice as a document says it: every word and number as it is printed, once for all formats. Pure.

What becomes of an invoice after its issue (paid, taken back) is not part of it, so what was printed can be printed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import groupby

from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.invoices import CREDIT_PREFIX, Invoice, InvoiceLine, Kind, Party
from aiplatform_hub.domain.rounding import rounded

LEAST_PRICE_PLACES = 2
"""Decimal places that a unit price has at least."""


@dataclass(frozen=True, slots=True)
class SkuWords:
    """What a SKU is called on paper."""

    name: str
    unit: str
    """Empty where it is the currency."""


SKU_WORDS: Mapping[Sku, SkuWords] = {
    Sku.GPU_HOUR: SkuWords("GPU time", "GPU-hour"),
    Sku.IDLE_GPU_HOUR: SkuWords("GPU time, idle", "GPU-hour"),
    Sku.CPU_ONLY_HOUR: SkuWords("Environment without GPUs", "hour"),
    Sku.CPU_CORE_HOUR: SkuWords("CPU cores", "core-hour"),
    Sku.MEMORY_GIB_HOUR: SkuWords("Memory", "GiB-hour"),
    Sku.STORAGE_GIB_MONTH: SkuWords("Storage", "GiB-month"),
    Sku.CREDIT: SkuWords("Paid by a credit", ""),
}


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """One line."""

    position: str
    what: str
    detail: str
    """Rate card, and what is special about the price."""
    quantity: str
    unit: str
    list_price: str
    discount: str
    """In percent of the list price; empty without one."""
    price: str
    amount: str


@dataclass(frozen=True, slots=True)
class DocumentGroup:
    """The lines of one project."""

    heading: str
    lines: tuple[DocumentLine, ...]
    amount: str


@dataclass(frozen=True, slots=True)
class DocumentParty:
    """A name and what stands below it."""

    name: str
    lines: tuple[str, ...]
    logo: bytes = b""
    """PNG or JPEG; empty without one."""


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """What a page, a PDF or a print shows, in this order."""

    kind: str
    title: str
    is_draft: bool
    seller: DocumentParty
    buyer: DocumentParty
    facts: tuple[tuple[str, str], ...]
    """Number, dates, period, cost centre."""
    currency: str
    groups: tuple[DocumentGroup, ...]
    sums: tuple[tuple[str, str], ...]
    """What leads to the total."""
    total_word: str
    total: str
    notes: tuple[str, ...]
    dated_at: datetime
    """The issue; of a draft when it was written."""


def document_of(invoice: Invoice) -> InvoiceDocument:
    """Return what is to be printed."""
    kind = "Invoice" if invoice.kind is Kind.INVOICE else "Credit note"
    return InvoiceDocument(
        kind=kind,
        title=f"{kind} {invoice.number}" if invoice.number else f"{kind}, draft",
        is_draft=invoice.number is None,
        seller=_party(invoice.seller),
        buyer=_party(invoice.buyer),
        facts=tuple(_facts(invoice)),
        currency=invoice.currency,
        groups=tuple(_groups(invoice)),
        sums=tuple(_sums(invoice)),
        total_word="Total due" if invoice.kind is Kind.INVOICE else "Total credited",
        total=amount_text(invoice.total),
        notes=tuple(_notes(invoice)),
        dated_at=invoice.issued_at or invoice.drafted_at,
    )


def amount_text(amount: Decimal) -> str:
    """Return an amount or a quantity as it is printed: thousands apart, all its places, ``1,234.50``."""
    return format(amount, ",f")


def price_text(price: Decimal) -> str:
    """Return a unit price with the places that it needs, two at least: ``3.20``, ``0.0375``."""
    plain = price.normalize()
    places = max(-int(plain.as_tuple().exponent), LEAST_PRICE_PLACES)
    return format(plain, f",.{places}f")


def quantity_text(quantity: Decimal) -> str:
    """Return a quantity with the places that it needs: ``12.5``, ``1,000``."""
    text = format(quantity, ",f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent_text(percent: Decimal) -> str:
    """Return a percentage with the places that it needs: ``19 %``, ``7.7 %``."""
    return f"{quantity_text(percent)} %"


def discount_percent(line: InvoiceLine) -> Decimal:
    """Return by how much a unit price is below the list price, in percent with at most two places; 0 where it is not."""
    if not line.list_price or line.price >= line.list_price:
        return Decimal(0)
    return rounded(100 * (1 - Fraction(line.price) / Fraction(line.list_price)), 2)


def what_of(line: InvoiceLine) -> str:
    """Return what a line is for: ``GPU time, h100``."""
    name = SKU_WORDS[line.sku].name
    return f"{name}, {line.gpu_type}" if line.gpu_type else name


def detail_of(line: InvoiceLine) -> str:
    """Return what its price comes from: ``off-peak · rate card 2026-11``; of a credit which one it is."""
    if line.sku is Sku.CREDIT:
        return f"credit {line.rate_card.removeprefix(CREDIT_PREFIX)}"
    return f"off-peak · rate card {line.rate_card}" if line.is_off_peak else f"rate card {line.rate_card}"


def unit_of(line: InvoiceLine, currency: str) -> str:
    """Return what its quantity counts."""
    return SKU_WORDS[line.sku].unit or currency


def heading_of(line: InvoiceLine) -> str:
    """Return what the line and those that belong to it stand below."""
    project = f"project {line.project}" if line.project else ""
    about = ", ".join(part for part in ("credits" if line.sku is Sku.CREDIT else "", project) if part)
    return f"Correction for {line.month:%B %Y}, {about}" if line.is_correction else about[:1].upper() + about[1:]


def _party(party: Party) -> DocumentParty:
    ids = (("VAT id", party.tax_id), ("Registration", party.registration_id), ("Cost centre code", party.code), ("", party.email))
    below = tuple(f"{word} {value}".strip() for word, value in ids if value)
    return DocumentParty(party.name, (*party.address, *((party.country,) if party.country else ()), *below), party.logo)


def _facts(invoice: Invoice) -> Iterator[tuple[str, str]]:
    yield "Number", invoice.number or "none, this is a draft"
    yield ("Date", _day(invoice.issued_at)) if invoice.issued_at else ("Drafted on", _day(invoice.drafted_at))
    if invoice.kind is Kind.CREDIT_NOTE:
        yield ("Part of" if invoice.is_partial else "Takes back"), f"invoice {invoice.credits}"
    elif invoice.due_at:
        yield "Due on", _day(invoice.due_at)
    yield "For", f"{invoice.period_start:%B %Y} (UTC)"
    yield "Cost centre", f"{invoice.cost_centre} ({invoice.buyer.code})" if invoice.buyer.code else invoice.cost_centre
    yield "Currency", invoice.currency


def _groups(invoice: Invoice) -> Iterator[DocumentGroup]:
    for heading, found in groupby(invoice.lines, key=heading_of):
        lines = tuple(found)
        printed = tuple(_line(line, invoice.currency) for line in lines)
        yield DocumentGroup(heading, printed, amount_text(sum((line.amount for line in lines), Decimal(0))))


def _line(line: InvoiceLine, currency: str) -> DocumentLine:
    discount = discount_percent(line)
    return DocumentLine(
        position=str(line.position),
        what=what_of(line),
        detail=detail_of(line),
        quantity=quantity_text(line.quantity),
        unit=unit_of(line, currency),
        list_price=price_text(line.list_price),
        discount=percent_text(discount) if discount else "",
        price=price_text(line.price),
        amount=amount_text(line.amount),
    )


def _sums(invoice: Invoice) -> Iterator[tuple[str, str]]:
    yield "Net", amount_text(invoice.net)
    if invoice.tax_percent is not None:
        yield f"Tax {percent_text(invoice.tax_percent)}", amount_text(invoice.tax)


def _notes(invoice: Invoice) -> Iterator[str]:
    if invoice.kind is Kind.CREDIT_NOTE:
        what = f"gives back part of invoice {invoice.credits}" if invoice.is_partial else f"takes invoice {invoice.credits} back"
        yield f"This credit note {what}. Reason: {invoice.reason}"
    else:
        yield payment_terms(invoice)
    if invoice.tax_percent is None:
        yield "No tax is charged."
    if invoice.estimated_microseconds > 0:
        hours = quantity_text(rounded(Fraction(invoice.estimated_microseconds, 3_600_000_000), 2))
        yield f"Hours that are estimated, in your favour, since nobody saw when those sessions ended: {hours}."
    yield "Each amount is quantity × unit price; amounts are rounded so that they add up exactly."
    yield f"From {invoice.ledger_rows} entries of the usage ledger, of which the last has the checksum {invoice.ledger_hash[:16]}."


def payment_terms(invoice: Invoice) -> str:
    """Return when and where to pay, in a sentence."""
    days = "at once" if invoice.payment_days == 0 else f"within {invoice.payment_days} {'day' if invoice.payment_days == 1 else 'days'}"
    account = (
        invoice.payment_account,
        f"IBAN {spaced_iban(invoice.iban)}" if invoice.iban else "",
        f"BIC {invoice.bic}" if invoice.iban and invoice.bic else "",
    )
    where = ", ".join(part for part in account if part)
    number = f", stating {invoice.number}" if invoice.number else ""
    return f"Please pay {days}{f' to {where}' if where else ''}{number}."


def spaced_iban(iban: str) -> str:
    """Return an IBAN in groups of four, as it is printed."""
    return " ".join(iban[start : start + 4] for start in range(0, len(iban), 4))


def _day(at: datetime) -> str:
    return f"{at.day} {at:%B %Y}"
