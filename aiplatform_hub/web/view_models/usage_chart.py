"""GPU time over a span as stacked bars, and the same as a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from aiplatform_hub.domain.report_spans import BucketSize, Span, buckets
from aiplatform_hub.web.view_models.activity import LABELS
from aiplatform_hub.web.view_models.formats import hours, money

if TYPE_CHECKING:
    from aiplatform_hub.operations.cost_reporter import Report, ReportRow

_TOP = Decimal(96)
"""Height of the highest bar in a box of 100."""
_COST = "cost"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar in a 100 × 100 box, origin at the top left."""

    kind: str
    """``used``, ``idle``, ``unknown`` or ``cost``."""
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bar, and its row of the table."""

    label: str
    title: str
    pieces: tuple[Piece, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars over a span."""

    label: str
    columns: tuple[str, ...]
    """Headings of the table, the bucket's excepted."""
    buckets: tuple[Bucket, ...]
    legend: tuple[tuple[str, str], ...]
    """Kind and label of each colour; empty where there is one."""
    highest: str
    bucket_label: str

    @property
    def first(self) -> str:
        """The first bucket."""
        return self.buckets[0].label

    @property
    def last(self) -> str:
        """The last bucket."""
        return self.buckets[-1].label


def usage_chart(report: Report, span: Span, size: BucketSize, currency: str) -> Chart | None:
    """Return the chart of a report grouped by buckets: GPU-hours in their parts, or costs where no GPU was used; None with fewer than two bars.

    Parameters
    ----------
    currency
        What the costs are shown in; others are left to the table of the page.
    """
    keys = buckets(span, size)
    rows = {str(row.keys[size]): row for row in report.rows if row.currency in {currency, None}}
    if len(keys) <= 1 or not rows:
        return None
    has_gpus = any(row.gpu_seconds for row in rows.values())
    amounts = {key: _parts(rows.get(key), has_gpus=has_gpus) for key in keys}
    highest = max(sum(parts.values(), Decimal(0)) for parts in amounts.values())
    step = Decimal(100) / len(keys)
    made = tuple(
        Bucket(
            time_label(key),
            _title(time_label(key), rows.get(key), currency),
            _pieces(amounts[key], highest, step * position, step),
            _cells(rows.get(key), currency),
        )
        for position, key in enumerate(keys)
    )
    return Chart(
        label=f"{'GPU-hours' if has_gpus else f'Cost in {currency}'} per {size}",
        columns=("GPU-hours", *LABELS.values(), "Cost"),
        buckets=made,
        legend=tuple(LABELS.items()) if has_gpus else (),
        highest=f"{hours(highest)} GPU-hours" if has_gpus else money(highest, currency),
        bucket_label=size.title(),
    )


def time_label(key: str) -> str:
    """Return a bucket's key in words: a day as it is, a week by its Monday, a month by its name."""
    if "-W" in key:
        year, _, week = key.partition("-W")
        monday = date.fromisocalendar(int(year), int(week), 1)
        return f"from {monday.day} {monday:%b %Y}"
    return key if key.count("-") > 1 else f"{date.fromisoformat(f'{key}-01'):%b %Y}"


def _parts(row: ReportRow | None, *, has_gpus: bool) -> dict[str, Decimal]:
    if row is None:
        return {}
    if not has_gpus:
        return {_COST: row.amount or Decimal(0)}
    return {"used": row.used_gpu_seconds, "idle": row.idle_gpu_seconds, "unknown": row.unknown_gpu_seconds}


def _pieces(parts: dict[str, Decimal], highest: Decimal, left: Decimal, step: Decimal) -> tuple[Piece, ...]:
    pieces, below = [], Decimal(0)
    for kind, amount in parts.items():
        height = _TOP * amount / highest if highest else Decimal(0)
        if height:
            below += height
            pieces.append(Piece(kind, f"{left + step / 10:.3f}", f"{100 - below:.3f}", f"{step * 8 / 10:.3f}", f"{height:.3f}"))
    return tuple(pieces)


def _cells(row: ReportRow | None, currency: str) -> tuple[str, ...]:
    if row is None:
        return ("0.00", "0.00", "0.00", "0.00", money(Decimal(0), currency))
    times = (row.gpu_seconds, row.used_gpu_seconds, row.idle_gpu_seconds, row.unknown_gpu_seconds)
    return (*(hours(time) for time in times), money(row.amount, row.currency))


def _title(label: str, row: ReportRow | None, currency: str) -> str:
    whole, used, idle, unknown, cost = _cells(row, currency)
    return f"{label}: {whole} GPU-hours ({used} used, {idle} idle, {unknown} not known), {cost}"
