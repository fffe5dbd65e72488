"""A report as a workbook: numbers are numbers and instants are dates."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, BinaryIO

from aiplatform_hub.domain.charge_report import ChargeReport
from aiplatform_hub.reports.charge_table import Cell, columns, lines

MOST_ROWS = 1_048_575
"""Rows of a worksheet, without the header."""


def write_xlsx(report: ChargeReport, stream: BinaryIO) -> None:
    """Write one worksheet for every :data:`MOST_ROWS` rows, as many as it takes."""
    import xlsxwriter  # noqa: PLC0415 - most processes never write one

    book = xlsxwriter.Workbook(stream, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False})
    book.set_properties({"title": f"Charges from {report.start:%Y-%m-%d} to {report.end:%Y-%m-%d}", "created": report.end.replace(tzinfo=None)})
    formats = {
        "head": book.add_format({"bold": True}),
        "number": book.add_format({"num_format": "#,##0.00####"}),
        "instant": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
    }
    sheet = _sheet(book, report, formats)
    for place, line in enumerate(lines(report)):
        if place and place % MOST_ROWS == 0:
            sheet = _sheet(book, report, formats)
        for column, cell in enumerate(line):
            _write(sheet, place % MOST_ROWS + 1, column, cell, formats)
    book.close()


def _sheet(book: Any, report: ChargeReport, formats: dict[str, Any]) -> Any:
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(columns(report)) - 1, 20)
    for column, name in enumerate(columns(report)):
        sheet.write_string(0, column, name, formats["head"])
    return sheet


def _write(sheet: Any, row: int, column: int, cell: Cell, formats: dict[str, Any]) -> None:
    if isinstance(cell, Decimal):
        sheet.write_number(row, column, cell, formats["number"])
    elif isinstance(cell, datetime):
        sheet.write_datetime(row, column, cell.replace(tzinfo=None), formats["instant"])
    elif cell:
        sheet.write_string(row, column, cell)
