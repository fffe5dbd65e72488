"""Lengths of time as people write them: ``3d``, ``6h``, ``1h 30min``."""

from __future__ import annotations

import re

UNITS = {"d": 86400, "h": 3600, "min": 60, "s": 1}
"""Seconds of each unit, the longest first, as a length has them."""

_LENGTH = re.compile(r"\s*".join(rf"(?:(\d{{1,6}}(?:\.\d{{1,6}})?)\s*{unit})?" for unit in UNITS), re.ASCII)


def parse_length(text: str) -> float:
    """Return the seconds of a text such as ``3d``, ``6h``, ``10min`` or ``1h 30min``.

    Raises
    ------
    ValueError
        If the text is not a number with d, h, min or s, or several in that order.
    """
    match = _LENGTH.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        msg = f"{text!r} is not a length of time; write for example 3d, 6h, 10min or 1h 30min"
        raise ValueError(msg)
    return sum(float(number) * seconds for number, seconds in zip(match.groups(), UNITS.values(), strict=True) if number)


def format_length(seconds: float) -> str:
    """Return a length as :func:`parse_length` reads it, for example ``1h 30min``; parts of a second are rounded off."""
    left, parts = round(seconds), []
    for unit, size in UNITS.items():
        amount, left = divmod(left, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return " ".join(parts) or "0s"
