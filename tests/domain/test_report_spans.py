"""Spans of reports: what they are compared with, and their buckets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.report_spans import Span, bucket_key, bucket_size, buckets, months_before, span_before


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def span(first: str, end: str) -> Span:
    return Span(at(first), at(end))


@pytest.mark.parametrize(
    ("one", "period", "before"),
    [
        (span("2026-11-12", "2026-11-13"), "today", span("2026-11-11", "2026-11-12")),
        (span("2026-11-06", "2026-11-13"), "week", span("2026-10-30", "2026-11-06")),
        (span("2026-11-01", "2026-11-13"), "month", span("2026-10-01", "2026-10-13")),
        (span("2026-03-01", "2026-04-01"), "month", span("2026-02-01", "2026-03-01")),
        (span("2026-01-01", "2026-01-05"), "month", span("2025-12-01", "2025-12-05")),
        (span("2026-10-01", "2026-11-01"), "last-month", span("2026-09-01", "2026-10-01")),
        (span("2025-12-01", "2026-11-13"), "year", span("2024-12-01", "2025-11-13")),
        (span("2026-11-03", "2026-11-05"), "", span("2026-11-01", "2026-11-03")),
    ],
)
def test_span_is_compared_with_the_like_before_it(one: Span, period: str, before: Span) -> None:
    assert span_before(one, period) == before


def test_month_of_31_days_is_not_compared_with_days_that_are_in_both() -> None:
    assert span_before(span("2026-03-01", "2026-04-01"), "month").end == at("2026-03-01")


@pytest.mark.parametrize(("day", "size", "key"), [("2026-11-12", "day", "2026-11-12"), ("2027-01-01", "week", "2026-W53"), ("2026-11-12", "month", "2026-11")])
def test_day_is_in_one_bucket(day: str, size: str, key: str) -> None:
    assert bucket_key(at(day).date(), size) == key  # type: ignore[arg-type]


@pytest.mark.parametrize(("days", "size"), [(1, "day"), (31, "day"), (32, "week"), (100, "week"), (101, "month")])
def test_longer_spans_have_larger_buckets(days: int, size: str) -> None:
    assert bucket_size(days) == size


def test_empty_buckets_are_there_too() -> None:
    assert buckets(span("2026-10-30", "2026-11-10"), "week") == ("2026-W44", "2026-W45", "2026-W46")
    assert buckets(span("2026-10-30", "2026-12-01"), "month") == ("2026-10", "2026-11")


@pytest.mark.parametrize(("day", "months", "before"), [("2026-03-31", 1, "2026-02-28"), ("2024-03-31", 1, "2024-02-29"), ("2026-01-15", 13, "2024-12-15")])
def test_months_before_end_with_the_month(day: str, months: int, before: str) -> None:
    assert months_before(at(day), months) == at(before)


@given(st.integers(0, 36_500), st.integers(1, 400), st.sampled_from(["today", "week", "", "month", "year"]))
def test_what_it_is_compared_with_is_over_before_it_begins(day: int, days: int, period: str) -> None:
    start = at("2000-01-01") + timedelta(days=day)
    if period in {"month", "year"}:
        start, days = start.replace(day=1), min(days, 31 if period == "month" else 365)
    one = Span(start, start + timedelta(days=days))
    before = span_before(one, period)
    assert before.start < before.end <= one.start
