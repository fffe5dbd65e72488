"""A report as Parquet: decimals with all their places, instants in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, BinaryIO

from aiplatform_hub.domain.charge_report import MEASURED, NUMBERS, PLACES, ChargeReport
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.reports.charge_table import columns, lines

BATCH = 10_000
"""Rows that are in memory at once."""


def write_parquet(report: ChargeReport, stream: BinaryIO) -> None:
    """Write one table; what it is of is in its metadata too."""
    import pyarrow as pa  # noqa: PLC0415 - large, and most processes never write one
    import pyarrow.parquet as pq  # noqa: PLC0415

    kinds = {**dict.fromkeys((*NUMBERS, *MEASURED), pa.decimal128(38, PLACES)), "complete_until": pa.timestamp("us", tz="UTC")}
    about = {"from": isoformat(report.start), "to": isoformat(report.end), "complete_until": isoformat(report.complete_until)}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in columns(report)], metadata=about)
    rows = lines(report)
    with pq.ParquetWriter(stream, schema, store_schema=False) as writer:
        while batch := list(islice(rows, BATCH)):
            writer.write_table(pa.table(_by_column(batch), schema=schema))


def _by_column(batch: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*batch, strict=True)]
