"""A span beside the one before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from aiplatform_hub.domain.report_spans import Span
from aiplatform_hub.web.view_models.formats import hours, money

if TYPE_CHECKING:
    from aiplatform_hub.operations.cost_reporter import Report, ReportRow

_MOST_PERCENT = 1000
"""A larger growth says nothing as a percentage."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure, now and before."""

    label: str
    value: str
    change: str
    """Such as ``20 % more than before``; empty where there is nothing to compare."""
    before: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Figures of a span beside those of the one before."""

    against: str
    """The days it is compared with."""
    figures: tuple[Compared, ...]


def comparison(now: Report, before: Report) -> Comparison:
    """Return cost, GPU-hours, use and sessions of two reports without groups."""
    return Comparison(
        against=days_text(Span(before.start, before.end)),
        figures=(
            _cost(now, before),
            _times("GPU-hours", "gpu_seconds", now, before),
            _share(now, before),
            _times("Idle GPU-hours", "idle_gpu_seconds", now, before),
        ),
    )


def days_text(span: Span) -> str:
    """Return a span's first and last day, such as ``1 to 28 Oct 2026``."""
    first, last = span.start, span.end - timedelta(days=1)
    if first.date() == last.date():
        return f"{first.day} {first:%b %Y}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {last.day} {last:%b %Y}"
    begin = f"{first.day} {first:%b}" if first.year == last.year else f"{first.day} {first:%b %Y}"
    return f"{begin} to {last.day} {last:%b %Y}"


def costs_before(before: Report, group: str) -> Mapping[tuple[str, str | None], Decimal | None]:
    """Return what each group cost before, by its key and currency."""
    return {(str(row.keys.get(group)), row.currency): row.amount for row in before.rows}


def change_text(now: Decimal, before: Decimal) -> str:
    """Return how one amount compares with another, such as ``20 % more``; empty without one before."""
    if not before:
        return ""
    percent = ((now - before) * 100 / before).quantize(Decimal(1), ROUND_HALF_UP)
    if percent == 0:
        return "about the same"
    if percent > _MOST_PERCENT:
        return "many times as much"
    return f"{abs(percent)} % {'more' if percent > 0 else 'less'}"


def _times(label: str, name: str, now: Report, before: Report) -> Compared:
    amounts = _sum(now, name), _sum(before, name)
    return Compared(label, hours(amounts[0]), change_text(*amounts), hours(amounts[1]))


def _cost(now: Report, before: Report) -> Compared:
    currencies = {row.currency for row in (*now.totals, *before.totals)}
    if len(currencies) != 1:
        return Compared("Cost", _money(now.totals), "", _money(before.totals))
    amounts = [sum((row.amount or Decimal(0) for row in report.totals), Decimal(0)) for report in (now, before)]
    (currency,) = currencies
    return Compared("Cost", money(amounts[0], currency), change_text(*amounts), money(amounts[1], currency))


def _money(rows: Sequence[ReportRow]) -> str:
    return ", ".join(money(row.amount, row.currency) for row in rows) or "nothing"


def _share(now: Report, before: Report) -> Compared:
    """Return which part of the GPU time of which anything is known was used."""
    return Compared("GPUs in use", _used_text(now), "", _used_text(before))


def _used_text(report: Report) -> str:
    used, idle = _sum(report, "used_gpu_seconds"), _sum(report, "idle_gpu_seconds")
    return f"{used * 100 / (used + idle):.0f} %" if used + idle else "not known"


def _sum(report: Report, name: str) -> Decimal:
    return sum((getattr(row, name) for row in report.totals), Decimal(0))
