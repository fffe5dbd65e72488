"""Runway: the day a budget is spent, with its range."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.runway import FEWEST_DAYS, Runway, runway

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS = st.lists(st.integers(0, 10**9), min_size=FEWEST_DAYS, max_size=14).filter(lambda days: days[0] > 0)
LEFT = st.integers(1, 10**12)
FAR = datetime.max.replace(tzinfo=UTC)


def test_equal_days_leave_no_range() -> None:
    found = runway([10] * 14, 50, NOW, None)
    assert found == Runway(NOW + 5 * DAY, NOW + 5 * DAY, NOW + 5 * DAY)


def test_a_case_computed_by_hand() -> None:
    """Days of 0, 6, 12, 6: mean 6, variance 24. With 60 left: 10 days; the quadratic gives 5.14 and 28.70."""
    found = runway([6, 0, 12, 6], 60, NOW, None)
    assert found is not None
    assert found.spent_at == NOW + 10 * DAY
    for at, sign in ((found.earliest, 1), (found.latest, -1)):
        assert at is not None
        days = Fraction(int((at - NOW).total_seconds()), 86_400)
        spread = Fraction("1.2816") ** 2 * (24 * days + 24 * days * days / 4)
        assert abs(float((60 - 6 * days) ** 2 - spread)) < 0.01, "both ends solve what is documented"
        assert (60 - 6 * days) * sign > 0


def test_what_cannot_be_told_and_what_lasts() -> None:
    assert runway([], 50, NOW, None) is None
    assert runway([0] * 14, 50, NOW, None) is None, "nothing was ever spent"
    assert runway([0] * 12 + [5, 5], 50, NOW, None) is None, "two days tell nothing"
    assert runway([0] * 11 + [5, 5, 5], 50, NOW, None) == Runway(NOW + 10 * DAY, NOW + 10 * DAY, NOW + 10 * DAY), "days before the first do not count"
    assert runway([10] * 14, 50, NOW, NOW + 5 * DAY) == Runway(None, None, None), "it lasts until the period ends"
    assert runway([1] * 14, 10**9, NOW, None) == Runway(None, None, None), "centuries are not dated"
    assert runway([10] * 14, 0, NOW, None) == Runway(NOW, NOW, NOW), "it is spent"
    wild = runway([9, 0, 0, 0, 0, 0], 5, NOW, None)
    assert wild is not None
    assert wild.latest is None, "days so different may as well never spend it"


@given(DAYS, LEFT)
def test_the_range_holds_the_forecast(days: list[int], left: int) -> None:
    found = runway(days, left, NOW, None)
    assert found is not None
    if found.spent_at is not None:
        assert found.earliest is not None
        assert NOW <= found.earliest <= found.spent_at <= (found.latest or FAR)


@given(DAYS, LEFT, st.integers(1, 10**12))
def test_more_left_lasts_longer_and_money_has_no_unit(days: list[int], left: int, more: int) -> None:
    small, large, scaled = (runway(each, amount, NOW, None) for each, amount in ((days, left), (days, left + more), ([7 * day for day in days], 7 * left)))
    assert small is not None
    assert large is not None
    for before, after in ((small.earliest, large.earliest), (small.spent_at, large.spent_at), (small.latest, large.latest)):
        assert (before or FAR) <= (after or FAR)
    assert scaled == small


@given(DAYS, LEFT, st.integers(1, 400))
def test_nothing_is_dated_after_the_period(days: list[int], left: int, length: int) -> None:
    end = NOW + length * DAY
    found, free = runway(days, left, NOW, end), runway(days, left, NOW, None)
    assert found is not None
    assert free is not None
    for bounded, at in ((found.earliest, free.earliest), (found.spent_at, free.spent_at), (found.latest, free.latest)):
        assert bounded == (at if at is not None and at < end else None)
