"""Usage and costs as figures, a chart and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.report_spans import bucket_key, months_before
from aiplatform_hub.web.view_models.activity import ActivityBar, activity_bar
from aiplatform_hub.web.view_models.formats import Stamp, hours, money, stamp
from aiplatform_hub.web.view_models.labels import gpu_label, template_label
from aiplatform_hub.web.view_models.usage_chart import Chart, time_label
from aiplatform_hub.web.view_models.usage_comparison import Comparison

if TYPE_CHECKING:
    from aiplatform_hub.operations.cost_reporter import Report, ReportRow

GROUP_LABELS = {
    "day": "Day",
    "week": "Week",
    "month": "Month",
    "project": "Project",
    "environment_template": "Environment",
    "gpu_type": "GPU type",
    "user": "Person",
    "cost_centre": "Cost centre",
}
"""What a report can be grouped by on the page; the last two for admins."""

PERIODS = {"today": "Today", "week": "Last 7 days", "month": "This month", "last-month": "Last month", "year": "Last 12 months"}
"""Spans on offer, by name."""

YEARS = range(1970, 2101)
"""In which days can be asked for: a chart has a bar for every month of them, and what they are compared with lies before them."""

MOST_ROWS = 100
"""So many rows the table has; a place may have thousands of people."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One total in large type."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One line of the table."""

    label: str
    gpu_hours: str
    hours: str
    sessions: int
    cost: str
    has_estimate: bool = False
    used: str = ""
    """GPU-hours, as are the next two."""
    idle: str = ""
    unknown: str = ""
    activity: ActivityBar | None = None
    """None without GPU time."""
    before: str = ""
    """What the same cost in the span before; empty where that is not asked."""


@dataclass(frozen=True, slots=True)
class Link:
    """A choice that is a link."""

    label: str
    href: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class UsagePage:
    """What Usage shows."""

    figures: tuple[Figure, ...]
    periods: tuple[Link, ...]
    groups: tuple[Link, ...]
    group_label: str
    heading: str
    rows: tuple[UsageRow, ...]
    total: UsageRow | None
    chart: Chart | None
    comparison: Comparison
    complete_until: Stamp | None
    first_day: str
    last_day: str
    downloads: tuple[Link, ...]
    """The same as a file, in each format."""
    activity: ActivityBar | None = None
    """Of all rows together; None without GPU time."""
    left_out: int = 0
    """So many rows are in the files alone."""
    energy: str = ""
    """What energy the GPUs took, in a sentence; empty where nobody measured it."""


def span_of(period: str, now: datetime) -> tuple[datetime, datetime]:
    """Return the half-open UTC span of a period's name; an unknown name means this month."""
    today = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    tomorrow = today + timedelta(days=1)
    first = today.replace(day=1)
    spans = {
        "today": (today, tomorrow),
        "week": (tomorrow - timedelta(days=7), tomorrow),
        "month": (first, tomorrow),
        "last-month": (months_before(first, 1), first),
        "year": (months_before(first, 11), tomorrow),
    }
    return spans.get(period, spans["month"])


def span_of_days(first_day: str, last_day: str) -> tuple[datetime, datetime] | None:
    """Return the half-open UTC span of two days, both included, or None if they are not two days in order, or lie out of :data:`YEARS`."""
    try:
        first, last = date.fromisoformat(first_day), date.fromisoformat(last_day)
    except ValueError:
        return None
    if last < first or not (first.year in YEARS and last.year in YEARS):
        return None
    return datetime.combine(first, time(), UTC), datetime.combine(last, time(), UTC) + timedelta(days=1)


def rows_of(days: Report, instant: datetime) -> tuple[ReportRow, ...]:
    """Return the rows of an instant's UTC day of a report by day: one of each currency."""
    return tuple(row for row in days.rows if row.keys["day"] == bucket_key(instant.date(), "day"))


def figures(today: Sequence[ReportRow], month: Sequence[ReportRow], running: Mapping[str, Decimal]) -> tuple[Figure, ...]:
    """Return what was charged today and this month, and what runs now (by currency)."""
    return (
        Figure("Running now", _sum_text(running) or "nothing", "cost so far of what is running"),
        Figure("Today", _totals(today), f"{_gpu_hours(today)} GPU-hours"),
        Figure("This month", _totals(month), f"{_gpu_hours(month)} GPU-hours"),
    )


def _sum_text(amounts: Mapping[str, Decimal]) -> str:
    return ", ".join(money(value, currency) for currency, value in sorted(amounts.items()))


def _totals(totals: Sequence[ReportRow]) -> str:
    return _sum_text({t.currency: t.amount for t in totals if t.currency is not None and t.amount is not None}) or "nothing"


def _gpu_hours(totals: Sequence[ReportRow]) -> str:
    return hours(sum((t.gpu_seconds for t in totals), Decimal(0)))


def shown(rows: Sequence[ReportRow], group: str) -> Sequence[ReportRow]:
    """Return the rows that the page has room for: of too many, those with the most cost, the largest first."""
    if len(rows) <= MOST_ROWS or group in {"day", "week", "month"}:
        return rows
    return sorted(rows, key=lambda each: (each.amount or Decimal(0), each.session_seconds), reverse=True)[:MOST_ROWS]


def row(report_row: ReportRow, group: str, catalog: Catalog, before: Mapping[tuple[str, str | None], Decimal | None] | None = None) -> UsageRow:
    """Return one line of a report grouped by one thing.

    Parameters
    ----------
    before
        What each group cost in the span before; None where that is not shown.
    """
    return UsageRow(
        label=key_label(group, report_row.keys.get(group), catalog),
        gpu_hours=hours(report_row.gpu_seconds),
        hours=hours(report_row.session_seconds),
        sessions=report_row.intervals,
        cost=money(report_row.amount, report_row.currency),
        has_estimate=report_row.estimated_seconds > 0,
        used=hours(report_row.used_gpu_seconds),
        idle=hours(report_row.idle_gpu_seconds),
        unknown=hours(report_row.unknown_gpu_seconds),
        activity=activity_bar((report_row,)),
        before="" if before is None else money(before.get((str(report_row.keys.get(group)), report_row.currency), Decimal(0)), report_row.currency),
    )


def key_label(group: str, key: object, catalog: Catalog) -> str:
    """Return what the page calls a group."""
    if key is None:
        return {"gpu_type": "No GPU", "environment_template": "Storage"}.get(group, "Total")
    text = str(key)
    if group in {"week", "month"}:
        return time_label(text)
    if group == "environment_template":
        return template_label(catalog, text)
    if group == "gpu_type":
        return gpu_label(catalog, text) or text
    project = catalog.projects.get(text) if group == "project" else None
    return project.display_name if project else text


def report_stamp(report: Report) -> Stamp | None:
    """Return until when the ledger is closed."""
    return stamp(report.complete_until)
