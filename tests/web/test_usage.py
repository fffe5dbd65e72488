"""Usage: spans, rows, the chart and the CSV file."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from aiplatform_hub.operations.cost_reporter import Report, ReportRow
from aiplatform_hub.web.view_models import usage as view
from tests.web.samples import CATALOG, NOW


def at(day: int, month: int = 11) -> datetime:
    return datetime(2026, month, day, tzinfo=UTC)


def line(keys: dict[str, object], hours: int, amount: str, *, estimated: int = 0) -> ReportRow:
    gpu_seconds = Decimal(hours * 2 * 3600)
    parts = (gpu_seconds / 2, gpu_seconds / 4, gpu_seconds / 4)
    return ReportRow(keys, gpu_seconds, Decimal(hours * 3600), Decimal(estimated), 1, Decimal(amount), "EUR", *parts)


DAYS = Report(at(10), at(14), NOW, (line({"day": "2026-11-10"}, 1, "3"), line({"day": "2026-11-12"}, 2, "6")), (line({}, 3, "9"),))


@pytest.mark.parametrize(
    ("period", "span"),
    [
        ("today", (at(12), at(13))),
        ("week", (at(6), at(13))),
        ("month", (at(1), at(13))),
        ("last-month", (at(1, 10), at(1))),
        ("nonsense", (at(1), at(13))),
    ],
)
def test_spans_are_half_open_utc_days(period: str, span: tuple[datetime, datetime]) -> None:
    assert view.span_of(period, NOW) == span


@pytest.mark.parametrize(
    ("first", "last", "span"), [("2026-11-01", "2026-11-02", (at(1), at(3))), ("2026-11-02", "2026-11-01", None), ("x", "", None), ("", "", None)]
)
def test_own_days_include_the_last(first: str, last: str, span: tuple[datetime, datetime] | None) -> None:
    assert view.span_of_days(first, last) == span


def test_chart_has_a_bar_for_each_day_and_the_highest_is_full() -> None:
    bars, highest = view.chart(DAYS, "EUR")
    assert [bar.height for bar in bars] == ["48.000", "0.000", "96.000", "0.000"]
    assert highest == "6.00 EUR"
    assert bars[2].title == "2026-11-12: 6.00 EUR"


def test_chart_of_nothing_has_no_height() -> None:
    bars, _ = view.chart(Report(at(1), at(3), NOW, (), ()), "EUR")
    assert {bar.height for bar in bars} == {"0.000"}


@pytest.mark.parametrize(
    ("group", "key", "label"),
    [
        ("day", "2026-11-10", "2026-11-10"),
        ("project", "vision", "Computer vision"),
        ("environment_template", "gone", "gone"),
        ("gpu_type", "h100", "NVIDIA H100"),
        ("gpu_type", None, "No GPU"),
    ],
)
def test_groups_have_titles(group: str, key: str | None, label: str) -> None:
    assert view.key_label(group, key, CATALOG) == label


def test_estimated_time_is_marked() -> None:
    assert view.row(line({"day": "x"}, 1, "3", estimated=5), "day", CATALOG).has_estimate


def test_csv_is_exact_and_no_cell_is_a_formula() -> None:
    report = Report(at(1), at(2), NOW, (line({"user": "=cmd()"}, 1, "3.123456"),), ())
    assert view.csv_rows(report, "user") == [
        ("user", "gpu_hours", "hours", "estimated_hours", "sessions", "cost", "currency", "used_gpu_hours", "idle_gpu_hours", "unknown_gpu_hours"),
        ("'=cmd()", "2.000000", "1.000000", "0.000000", "1", "3.123456", "EUR", "1.000000", "0.500000", "0.500000"),
    ]


def test_figures_name_running_today_and_month() -> None:
    figures = view.figures(DAYS, DAYS, {"EUR": Decimal("0.5")})
    assert [(f.label, f.value) for f in figures] == [("Running now", "0.50 EUR"), ("Today", "9.00 EUR"), ("This month", "9.00 EUR")]
    assert view.figures(DAYS, DAYS, {})[0].value == "nothing"


def test_of_too_many_people_those_are_shown_who_cost_most() -> None:
    rows = [line({"user": f"user{number}"}, 1, str(number)) for number in range(view.MOST_ROWS + 30)]
    shown = view.shown(rows, "user")
    assert len(shown) == view.MOST_ROWS
    assert [row.amount for row in shown] == sorted((row.amount for row in rows), reverse=True)[: view.MOST_ROWS]


def test_few_rows_and_days_stay_in_their_order() -> None:
    rows = [line({"day": f"{number}"}, 1, str(number)) for number in range(view.MOST_ROWS + 30)]
    assert view.shown(rows, "day") == rows
    assert view.shown(rows[:5], "user") == rows[:5]
