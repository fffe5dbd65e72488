"""Giving back part of an invoice: some lines, or some of a line's amount. Pure and exact.

What credit notes give back of a line never exceeds its amount, and their tax adds up to the invoice's. Who gives back what is left makes the invoice void.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from fractions import Fraction

from aiplatform_hub.domain.invoices import Invoice, InvoiceLine, places_of
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.errors import ConflictError, InvalidOptionError, Reason

_EXACT = Context(prec=200)


@dataclass(frozen=True, slots=True)
class Part:
    """What to give back of one line."""

    position: int
    amount: Decimal | None = None
    """Without tax, with the sign of the line's; None for what is left of the line."""


@dataclass(frozen=True, slots=True)
class Refund:
    """What a credit note gives back."""

    lines: tuple[InvoiceLine, ...]
    """With the positions that they have on the invoice."""
    net: Decimal
    tax: Decimal
    is_rest: bool
    """Whether nothing of the invoice is left then."""


def lines_left(invoice: Invoice, notes: Iterable[Invoice]) -> tuple[InvoiceLine, ...]:
    """Return the lines of an invoice without what its credit notes gave back; lines that are gone are left out."""
    left = {line.position: line for line in invoice.lines}
    for note in notes:
        for given in note.lines:
            line = left[given.position]
            left[given.position] = replace(line, amount=line.amount - given.amount, unit_microseconds=line.unit_microseconds - given.unit_microseconds)
    return tuple(line for line in left.values() if line.amount or line.unit_microseconds)


def refund(invoice: Invoice, notes: Sequence[Invoice], parts: Sequence[Part]) -> Refund:
    """Return what a credit note gives back; without parts, everything that is left.

    Parameters
    ----------
    notes
        The credit notes that gave back parts of it before.

    Raises
    ------
    ConflictError
        If nothing is left of it, or of a line.
    InvalidOptionError
        If a line is named twice or does not exist, or an amount is 0, more than is left, or has more places than the currency.
    """
    left = {line.position: line for line in lines_left(invoice, notes)}
    if not left:
        raise ConflictError(f"{invoice.title[0].upper()}{invoice.title[1:]} was given back already.")
    lines = tuple(_parts(invoice, left, parts)) if parts else tuple(left.values())
    net = sum((line.amount for line in lines), rounded(Fraction(0), places_of(invoice.currency)))
    given = {line.position: line.amount for line in lines}
    is_rest = not any(line.amount - given.get(line.position, Decimal(0)) for line in left.values())
    return Refund(lines, net, _tax(invoice, notes, net), is_rest)


def _tax(invoice: Invoice, notes: Sequence[Invoice], net: Decimal) -> Decimal:
    """Return the tax of everything that was given back then, less what was before: the cents of all notes add up to the invoice's."""
    together = Fraction(net) + sum((Fraction(note.net) for note in notes), Fraction(0))
    tax = rounded(together * Fraction(invoice.tax_percent or 0) / 100, places_of(invoice.currency))
    return tax - sum((note.tax for note in notes), Decimal(0))


def _parts(invoice: Invoice, left: dict[int, InvoiceLine], parts: Sequence[Part]) -> Iterator[InvoiceLine]:
    known = {line.position for line in invoice.lines}
    seen = set[int]()
    for part in sorted(parts, key=lambda part: part.position):
        if part.position not in known:
            raise _invalid(f"There is no line {part.position} on {invoice.title}.")
        if part.position in seen:
            raise _invalid(f"Line {part.position} is named twice.")
        if part.position not in left:
            raise ConflictError(f"Line {part.position} of {invoice.title} was given back already.")
        seen.add(part.position)
        yield _part(left[part.position], part.amount, places_of(invoice.currency))


def _part(line: InvoiceLine, amount: Decimal | None, places: int) -> InvoiceLine:
    if amount is None or (amount.is_finite() and amount == line.amount):
        return line
    if not amount.is_finite() or not (0 < amount < line.amount or line.amount < amount < 0):
        raise _invalid(f"Of line {line.position} can be given back {line.amount} or less of it, but not {amount}.")
    given = amount.quantize(Decimal(1).scaleb(-places), context=_EXACT)  # as a fraction, 1E-999999999 would fill the memory
    if amount != given:
        raise _invalid(f"The amount {amount} for line {line.position} has more than {places} decimal places.")
    return replace(line, amount=given, unit_microseconds=round(line.unit_microseconds * Fraction(given) / Fraction(line.amount)))


def _invalid(message: str) -> InvalidOptionError:
    return InvalidOptionError(message, (Reason("invalid_option", message, field="lines"),))
