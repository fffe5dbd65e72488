"""Units: instants, byte amounts and their text forms."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

MIB = 1024**2
"""Bytes in one MiB."""

GIB = 1024**3
"""Bytes in one GiB."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Zero of the microsecond instants that the tables hold."""

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)")
_FACTORS = {"B": 1, "KiB": 1024, "MiB": MIB, "GiB": GIB, "TiB": 1024**4}


def to_microseconds(instant: datetime) -> int:
    """Return the instant as whole microseconds since the Unix epoch, UTC.

    Raises
    ------
    ValueError
        If the instant has no time zone.
    """
    if instant.tzinfo is None:
        msg = "an instant needs a time zone"
        raise ValueError(msg)
    return (instant - EPOCH) // timedelta(microseconds=1)


def from_microseconds(microseconds: int) -> datetime:
    """Return the aware UTC instant of a count of microseconds since the epoch."""
    return EPOCH + timedelta(microseconds=microseconds)


def isoformat(instant: datetime) -> str:
    """Return the instant as ``YYYY-MM-DDTHH:MM:SS.ffffffZ``."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_bytes(text: str) -> int:
    """Return the bytes of a text such as ``32 GiB``.

    Raises
    ------
    ValueError
        If the text is not a number followed by B, KiB, MiB, GiB or TiB.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        msg = f"{text!r} is not an amount of bytes; write for example '32 GiB'"
        raise ValueError(msg)
    return int(Decimal(match[1]) * _FACTORS[match[2]])


def format_bytes(amount: int | Decimal) -> str:
    """Return bytes for a reader, for example ``16 GiB`` or ``1.5 GiB``."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if amount >= _FACTORS[unit]:
            return f"{format_number(Decimal(amount) / _FACTORS[unit])} {unit}"
    return f"{format_number(Decimal(amount))} B"


def format_number(value: int | Decimal) -> str:
    """Return a number with at most two decimals and no trailing zeros."""
    text = f"{Decimal(value):.2f}"
    return text.rstrip("0").rstrip(".")
