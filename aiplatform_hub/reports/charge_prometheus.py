"""A report in Prometheus' text format, for a textfile collector or a push gateway. People's names are no labels."""

from __future__ import annotations

from decimal import Decimal
from typing import BinaryIO

from aiplatform_hub.domain.charge_report import MEASURED, NUMBERS, ChargeReport, ChargeRow


def write_prometheus(report: ChargeReport, stream: BinaryIO) -> None:
    """Write one gauge for each number, with what the report is grouped by as labels."""
    for name in NUMBERS:
        metric = f"aiplatform_report_{name}"
        _head(stream, metric, f"{name.replace('_', ' ').capitalize()} of the report's span")
        stream.writelines(f"{metric}{{{_labels(report, row)}}} {row.numbers[name]:f}\n".encode() for row in report.rows)
    for name in MEASURED:
        metric = f"aiplatform_report_{name}"
        _head(stream, metric, f"{name.replace('_', ' ').capitalize()} of the report's span, as far as it was measured; NaN where nobody knows")
        stream.writelines(f"{metric}{{{_labels(report, row)}}} {_known(row.measured[name])}\n".encode() for row in report.rows)
    for metric, instant in (("start", report.start), ("end", report.end), ("complete_until", report.complete_until)):
        _head(stream, f"aiplatform_report_{metric}_timestamp_seconds", f"The report's {metric.replace('_', ' ')}")
        stream.write(f"aiplatform_report_{metric}_timestamp_seconds {int(instant.timestamp())}\n".encode())


def _known(number: Decimal | None) -> str:
    return "NaN" if number is None else f"{number:f}"


def _head(stream: BinaryIO, metric: str, text: str) -> None:
    stream.write(f"# HELP {metric} {text}\n# TYPE {metric} gauge\n".encode())


def _labels(report: ChargeReport, row: ChargeRow) -> str:
    named = {**dict(zip(report.group_by, row.keys, strict=True)), "currency": row.currency, "rate_cards": " ".join(row.rate_cards)}
    return ",".join(f'{name}="{_escaped(value or "")}"' for name, value in named.items())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
