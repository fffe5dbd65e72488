"""Costs are a pure function of intervals and rate cards, exact to the last digit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest
from domain_values import card, interval
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.costs import MICROSECONDS_PER_HOUR, cost_lines, round_amount, totals
from aiplatform_hub.domain.rates import boundaries, card_at, midnights, price_per_hour, split, unit_price
from aiplatform_hub.domain.units import to_microseconds
from aiplatform_hub.errors import ConfigurationError


def at(*parts):
    return datetime(*parts, tzinfo=UTC)


OLD = card("2026-01", at(2026, 1, 1))
NEW = card("2026-02", at(2026, 2, 10, 12), h100="4.00", cpu="0.05")
CARDS = (OLD, NEW)
FAR = at(2100, 1, 1)


def lines(start, end, until=FAR, cards=CARDS, **more):
    return cost_lines(interval(start, end, **more), cards, until)


@pytest.mark.parametrize(
    ("instant", "version"),
    [
        (at(2020, 1, 1), "2026-01"),
        (at(2026, 1, 1), "2026-01"),
        (at(2026, 2, 10, 11, 59, 59, 999_999), "2026-01"),
        (at(2026, 2, 10, 12), "2026-02"),
        (at(2030, 1, 1), "2026-02"),
    ],
)
def test_card_in_force_begins_at_its_instant(instant, version):
    assert card_at(CARDS, instant).version == version
    assert card_at(CARDS[::-1], instant).version == version


def test_no_card_at_all_is_an_error():
    with pytest.raises(ValueError, match="no rate card"):
        card_at((), FAR)


def test_boundaries_are_changes_strictly_inside():
    change = NEW.effective_from
    assert boundaries(CARDS, at(2025, 1, 1), FAR) == (change,)
    assert boundaries(CARDS, change, FAR) == ()
    assert boundaries(CARDS, at(2026, 1, 1), change) == ()


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (at(2026, 1, 31, 23), at(2026, 2, 1, 1), [at(2026, 2, 1)]),
        (at(2028, 2, 28, 12), at(2028, 3, 1, 12), [at(2028, 2, 29), at(2028, 3, 1)]),
        (at(2026, 2, 28, 12), at(2026, 3, 1, 12), [at(2026, 3, 1)]),
        (at(2026, 12, 31, 12), at(2027, 1, 1), []),
        (at(2026, 1, 1), at(2026, 1, 2), []),
        (at(2026, 3, 29), at(2026, 3, 30, 0, 0, 1), [at(2026, 3, 30)]),
    ],
)
def test_midnights_are_utc_and_strictly_inside(start, end, days):
    assert list(midnights(start, end)) == days


def test_summer_time_of_another_zone_changes_nothing():
    """In Berlin the clock goes from 2:00 to 3:00 on 29 March 2026; that hour exists in UTC as any other."""
    berlin_before, berlin_after = timezone(timedelta(hours=1)), timezone(timedelta(hours=2))
    start, end = datetime(2026, 3, 29, 1, tzinfo=berlin_before), datetime(2026, 3, 29, 4, tzinfo=berlin_after)
    (line,) = lines(start, end)
    assert line.amount == Decimal("8.000000")
    assert [(piece.start, piece.end) for piece in lines(start, end)] == [(at(2026, 3, 29, 0), at(2026, 3, 29, 2))]


PRICES = {
    "one GPU, one hour": (lines(at(2026, 1, 5, 8), at(2026, 1, 5, 9)), "3.200000"),
    "four GPUs, half an hour": (lines(at(2026, 1, 5, 8), at(2026, 1, 5, 8, 30), gpus=4), "6.400000"),
    "a type without a price of its own": (lines(at(2026, 1, 5, 8), at(2026, 1, 5, 9), gpu_type="l4"), "1.000000"),
    "no GPUs": (lines(at(2026, 1, 5, 8), at(2026, 1, 5, 10), gpus=0), "0.080000"),
    "one second": (lines(at(2026, 1, 5, 8), at(2026, 1, 5, 8, 0, 1)), "0.000889"),
    "rate change inside": (lines(at(2026, 2, 10, 11), at(2026, 2, 10, 13)), "7.200000"),
    "failed start": (lines(at(2026, 1, 5, 8), at(2026, 1, 5, 9), end_cause=EndCause.START_FAILED), "0.000000"),
    "open until now": (lines(at(2026, 1, 5, 8), None, until=at(2026, 1, 5, 9)), "3.200000"),
    "closed later than asked for": (lines(at(2026, 1, 5, 8), at(2026, 1, 5, 19), until=at(2026, 1, 5, 9)), "3.200000"),
    "leap day": (lines(at(2028, 2, 29), at(2028, 3, 1)), "96.000000"),
}


@pytest.mark.parametrize(("pieces", "amount"), PRICES.values(), ids=PRICES)
def test_interval_costs_its_hours_times_its_price(pieces, amount):
    assert str(totals(pieces)["EUR"]) == amount


def test_empty_and_future_intervals_cost_nothing():
    assert lines(at(2026, 1, 5), at(2026, 1, 5)) == ()
    assert lines(at(2026, 1, 5), None, until=at(2026, 1, 4)) == ()


def test_line_says_what_it_was_priced_by():
    before, after = lines(at(2026, 2, 10, 11), at(2026, 2, 10, 13), gpus=2)
    assert (before.rate_card_version, before.price_per_hour, before.end) == ("2026-01", Decimal("6.40"), NEW.effective_from)
    assert (after.rate_card_version, after.price_per_hour, after.start) == ("2026-02", Decimal("8.00"), NEW.effective_from)
    assert (before.project, before.cost_centre, before.gpus, before.gpu_type, before.currency) == ("vision", "lab", 2, "h100", "EUR")


def test_currencies_are_never_added_together():
    cards = (OLD, card("2026-02", NEW.effective_from, currency="credits"))
    assert totals(lines(at(2026, 2, 10, 11), at(2026, 2, 10, 13), cards=cards)) == {"EUR": Decimal("3.200000"), "credits": Decimal("3.200000")}


def test_gpu_type_without_any_price_names_the_fix():
    bare = RateCard("x", at(2026, 1, 1), "EUR", {}, Decimal(1))
    with pytest.raises(ConfigurationError, match=r"rate card x has no price for the GPU type h100"):
        price_per_hour(1, "h100", bare)
    assert price_per_hour(0, None, bare) == 1
    assert unit_price(OLD, None) == Decimal("0.04")


@pytest.mark.parametrize(
    ("numerator", "amount"),
    [
        ("1800", "0.000000"),
        ("5400", "0.000002"),
        ("1800.0000001", "0.000001"),
        ("9000", "0.000002"),
        ("0", "0.000000"),
        ("1e30", "277777777777777777777.777778"),
    ],
)
def test_amounts_are_rounded_half_even_once(numerator, amount):
    assert str(round_amount(Decimal(numerator))) == amount


instants = st.datetimes(datetime(2025, 12, 1), datetime(2026, 4, 1), timezones=st.just(UTC))  # noqa: DTZ001  the strategy wants naive bounds
spans = st.tuples(instants, instants).map(sorted)


@given(spans, st.lists(instants, max_size=6))
def test_pieces_touch_and_sum_to_the_whole(span, edges):
    start, end = span
    pieces = split(start, end, edges)
    assert sum((high - low for low, high in pieces), timedelta()) == end - start
    assert all(low < high for low, high in pieces)
    assert [high for _, high in pieces[:-1]] == [low for low, _ in pieces[1:]]
    assert not pieces or (pieces[0][0], pieces[-1][1]) == (start, end)


@given(spans, st.integers(0, 8))
def test_lines_stay_inside_one_day_and_one_card_and_lose_no_microsecond(span, gpus):
    pieces = lines(*span, gpus=gpus)
    assert sum((line.end - line.start for line in pieces), timedelta()) == span[1] - span[0]
    for line in pieces:
        assert line.start.date() == (line.end - timedelta(microseconds=1)).date()
        assert card_at(CARDS, line.start) is card_at(CARDS, line.end - timedelta(microseconds=1))


@given(spans, st.lists(instants, max_size=4), st.integers(0, 8))
def test_cost_does_not_depend_on_how_time_is_split(span, edges, gpus):
    whole = sum((line.numerator for line in lines(*span, gpus=gpus)), Decimal(0))
    parts = sum((line.numerator for low, high in split(*span, edges) for line in lines(low, high, gpus=gpus)), Decimal(0))
    assert parts == whole


@given(spans, st.integers(0, 8))
def test_cost_is_exact_against_fractions(span, gpus):
    start, end = (to_microseconds(instant) for instant in span)
    change = to_microseconds(NEW.effective_from)
    before, after = max(0, min(end, change) - start), max(0, end - max(start, change))
    exact = Fraction(before) * Fraction(price_per_hour(gpus, "h100", OLD)) + Fraction(after) * Fraction(price_per_hour(gpus, "h100", NEW))
    pieces = lines(*span, gpus=gpus)
    assert sum((Fraction(line.numerator) for line in pieces), Fraction(0)) == exact
    if pieces:
        assert abs(Fraction(totals(pieces)["EUR"]) - exact / MICROSECONDS_PER_HOUR) <= Fraction(1, 2_000_000)
