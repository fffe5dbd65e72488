"""A report as JSON: numbers are strings, so that no digit is lost, as everywhere in the REST API."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, BinaryIO

from aiplatform_hub.domain.charge_report import ChargeReport, ChargeRow
from aiplatform_hub.domain.units import isoformat


def write_json(report: ChargeReport, stream: BinaryIO) -> None:
    """Write one object: what the report is of, its rows and its totals."""
    about = {
        "from": isoformat(report.start),
        "to": isoformat(report.end),
        "complete_until": isoformat(report.complete_until),
        "group_by": report.group_by,
        "rate_cards": sorted({card for row in report.totals for card in row.rate_cards}),
    }
    stream.write(_dumps(about)[:-1])
    for name, rows in (("rows", report.rows), ("totals", report.totals)):
        stream.write(f',"{name}":['.encode())
        _write_rows(report, rows, stream)
        stream.write(b"]")
    stream.write(b"}\n")


def _write_rows(report: ChargeReport, rows: Iterable[ChargeRow], stream: BinaryIO) -> None:
    separator = b""
    for row in rows:
        keys = dict(zip(report.group_by, row.keys, strict=False))
        numbers = {name: f"{number:f}" for name, number in row.numbers.items()}
        measured = {name: None if number is None else f"{number:f}" for name, number in row.measured.items()}
        stream.write(separator + _dumps({"keys": keys, "currency": row.currency, **numbers, **measured, "rate_cards": row.rate_cards}))
        separator = b","


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
