"""Months as people write them. Pure; months are UTC months."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from aiplatform_hub.domain.rates import next_month
from aiplatform_hub.domain.report_spans import Span
from aiplatform_hub.errors import InvalidOptionError, Reason

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
FIRST_YEAR, LAST_YEAR = 1970, 9998


def span_of_month(text: str) -> Span:
    """Return the half-open span of a month such as ``2026-11``.

    Raises
    ------
    InvalidOptionError
        If it is none.
    """
    found = _MONTH.fullmatch(text)
    if found is None or not FIRST_YEAR <= int(found[1]) <= LAST_YEAR:
        message = f"{text!r} is no month; write it as 2026-11."
        raise InvalidOptionError(message, (Reason("invalid_option", message, field="month"),))
    year, month = int(found[1]), int(found[2])
    start = datetime(year, month, 1, tzinfo=UTC)
    return Span(start, next_month(start))
