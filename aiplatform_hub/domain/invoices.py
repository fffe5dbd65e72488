"""Invoices and credit notes: what they hold, what state they may be in, and how their numbers are written. Pure.

Lines are made by :mod:`aiplatform_hub.domain.billing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from hashlib import sha256
from uuid import UUID

from aiplatform_hub.domain.charges import Sku, period_microseconds
from aiplatform_hub.domain.rates import next_month
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.domain.units import EPOCH
from aiplatform_hub.errors import ConflictError

CREDIT_PREFIX = "credit:"
"""Before a credit's id, in the place of a line's rate card."""
QUANTITY_PLACES = 6
"""Decimal places of a line's quantity where it is shown; what it costs is computed from the exact one."""

_PLACES: Mapping[str, int] = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
"""Decimal places of currencies that have other than two, by ISO 4217."""


class Kind(StrEnum):
    """What a document is."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    """Takes an invoice back, as a whole or in part. Its amounts are those of the invoice, with the same signs: it owes what the invoice demanded."""


class State(StrEnum):
    """How far a document is."""

    DRAFT = "draft"
    """Has no number, and is written anew as often as one likes."""
    ISSUED = "issued"
    """Has a number and never changes again."""
    PAID = "paid"
    VOID = "void"
    """Taken back by a credit note."""


@dataclass(frozen=True, slots=True)
class Party:
    """Who sends or receives an invoice, as it was when it was drafted."""

    name: str
    address: tuple[str, ...] = ()
    """Lines, without the country."""
    country: str = ""
    """ISO 3166-1 alpha-2 code; empty where none is set."""
    tax_id: str = ""
    """Number for value added tax; empty where none is set."""
    code: str = ""
    """Of the cost centre in the receiver's books; empty for a sender and where none is set."""
    registration_id: str = ""
    """Of a sender in a register of companies or institutions; empty where none is set."""
    email: str = ""
    """Where to ask, and where electronic invoices go; empty where none is set."""
    logo: bytes = b""
    """Of a sender: a PNG or JPEG; empty where none is set."""


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """What one project owes for one SKU at one price."""

    position: int
    """From 1."""
    project: str
    sku: Sku
    gpu_type: str | None
    list_price: Decimal
    """Of one unit for one hour, or month of storage, as the rate card has it."""
    price: Decimal
    """The same after all discounts: the unit price."""
    rate_card: str
    """Version of the card; of a credit's line its id, after :data:`CREDIT_PREFIX`."""
    is_off_peak: bool
    is_correction: bool
    """Whether it changes what was or would have been invoiced: FOCUS' ``ChargeClass`` ``Correction``."""
    month: datetime
    """Begin (UTC) of the month that it is about: the invoice's own, or for a later found difference an earlier one."""
    unit_microseconds: int
    """Exact quantity; negative where something is taken back, or paid by a credit."""
    amount: Decimal
    """Without tax, in the places of the currency: exact quantity × unit price, rounded so that all lines add up to the rounded total."""

    @property
    def exact_quantity(self) -> Fraction:
        """Hours, or months of storage, × units."""
        return Fraction(self.unit_microseconds, period_microseconds(self.sku, self.month))

    @property
    def quantity(self) -> Decimal:
        """The same, rounded to :data:`QUANTITY_PLACES` places."""
        return rounded(self.exact_quantity, QUANTITY_PLACES)

    @property
    def exact_amount(self) -> Fraction:
        """Exact quantity × unit price."""
        return self.exact_quantity * Fraction(self.price)


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice or credit note of one cost centre for one month."""

    id: UUID
    kind: Kind
    state: State
    legal_entity: str
    """Name of who sends it, as the catalogue has it."""
    cost_centre: str
    """Name of who owes it."""
    seller: Party
    buyer: Party
    currency: str
    """ISO 4217 code, or ``credits``."""
    period_start: datetime
    """Begin of the month, aware UTC, inclusive."""
    period_end: datetime
    """Its end, exclusive."""
    lines: tuple[InvoiceLine, ...]
    net: Decimal
    """Sum of the lines."""
    tax_percent: Decimal | None
    """None where no tax is set."""
    tax: Decimal
    payment_days: int
    """Days from the issue until it is due."""
    payment_account: str
    """Where to pay; empty where none is set."""
    estimated_microseconds: int
    """Unit-time of its month whose end nobody saw."""
    ledger_rows: int
    """Closed intervals of the ledger that was verified before it was drafted."""
    ledger_hash: str
    """Hash of the newest of them."""
    drafted_at: datetime
    drafted_by: str
    number: str | None = None
    """None while it is a draft."""
    issued_at: datetime | None = None
    issued_by: str | None = None
    paid_at: datetime | None = None
    payment_reference: str = ""
    """What the payment was booked as; empty until it is paid."""
    credits: str | None = None
    """Of a credit note: number of the invoice that it takes back, or gives back part of."""
    credited_by: str | None = None
    """Of a void invoice: number of the credit note."""
    reason: str = ""
    """Of a credit note: why."""
    iban: str = ""
    """Account to pay to, without spaces; empty where none is set."""
    bic: str = ""
    """Of the bank that has the account; empty where none is set."""
    is_partial: bool = False
    """Of a credit note: whether the invoice stands in spite of it."""

    @property
    def total(self) -> Decimal:
        """With tax."""
        return self.net + self.tax

    @property
    def due_at(self) -> datetime | None:
        """When it is to be paid; None for a draft and for a credit note."""
        return None if self.issued_at is None or self.kind is Kind.CREDIT_NOTE else self.issued_at + timedelta(days=self.payment_days)

    @property
    def month(self) -> str:
        """The month, as ``2026-11``."""
        return f"{self.period_start:%Y-%m}"

    @property
    def rate_cards(self) -> tuple[str, ...]:
        """Versions of the rate cards on its lines."""
        return tuple(sorted({line.rate_card for line in self.lines if line.sku is not Sku.CREDIT}))

    @property
    def title(self) -> str:
        """What to call it in a sentence."""
        if self.number is None:
            return f"the draft for {self.cost_centre}, {self.month}"
        return f"{'invoice' if self.kind is Kind.INVOICE else 'credit note'} {self.number}"

    @property
    def fingerprint(self) -> str:
        """Hash of what the invoice says: two drafts with the same one differ in nothing that is billed."""
        said = (self.legal_entity, self.cost_centre, self.seller, self.buyer, self.currency, self.period_start, self.lines, self.tax_percent, self.tax)
        return sha256(repr((*said, self.payment_days, self.payment_account, self.iban, self.bic)).encode()).hexdigest()


def places_of(currency: str) -> int:
    """Return how many decimal places amounts of a currency have."""
    return _PLACES.get(currency, 2)


def number_of(prefix: str, year: int, sequence: int) -> str:
    """Return an invoice's number: prefix, year (UTC) of the issue, and place in that year, from 1."""
    return f"{prefix}{year:04d}-{sequence:05d}"


def issued(invoice: Invoice, *, number: str, at: datetime, by: str) -> Invoice:
    """Return a draft with its number.

    Raises
    ------
    ConflictError
        If it has one already.
    """
    if invoice.state is not State.DRAFT:
        raise ConflictError(f"{_title(invoice)} is issued already; only a draft can be issued.")
    return replace(invoice, state=State.ISSUED, number=number, issued_at=at, issued_by=by)


def paid(invoice: Invoice, *, at: datetime, reference: str) -> Invoice:
    """Return an issued invoice that was paid.

    Raises
    ------
    ConflictError
        If it is no issued invoice.
    """
    if invoice.kind is Kind.CREDIT_NOTE:
        raise ConflictError(f"{_title(invoice)} is a credit note, which nobody pays.")
    if invoice.state is not State.ISSUED:
        raise ConflictError(f"{_title(invoice)} is {_STATE_WORDS[invoice.state]}; only an issued one can be paid.")
    return replace(invoice, state=State.PAID, paid_at=at, payment_reference=reference)


def credit_note(invoice: Invoice, *, id_: UUID, at: datetime, by: str, reason: str) -> Invoice:
    """Return the draft of the credit note that takes a whole invoice back; :mod:`aiplatform_hub.domain.partial_credits` has what it may give back.

    Raises
    ------
    ConflictError
        If it is no issued or paid invoice.
    """
    if invoice.kind is Kind.CREDIT_NOTE:
        raise ConflictError(f"{_title(invoice)} is a credit note itself. Draft the invoice of its month anew instead.")
    if invoice.state not in {State.ISSUED, State.PAID}:
        raise ConflictError(f"{_title(invoice)} is {_STATE_WORDS[invoice.state]}; only an issued or paid one can be taken back.")
    return replace(
        invoice,
        id=id_,
        kind=Kind.CREDIT_NOTE,
        state=State.DRAFT,
        number=None,
        issued_at=None,
        issued_by=None,
        paid_at=None,
        payment_reference="",
        drafted_at=at,
        drafted_by=by,
        credits=invoice.number,
        reason=reason,
    )


def void(invoice: Invoice, *, credited_by: str) -> Invoice:
    """Return an invoice that a credit note of this number took back."""
    return replace(invoice, state=State.VOID, credited_by=credited_by)


def month_span(text: str) -> tuple[datetime, datetime]:
    """Return begin and end (exclusive) of a month such as ``2026-11``, aware UTC.

    Raises
    ------
    ValueError
        If the text is no month.
    """
    if len(text) != len("2026-11"):
        raise ValueError(f"“{text}” is not a month; write for example 2026-11.")
    try:
        start = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        span = start, next_month(start)
    except ValueError as error:
        raise ValueError(f"“{text}” is not a month; write for example 2026-11.") from error
    if start < EPOCH:
        raise ValueError(f"“{text}” is before 1970; write for example 2026-11.")
    return span


_STATE_WORDS: Mapping[State, str] = {State.DRAFT: "a draft", State.ISSUED: "issued", State.PAID: "paid", State.VOID: "void"}


def _title(invoice: Invoice) -> str:
    return invoice.title[0].upper() + invoice.title[1:]
