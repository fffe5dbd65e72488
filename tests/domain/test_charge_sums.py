"""Sums of days: nothing is lost between them, and a day counts only while the ledger says the same."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_invoice_lines import CHARGES, FEBRUARY, charge

from aiplatform_hub.domain.charge_report import charge_report
from aiplatform_hub.domain.charge_sums import DAY, ActivitySum, RolledDay, activity_without_people, counts, daily_sums, runs, without_people

PEOPLE = CHARGES.flatmap(
    lambda found: st.lists(st.sampled_from(["ada", "bea"]), min_size=len(found), max_size=len(found)).map(lambda names: list(zip(found, names, strict=True)))
)


@settings(max_examples=60)
@given(PEOPLE, st.sampled_from([(), ("user",), ("project", "day"), ("cost_centre", "gpu_type", "user")]))
def test_a_report_of_sums_is_the_report_of_the_charges(named, groups) -> None:
    found = [replace(one, user_name=name) for one, name in named]
    span = {"start": FEBRUARY, "end": FEBRUARY + 60 * DAY, "complete_until": FEBRUARY, "group_by": groups}
    sums = daily_sums(found)
    assert charge_report(sums, (), **span) == charge_report(found, (), **span)
    if "user" not in groups:
        assert charge_report(without_people(sums), (), **span) == charge_report(found, (), **span)
    assert sum(one.unit_microseconds for one in without_people(sums)) == sum(one.unit_microseconds for one in found)
    assert daily_sums(reversed(found)) == sums


def test_days_prices_and_skus_are_not_mixed() -> None:
    found = [
        charge(5),
        charge(7),
        charge(11, price="2"),
        charge(13, month=FEBRUARY + DAY),
        charge(17, is_estimated=True, user_name="bea"),
        charge(-1, units=-1),
    ]
    assert sorted(one.unit_microseconds for one in daily_sums(found)) == [11, 13, 13, 17]
    assert sorted((one.unit_microseconds, one.estimated_microseconds) for one in without_people(daily_sums(found))) == [(11, 0), (13, 0), (30, 17)]


def test_activity_is_added_up_without_people() -> None:
    one = ActivitySum(FEBRUARY, "c", "p", "ada", "x", "h100", "EUR", 5, 7)
    others = (replace(one, user_name="bea"), replace(one, currency="credits"), replace(one, start=FEBRUARY + DAY))
    assert sorted((each.used_gpu_microseconds, each.idle_gpu_microseconds) for each in activity_without_people([one, *others])) == [(5, 7), (5, 7), (10, 14)]


@given(st.integers(0, 72), st.integers(1, 200), st.sets(st.integers(0, 9)))
def test_runs_and_the_spans_between_them_are_the_whole(begin: int, hours: int, numbers: set[int]) -> None:
    start, end = FEBRUARY + timedelta(hours=begin), FEBRUARY + timedelta(hours=begin + hours)
    days = [FEBRUARY + number * DAY for number in sorted(numbers)]
    covered, between = runs(start, end, days)
    pieces = sorted((*covered, *between))
    assert [low for low, _ in pieces[1:]] == [high for _, high in pieces[:-1]]
    assert (pieces[0][0], pieces[-1][1]) == (start, end)
    inside = {day for day in days if start <= day and day + DAY <= end}
    assert sum((high - low for low, high in covered), timedelta()) == len(inside) * DAY
    by_day = defaultdict(int)
    for low, high in covered:
        for number in range((high - low) // DAY):
            by_day[low + number * DAY] += 1
    assert by_day == dict.fromkeys(inside, 1)


KEPT = RolledDay(FEBRUARY, 2, "mark", FEBRUARY + timedelta(hours=25))


@pytest.mark.parametrize(
    ("change", "rest", "is_right"),
    [
        ({}, {}, True),
        ({"is_stale": True}, {}, False),
        ({"cards": "other"}, {}, False),
        ({}, {"now": FEBRUARY + DAY - timedelta(microseconds=1)}, False),
        ({}, {"now": FEBRUARY + DAY}, True),
        ({}, {"changed": [(KEPT.number - 9, KEPT.number)]}, False),
        ({}, {"changed": [(KEPT.number + 1, KEPT.number + 2), (0, KEPT.number - 1)]}, True),
        ({}, {"open_starts": [FEBRUARY]}, False),
        ({}, {"open_starts": [FEBRUARY - DAY, FEBRUARY, FEBRUARY + DAY - timedelta(microseconds=1)]}, False),
        ({}, {"open_starts": [FEBRUARY - DAY, FEBRUARY, FEBRUARY + DAY]}, True),
    ],
)
def test_a_day_counts_only_while_nothing_in_it_has_changed(change, rest, is_right) -> None:
    usual = {"now": FEBRUARY + 9 * DAY, "cards": "mark", "open_starts": [FEBRUARY, FEBRUARY], "changed": ()}
    assert counts(replace(KEPT, **change), **{**usual, **rest}) is is_right


def test_amounts_stay_exact() -> None:
    (one,) = daily_sums([charge(1, price="0.033333") for _ in range(3)])
    assert Fraction(one.unit_microseconds, one.period_microseconds) * Fraction(one.price) == 3 * charge(1, price="0.033333").amount
    assert one.start == datetime(2028, 2, 1, tzinfo=UTC)
