"""What budgets and credits are asked for with, checked in the same way: whose, and how much."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from aiplatform_hub.domain.budgets import MICROS, MOST_MICROS, Scope
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.errors import InvalidOptionError, Reason

LONGEST_NAME = 255
_SMALLEST = Decimal(1) / MICROS
_UNSHOWN = "The {} has characters that cannot be shown; use letters, digits and punctuation."
E = TypeVar("E", bound=StrEnum)


def invalid(field: str, message: str, allowed: tuple[str, ...] = ()) -> InvalidOptionError:
    """Return the refusal of one field."""
    return InvalidOptionError(message, (Reason("invalid_option", message, field=field, allowed=allowed),))


def one_of(kind: type[E], field: str, value: str) -> E:
    """Return a value of a field that has few.

    Raises
    ------
    InvalidOptionError
        With the values that there are.
    """
    try:
        return kind(value)
    except ValueError:
        allowed = tuple(each.value for each in kind)
        raise invalid(field, f"There is no {field} “{value}”; it is one of {', '.join(allowed)}.", allowed) from None


def words_of(scope: Scope) -> str:
    """Return a scope as a sentence names it."""
    return scope.value.replace("_", " ")


def check_name(catalog: Catalog, scope: Scope, name: str) -> None:
    """Make sure that there is such a cost centre or project; people are not known here.

    Raises
    ------
    InvalidOptionError
        With the names that there are.
    """
    known = {Scope.COST_CENTRE: catalog.cost_centres, Scope.PROJECT: catalog.projects}.get(scope)
    if known is not None and name not in known:
        raise invalid("name", f"There is no {words_of(scope)} “{name}”.", tuple(sorted(known)))
    if not name or len(name) > LONGEST_NAME:
        raise invalid("name", f"Name the person in 1 to {LONGEST_NAME} characters.")
    if not name.isprintable():
        raise invalid("name", _UNSHOWN.format("name"))


def reason_of(text: str, *, most: int, where: str) -> str:
    """Return a reason as one line.

    Parameters
    ----------
    where
        Where it stands, for a refusal.

    Raises
    ------
    InvalidOptionError
        If it is empty, too long, or holds control characters.
    """
    line = " ".join(text.split())
    if not line or len(line) > most:
        raise invalid("reason", f"Say why in 1 to {most} characters; it stands in {where}.")
    if not line.isprintable():
        raise invalid("reason", _UNSHOWN.format("reason"))
    return line


def micros_of(amount: Decimal) -> int:
    """Return an amount in whole millionths of the currency.

    Raises
    ------
    InvalidOptionError
        If it is not more than 0, too large, or has more than 6 decimal places.
    """
    is_in_range = amount.is_finite() and 0 < amount <= MOST_MICROS // MICROS  # first: arithmetic with the largest numbers overflows
    if not is_in_range or amount != amount.quantize(_SMALLEST):
        raise invalid("amount", f"The amount is more than 0 and at most {MOST_MICROS // MICROS}, with at most 6 decimal places.")
    return int(amount * MICROS)
