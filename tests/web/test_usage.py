"""Usage: spans, rows, the chart and the CSV file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from aiplatform_hub.domain.report_spans import Span, buckets, span_before
from aiplatform_hub.operations.cost_reporter import Report, ReportRow
from aiplatform_hub.services.platform.pages.usage import Question
from aiplatform_hub.web.view_models import usage as view
from aiplatform_hub.web.view_models.usage_chart import usage_chart
from aiplatform_hub.web.view_models.usage_comparison import change_text, comparison, costs_before
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
        ("year", (datetime(2025, 12, 1, tzinfo=UTC), at(13))),
        ("nonsense", (at(1), at(13))),
    ],
)
def test_spans_are_half_open_utc_days(period: str, span: tuple[datetime, datetime]) -> None:
    assert view.span_of(period, NOW) == span


@pytest.mark.parametrize(
    ("first", "last", "span"),
    [
        ("2026-11-01", "2026-11-02", (at(1), at(3))),
        ("2026-11-02", "2026-11-01", None),
        ("x", "", None),
        ("", "", None),
        ("2026-11-01", "9999-12-31", None),
        ("0001-01-01", "2026-11-02", None),
        ("1000-01-01", "2026-11-02", None),
    ],
)
def test_own_days_include_the_last(first: str, last: str, span: tuple[datetime, datetime] | None) -> None:
    found = view.span_of_days(first, last)
    assert found == span
    assert found is None or span_before(Span(*found), "")


def test_the_longest_span_can_be_compared_and_drawn() -> None:
    found = view.span_of_days("1970-01-01", "2100-12-31")
    assert found
    assert len(buckets(Span(*found), "month")) == 131 * 12
    assert span_before(Span(*found), "").end == found[0]


def test_chart_stacks_used_idle_and_unknown_and_the_highest_is_full() -> None:
    chart = usage_chart(DAYS, Span(DAYS.start, DAYS.end), "day", "EUR")
    assert chart
    assert [[(piece.kind, piece.height) for piece in bucket.pieces] for bucket in chart.buckets] == [
        [("used", "24.000"), ("idle", "12.000"), ("unknown", "12.000")],
        [],
        [("used", "48.000"), ("idle", "24.000"), ("unknown", "24.000")],
        [],
    ]
    assert chart.buckets[2].pieces[-1].y == "4.000"
    assert (chart.highest, chart.label) == ("4.00 GPU-hours", "GPU-hours per day")
    assert chart.buckets[2].title == "2026-11-12: 4.00 GPU-hours (2.00 used, 1.00 idle, 1.00 not known), 6.00 EUR"
    assert chart.buckets[2].cells == ("4.00", "2.00", "1.00", "1.00", "6.00 EUR")
    assert chart.buckets[1].cells == ("0.00", "0.00", "0.00", "0.00", "0.00 EUR")


def test_chart_of_nothing_or_of_one_bar_is_none() -> None:
    assert usage_chart(Report(at(1), at(3), NOW, (), ()), Span(at(1), at(3)), "day", "EUR") is None
    assert usage_chart(DAYS, Span(at(10), at(11)), "day", "EUR") is None


def test_without_gpu_time_the_chart_shows_costs() -> None:
    row = ReportRow({"day": "2026-11-01"}, Decimal(0), Decimal(3600), Decimal(0), 1, Decimal("0.04"), "EUR")
    chart = usage_chart(Report(at(1), at(3), NOW, (row,), (row,)), Span(at(1), at(3)), "day", "EUR")
    assert chart
    assert [[piece.kind for piece in bucket.pieces] for bucket in chart.buckets] == [["cost"], []]
    assert (chart.highest, chart.label, chart.legend) == ("0.04 EUR", "Cost in EUR per day", ())


def test_span_is_compared_with_the_one_before() -> None:
    before = Report(at(1, 10), at(5, 10), NOW, (), (line({}, 2, "6"),))
    found = comparison(DAYS, before)
    assert found.against == "1 to 4 Oct 2026"
    assert [(f.label, f.value, f.change, f.before) for f in found.figures] == [
        ("Cost", "9.00 EUR", "50 % more", "6.00 EUR"),
        ("GPU-hours", "6.00", "50 % more", "4.00"),
        ("GPUs in use", "67 %", "", "67 %"),
        ("Idle GPU-hours", "1.50", "50 % more", "1.00"),
    ]


def test_nothing_before_is_no_percentage() -> None:
    found = comparison(DAYS, Report(at(1, 10), at(2, 10), NOW, (), ()))
    assert found.against == "1 Oct 2026"
    assert [(f.change, f.before) for f in found.figures] == [("", "0.00 EUR"), ("", "0.00"), ("", "not known"), ("", "0.00")]


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [(12, 10, "20 % more"), (8, 10, "20 % less"), (10, 10, "about the same"), (0, 10, "100 % less"), (5, 0, ""), (1200, 10, "many times as much")],
)
def test_change_in_words(now: int, before: int, words: str) -> None:
    assert change_text(Decimal(now), Decimal(before)) == words


def test_row_says_what_the_same_cost_before() -> None:
    before = costs_before(Report(at(1), at(2), NOW, (line({"project": "vision"}, 1, "2"),), ()), "project")
    assert view.row(line({"project": "vision"}, 1, "3"), "project", CATALOG, before).before == "2.00 EUR"
    assert view.row(line({"project": "personal"}, 1, "3"), "project", CATALOG, before).before == "0.00 EUR"
    assert view.row(line({"project": "vision"}, 1, "3"), "project", CATALOG).before == ""


@pytest.mark.parametrize(
    ("group", "key", "label"),
    [
        ("day", "2026-11-10", "2026-11-10"),
        ("week", "2026-W53", "from 28 Dec 2026"),
        ("month", "2026-11", "Nov 2026"),
        ("project", "vision", "Computer vision"),
        ("environment_template", "gone", "gone"),
        ("gpu_type", "h100", "NVIDIA H100"),
        ("gpu_type", None, "No GPU"),
        ("environment_template", None, "Storage"),
    ],
)
def test_groups_have_titles(group: str, key: str | None, label: str) -> None:
    assert view.key_label(group, key, CATALOG) == label


def test_estimated_time_is_marked() -> None:
    assert view.row(line({"day": "x"}, 1, "3", estimated=5), "day", CATALOG).has_estimate


def test_figures_name_running_today_and_month() -> None:
    figures = view.figures(DAYS.totals, DAYS.totals, {"EUR": Decimal("0.5")})
    assert [(f.label, f.value) for f in figures] == [("Running now", "0.50 EUR"), ("Today", "9.00 EUR"), ("This month", "9.00 EUR")]
    assert view.figures(DAYS.totals, DAYS.totals, {})[0].value == "nothing"


def test_today_is_the_row_of_its_utc_day() -> None:
    days = Report(at(1), at(4), NOW, (line({"day": "2026-11-02"}, 1, "2"), line({"day": "2026-11-03"}, 1, "3")), ())
    assert [row.amount for row in view.rows_of(days, datetime(2026, 11, 3, 23, 59, tzinfo=UTC))] == [Decimal(3)]
    assert view.rows_of(days, datetime(2026, 11, 4, tzinfo=UTC)) == ()


def test_of_too_many_people_those_are_shown_who_cost_most() -> None:
    rows = [line({"user": f"user{number}"}, 1, str(number)) for number in range(view.MOST_ROWS + 30)]
    shown = view.shown(rows, "user")
    assert len(shown) == view.MOST_ROWS
    assert [row.amount for row in shown] == sorted((row.amount for row in rows), reverse=True)[: view.MOST_ROWS]


def test_few_rows_and_days_stay_in_their_order() -> None:
    rows = [line({"day": f"{number}"}, 1, str(number)) for number in range(view.MOST_ROWS + 30)]
    assert view.shown(rows, "day") == rows
    assert view.shown(rows[:5], "user") == rows[:5]


@pytest.mark.parametrize(
    ("days", "group", "size"),
    [(366, "day", "day"), (401, "day", "month"), (2800, "week", "week"), (2801, "week", "month"), (47_847, "month", "month"), (7, "user", "day")],
)
def test_a_long_span_has_few_bars(days: int, group: str, size: str) -> None:
    start = datetime(1970, 1, 1, tzinfo=UTC)
    asked = Question("ada", start, start + timedelta(days=days), group, "")
    assert asked.size == size
    assert len(buckets(asked.span, asked.size)) < 1600
