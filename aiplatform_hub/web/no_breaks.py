"""Keeps a number and its unit on one line: no-break spaces, in HTML only."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from markupsafe import Markup

NO_BREAK = "\N{NO-BREAK SPACE}"
_UNITS = "GPUs?|GPU-hours?|min|h|s|d|days?|hours?|minutes?|cores?|nodes?|sessions?|requests?|waits?|[KMGT]?i?B|[A-Z]{3}|%|×"
_SPACES = re.compile(
    rf"(?<=\d) (?=(?:{_UNITS})(?![\w]))|(?<=\d ×) |(?<=\d{NO_BREAK}×) |(?<=\d h) (?=\d+ min\b)|(?<=\d) (?=[\w-]+ GPUs?\b)|(?<=\w) (?=– \d)|(?<=–) (?=\d)"
)


def keep_together(value: Any) -> Any:
    """Return a text in which numbers stay with their units; anything else, and what is HTML already, as it is."""
    if not isinstance(value, str) or isinstance(value, Markup) or " " not in value:
        return value
    return _joined(value)


@lru_cache(maxsize=8192)
def _joined(text: str) -> str:
    """Return the text with its spaces; most sentences of a page are on the next one, too."""
    return _SPACES.sub(NO_BREAK, text)
