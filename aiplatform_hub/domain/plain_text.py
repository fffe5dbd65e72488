"""What people write to each other in a line: reasons and messages. Pure."""

from __future__ import annotations

from aiplatform_hub.errors import InvalidOptionError, Reason

MOST_CHARACTERS = 300
"""Longest reason or message."""


def plain_line(text: str, *, field: str, needs: str = "", most: int = MOST_CHARACTERS) -> str:
    """Return a text as one line: what is around it, and every run of white space in it, counts as one blank.

    Parameters
    ----------
    field
        What a refusal calls it.
    needs
        What a refusal of an empty text says is missing; empty where there may be none.
    most
        Most characters.

    Raises
    ------
    InvalidOptionError
        If it is empty where it must not be, too long, or holds control characters.
    """
    line = " ".join(text.split())
    if not line and needs:
        raise _invalid(field, needs)
    if len(line) > most:
        raise _invalid(field, f"The {field} has {len(line)} characters; at most {most} are possible.")
    if not line.isprintable():
        raise _invalid(field, f"The {field} has characters that cannot be shown; use letters, digits and punctuation.")
    return line


def _invalid(field: str, message: str) -> InvalidOptionError:
    return InvalidOptionError(message, (Reason(InvalidOptionError.code, message, field=field),))
