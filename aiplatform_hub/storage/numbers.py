"""Instants and sums as whole numbers in SQL, the same in each database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, case, literal, type_coerce

from aiplatform_hub.errors import LedgerError
from aiplatform_hub.storage.database import TOO_MUCH

DAY_MICROSECONDS = 86_400_000_000


def number(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return an instant's column as the whole number it is stored as."""
    return type_coerce(column, BigInteger)


def least(value: ColumnElement[Any], bound: Any) -> ColumnElement[Any]:
    """Return the smaller of two numbers; their own function has another name in each database."""
    return case((value > bound, _large(bound)), else_=value)


def greatest(value: ColumnElement[Any], bound: Any) -> ColumnElement[Any]:
    """Return the larger of two numbers."""
    return case((value < bound, _large(bound)), else_=value)


def _large(bound: Any) -> Any:
    """Return a bound as a large number, whatever it is: PostgreSQL counts on in the type of the small ones otherwise, as of the instant 0."""
    return literal(bound, BigInteger) if isinstance(bound, int) else bound


def whole(amount: Any) -> int:
    """Return a sum as the database gives it.

    Raises
    ------
    LedgerError
        If it is not exact: SQLite makes a float of what does not fit into 63 bits.
    """
    if isinstance(amount, float):
        raise LedgerError(TOO_MUCH)
    return int(amount or 0)
