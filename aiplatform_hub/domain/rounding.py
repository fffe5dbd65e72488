"""How exact amounts become amounts with so many places, without a part of the total being lost. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction
from math import lcm

_EXACT = Context(prec=200)


def rounded(amount: Fraction, places: int) -> Decimal:
    """Return an amount rounded half-even to so many decimal places."""
    return _decimal(round(amount * 10**places), places)


def apportion(amounts: Sequence[Fraction], places: int) -> tuple[Decimal, ...]:
    """Round amounts so that they add up to their rounded total: the largest remainder method.

    Parameters
    ----------
    amounts
        Exact amounts, negative ones among them.
    places
        Decimal places of the result.

    Returns
    -------
    tuple[Decimal, ...]
        One for each amount, in their order, each less than one unit of the last place away from it; their sum is the total, rounded half-even.
        Of equal remainders the earlier amount is rounded up.
    """
    if not any(amounts):
        return (_decimal(0, places),) * len(amounts)
    unit = lcm(*(amount.denominator for amount in amounts))  # whole numbers are quicker than fractions, and as exact
    scaled = [amount.numerator * (unit // amount.denominator) * 10**places for amount in amounts]
    floors = [value // unit for value in scaled]
    missing = round(Fraction(sum(scaled), unit)) - sum(floors)
    by_remainder = sorted(range(len(scaled)), key=lambda index: (-(scaled[index] % unit), index))
    for index in by_remainder[:missing]:
        floors[index] += 1
    return tuple(_decimal(value, places) for value in floors)


def _decimal(units: int, places: int) -> Decimal:
    return Decimal(units).scaleb(-places, _EXACT)
