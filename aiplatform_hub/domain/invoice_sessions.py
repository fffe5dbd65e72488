"""Which sessions a line of an invoice is made of. Pure and exact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from aiplatform_hub.domain.charges import CREDIT_PARTS, Charge, period_microseconds
from aiplatform_hub.domain.credits import Payment
from aiplatform_hub.domain.invoices import CREDIT_PREFIX, QUANTITY_PLACES, Invoice, InvoiceLine
from aiplatform_hub.domain.rounding import apportion

AMOUNT_PLACES = 6
"""Decimal places of a session's part of a line; only the line itself is rounded to the places of its currency."""


@dataclass(frozen=True, slots=True)
class SessionShare:
    """What one session is of a line."""

    allocation_id: UUID
    user_name: str
    environment_template: str
    start: datetime
    """Of what of it is charged there: aware UTC, inclusive."""
    end: datetime
    """Exclusive."""
    quantity: Decimal
    """Hours, or months of storage, × units; all of a line add up to its rounded total."""
    amount: Decimal
    """To :data:`AMOUNT_PLACES` places; all of a line add up to its rounded total."""
    is_estimated: bool
    """Whether nobody saw when it ended."""


@dataclass(frozen=True, slots=True)
class LineSessions:
    """Everything behind a line, as the ledger has it now."""

    line: InvoiceLine
    sessions: tuple[SessionShare, ...]
    """The dearest first."""
    invoiced_before: Decimal
    """What the line leaves out of their sum: of a correction, what earlier invoices demand already; else what has changed in the ledger since."""
    is_own_month: bool
    """Whether the line is about the invoice's own month."""

    @property
    def amount(self) -> Decimal:
        """What the sessions cost together, to :data:`AMOUNT_PLACES` places."""
        return sum((share.amount for share in self.sessions), Decimal(0).scaleb(-AMOUNT_PLACES))


@dataclass(frozen=True, slots=True)
class SessionCharge:
    """One charge of a session behind a line."""

    charge: Charge
    amount: Decimal
    """To :data:`AMOUNT_PLACES` places; all of them add up to their rounded total."""
    is_in_line: bool


@dataclass(slots=True)
class _Sum:
    first: Charge
    start: datetime
    end: datetime
    units: int = 0
    is_estimated: bool = False

    def add(self, charge: Charge) -> None:
        self.count(charge.unit_microseconds, charge, charge.start, charge.end)

    def count(self, units: int, charge: Charge, start: datetime, end: datetime) -> None:
        self.start, self.end = min(self.start, start), max(self.end, end)
        self.units += units
        self.is_estimated = self.is_estimated or charge.is_estimated


def is_of_line(charge: Charge, invoice: Invoice, line: InvoiceLine) -> bool:
    """Return whether a charge of the line's month is part of it: same cost centre, project, SKU, GPU type, card, price and window.

    Corrections are part of what the month holds now, as :meth:`aiplatform_hub.domain.billing.Tally.add` has it.
    """
    same = (charge.cost_centre, charge.project, charge.sku, charge.gpu_type, charge.list_price, charge.price, charge.rate_card, charge.is_off_peak)
    wanted = (invoice.cost_centre, line.project, line.sku, line.gpu_type, line.list_price, line.price, line.rate_card, line.is_off_peak)
    return same == wanted


def sessions_behind(invoice: Invoice, line: InvoiceLine, charges: Iterable[Charge]) -> LineSessions:
    """Return the sessions that a line is made of.

    Parameters
    ----------
    charges
        Of the line's month and the invoice's cost centre, in any order; others are left out.
    """
    sums: dict[tuple[UUID, str], _Sum] = {}
    for charge in charges:
        if is_of_line(charge, invoice, line):
            sums.setdefault((charge.allocation_id, charge.user_name), _Sum(charge, charge.start, charge.end)).add(charge)
    return _line_sessions(invoice, line, sums.values())


def payments_behind(invoice: Invoice, line: InvoiceLine, payments: Iterable[Payment]) -> LineSessions:
    """Return the sessions for which a credit paid what its line takes back.

    Parameters
    ----------
    payments
        Of the line's month, in any order; those of other credits and cost centres are left out.
    """
    sums: dict[tuple[UUID, str], _Sum] = {}
    for payment in payments:
        charge = payment.charge
        if is_of_credit(payment, invoice, line):
            of_session = sums.setdefault((charge.allocation_id, charge.user_name), _Sum(charge, payment.start, payment.end))
            of_session.count(-round(payment.amount * CREDIT_PARTS), charge, payment.start, payment.end)
    return _line_sessions(invoice, line, sums.values())


def is_of_credit(payment: Payment, invoice: Invoice, line: InvoiceLine) -> bool:
    """Return whether a line of a credit takes back a payment of its month."""
    return payment.charge.cost_centre == invoice.cost_centre and line.rate_card == f"{CREDIT_PREFIX}{payment.credit.id}"


def _line_sessions(invoice: Invoice, line: InvoiceLine, sums: Iterable[_Sum]) -> LineSessions:
    found = sorted((each for each in sums if each.units), key=lambda each: (-abs(each.units), each.start, str(each.first.allocation_id)))
    period = period_microseconds(line.sku, line.month)
    exact = [Fraction(each.units, period) for each in found]
    amounts = apportion([quantity * Fraction(line.price) for quantity in exact], AMOUNT_PLACES)
    shares = tuple(
        SessionShare(
            allocation_id=each.first.allocation_id,
            user_name=each.first.user_name,
            environment_template=each.first.environment_template,
            start=each.start,
            end=each.end,
            quantity=quantity,
            amount=amount,
            is_estimated=each.is_estimated,
        )
        for each, quantity, amount in zip(found, apportion(exact, QUANTITY_PLACES), amounts, strict=True)
    )
    (before,) = apportion([Fraction(sum(each.units for each in found) - line.unit_microseconds, period) * Fraction(line.price)], AMOUNT_PLACES)
    return LineSessions(line, shares, before, is_own_month=line.month == invoice.period_start)


def charges_behind(invoice: Invoice, line: InvoiceLine, charges: Iterable[Charge]) -> tuple[SessionCharge, ...]:
    """Return every charge of one session that the invoice's cost centre pays, in order of time, and whether it is part of the line."""
    found = sorted(charges, key=lambda charge: (charge.start, charge.is_correction, charge.sku))
    amounts = apportion([charge.amount for charge in found], AMOUNT_PLACES)
    return tuple(SessionCharge(charge, amount, is_of_line(charge, invoice, line)) for charge, amount in zip(found, amounts, strict=True))
