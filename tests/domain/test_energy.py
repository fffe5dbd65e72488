"""Energy is what GPUs said they took, by day, with the carbon of that day; what nobody said is unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.activity import LONGEST_GAP, GpuSample
from aiplatform_hub.domain.catalog import CarbonFactor
from aiplatform_hub.domain.energy import EnergyOfDay, EnergyReading, by_day, energy, factor_at, reading_of, used_between

DAY = datetime(2026, 12, 31, tzinfo=UTC)
LOOK = timedelta(seconds=15)
FACTORS = (CarbonFactor("old", DAY - timedelta(days=30), Decimal(400)), CarbonFactor("new", DAY + timedelta(days=1), Decimal("362.5")))


def reading(seconds: float = 0, counter: int | None = None, power: int | None = None) -> EnergyReading:
    return EnergyReading(DAY + timedelta(seconds=seconds), counter, power)


@pytest.mark.parametrize(
    ("before", "now", "millijoules"),
    [
        (reading(0, 1_000), reading(15, 6_000), 5_000),
        (reading(0, 1_000), reading(15, 1_000), 0),
        (reading(0, 1_000, 9), reading(3_600, 6_000, 9), 5_000),  # a counter goes on while nobody looks
        (reading(0, None, 300_000), reading(15, None, 500_000), 6_000_000),  # 400 W on the mean
        (reading(0, 6_000, 100_000), reading(10, 5, 100_000), 1_000_000),  # it began anew: its power says it
        (reading(0, 6_000), reading(15, 5), None),
        (reading(0, 6_000), reading(15, None, 5), None),
        (reading(0, None, 5), reading(LONGEST_GAP.total_seconds() + 1, None, 5), None),
        (reading(15, 1_000, 5), reading(15, 6_000, 5), None),
        (reading(15, 1_000, 5), reading(0, 6_000, 5), None),  # a clock that was set back
    ],
)
def test_what_was_taken_between_two_looks(before, now, millijoules) -> None:
    assert used_between(before, now) == millijoules


def test_who_says_nothing_of_energy_has_no_reading() -> None:
    assert reading_of(GpuSample(DAY, 50.0, 0)) is None
    assert reading_of(GpuSample(DAY, 50.0, 0, power_milliwatts=0)) == EnergyReading(DAY, None, 0)


@given(st.integers(0, 10**15), st.integers(0, 5 * 86_400_000_000), st.integers(1, 5 * 86_400_000_000))
@settings(max_examples=60, deadline=None)
def test_days_add_up_to_what_was_taken(millijoules, offset, length) -> None:
    start = DAY + timedelta(microseconds=offset)
    days = list(by_day(start, start + timedelta(microseconds=length), millijoules))
    assert sum(day.millijoules for day in days) == millijoules
    assert sum(day.known_microseconds for day in days) == length
    assert all(day.millijoules >= 0 and day.known_microseconds > 0 for day in days)
    assert [day.day for day in days] == sorted({day.day for day in days})


def test_carbon_is_that_of_each_day() -> None:
    days = [EnergyOfDay(DAY, 3_600_000_000, 1), EnergyOfDay(DAY + timedelta(days=1), 7_200_000_000, 1)]
    found = energy(days, FACTORS)
    assert found is not None
    assert (found.kwh, found.carbon_grams, found.known) == (3, Fraction(400 + 2 * 362.5), timedelta(microseconds=2))


def test_carbon_of_a_day_before_the_first_factor_is_unknown_and_so_is_the_sum() -> None:
    days = [EnergyOfDay(DAY - timedelta(days=31), 5, 1), EnergyOfDay(DAY, 5, 1)]
    found = energy(days, FACTORS)
    assert found is not None
    assert found.carbon_grams is None
    assert factor_at(FACTORS, DAY - timedelta(days=30)) == FACTORS[0], "a factor holds on its first day"
    assert energy([], FACTORS) is None, "unknown is not zero"
