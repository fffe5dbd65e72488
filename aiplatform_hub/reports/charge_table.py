"""What every table of a report has in common: its columns, the same in each format, and cells that no spreadsheet takes for formulas."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from aiplatform_hub.domain.charge_report import MEASURED, NUMBERS, ChargeReport, ChargeRow

Cell = str | Decimal | datetime | None
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def columns(report: ChargeReport) -> tuple[str, ...]:
    """Return the names of the columns."""
    return (*report.group_by, "currency", *NUMBERS, *MEASURED, "rate_cards", "complete_until")


def lines(report: ChargeReport) -> Iterator[tuple[Cell, ...]]:
    """Yield the cells of each row."""
    for row in report.rows:
        yield (*row.keys, row.currency, *(row.numbers[name] for name in NUMBERS), *(row.measured[name] for name in MEASURED), cards(row), report.complete_until)


def cards(row: ChargeRow) -> str:
    """Return the versions of the rate cards that priced a row, as one cell."""
    return " ".join(row.rate_cards)


def safe_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
