"""The formats of a report of charges. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from aiplatform_hub.domain.charge_report import ChargeReport
from aiplatform_hub.domain.charges import Charge
from aiplatform_hub.domain.credits import Payment
from aiplatform_hub.reports.charge_csv import write_csv
from aiplatform_hub.reports.charge_json import write_json
from aiplatform_hub.reports.charge_parquet import write_parquet
from aiplatform_hub.reports.charge_prometheus import write_prometheus
from aiplatform_hub.reports.charge_xlsx import write_xlsx
from aiplatform_hub.reports.focus import write_focus


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One of them; it has exactly one of the two writers."""

    label: str
    media_type: str
    ending: str
    """Of the file's name, without a dot before it."""
    write: Callable[[ChargeReport, BinaryIO], None] | None = None
    """Writes groups."""
    write_charges: Callable[[Iterable[Charge], datetime, BinaryIO, Iterable[Payment]], None] | None = None
    """Writes each charge as it comes, with the instant until which the ledger is complete, and then what credits paid."""
    forbidden_groups: frozenset[str] = frozenset()
    """What it cannot be grouped by."""


FORMATS: Mapping[str, Format] = {
    "csv": Format(label="CSV", media_type="text/csv; charset=utf-8", ending="csv", write=write_csv),
    "xlsx": Format(label="Excel", media_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ending="xlsx", write=write_xlsx),
    "json": Format(label="JSON", media_type="application/json", ending="json", write=write_json),
    "parquet": Format(label="Parquet", media_type="application/vnd.apache.parquet", ending="parquet", write=write_parquet),
    "focus": Format(label="FOCUS 1.2", media_type="text/csv; charset=utf-8", ending="focus.csv", write_charges=write_focus),
    "prometheus": Format(
        label="Prometheus",
        media_type="text/plain; version=0.0.4; charset=utf-8",
        ending="prom",
        write=write_prometheus,
        forbidden_groups=frozenset({"user"}),
    ),
}
"""By name, in the order in which they are offered."""
