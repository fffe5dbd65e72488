"""Chargeback as CSV: UTF-8, RFC 4180, a line for each cost centre."""

from __future__ import annotations

import csv
import io

from aiplatform_hub.domain.chargeback import NUMBERS, Chargeback
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.reports.charge_table import safe_cell

COLUMNS = ("month", "cost_centre", "currency", *NUMBERS, "rate_cards", "complete_until")


def chargeback_csv(found: Chargeback) -> str:
    """Return the lines with a heading; what nobody pays has no cost centre."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in found.rows:
        numbers = (f"{row.numbers[name]:f}" for name in NUMBERS)
        writer.writerow(
            (
                f"{found.start:%Y-%m}",
                safe_cell(row.cost_centre or ""),
                row.currency,
                *numbers,
                safe_cell(" ".join(row.rate_cards)),
                isoformat(found.complete_until),
            )
        )
    return text.getvalue()
