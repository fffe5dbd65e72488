"""A report as CSV: UTF-8, RFC 4180."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from decimal import Decimal
from typing import BinaryIO

from aiplatform_hub.domain.charge_report import ChargeReport
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.reports.charge_table import Cell, columns, lines, safe_cell


def write_csv(report: ChargeReport, stream: BinaryIO) -> None:
    """Write a header and one line for each row."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(columns(report))
    writer.writerows([_cell(cell) for cell in line] for line in lines(report))
    text.detach()


def _cell(cell: Cell) -> str:
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    if isinstance(cell, datetime):
        return isoformat(cell)
    return safe_cell(cell or "")
