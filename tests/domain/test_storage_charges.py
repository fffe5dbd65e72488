"""Storage is charged by whole GiB and day, exactly, and a month of it costs what the card says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.catalog import Project, RateCard
from aiplatform_hub.domain.charges import NO_SESSION, Sku
from aiplatform_hub.domain.rates import next_month
from aiplatform_hub.domain.storage_samples import StorageSample, samples, storage_charges
from aiplatform_hub.domain.units import GIB

FEBRUARY = datetime(2028, 2, 1, tzinfo=UTC)
"""Of a leap year."""
CARD = RateCard("a", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"*": Decimal(1)}, Decimal("0.04"), storage_gib_month=Decimal("0.07"))
DAY = timedelta(days=1)
LATE = datetime(2050, 1, 1, tzinfo=UTC)


def sample(day: datetime, size: int) -> StorageSample:
    return StorageSample("ada", day, day + timedelta(hours=3), size, "personal", "guests")


def month_of(first: datetime, size: int) -> list[StorageSample]:
    return [sample(first + DAY * number, size) for number in range((next_month(first) - first).days)]


def cost(day: StorageSample, cards=(CARD,), start=CARD.effective_from, end=LATE) -> Fraction:
    return sum((charge.amount for charge in storage_charges(day, cards, start, end)), Fraction(0))


@given(st.integers(0, 2**53), st.dates(datetime(2026, 1, 1).date(), datetime(2040, 12, 1).date()))  # noqa: DTZ001 - only their dates
@settings(max_examples=40, deadline=None)
def test_a_whole_month_costs_what_the_card_says_however_long_it_is(size, date) -> None:
    first = datetime(date.year, date.month, 1, tzinfo=UTC)
    gib = -(-size // GIB)
    assert sum((cost(day) for day in month_of(first, size)), Fraction(0)) == gib * Fraction(CARD.storage_gib_month)


@given(st.integers(1, 2**53), st.integers(1, 86_399_999_999))
@settings(max_examples=40, deadline=None)
def test_a_day_costs_the_same_in_however_many_pieces_it_is_read(size, microseconds) -> None:
    day, cut = sample(FEBRUARY, size), FEBRUARY + timedelta(microseconds=microseconds)
    assert cost(day, end=cut) + cost(day, start=cut) == cost(day)
    assert cost(day, end=cut) > 0
    assert cost(day, end=FEBRUARY) == cost(day, start=FEBRUARY + DAY) == 0, "the day is half-open"


@pytest.mark.parametrize(("size", "gib"), [(1, 1), (GIB - 1, 1), (GIB, 1), (GIB + 1, 2), (1000 * GIB, 1000)])
def test_part_of_a_gib_counts_as_a_whole_one(size, gib) -> None:
    (charge,) = storage_charges(sample(FEBRUARY, size), (CARD,), FEBRUARY, FEBRUARY + DAY)
    assert (charge.sku, charge.units, charge.quantity) == (Sku.STORAGE_GIB_MONTH, gib, Fraction(gib, 29))
    assert (charge.allocation_id, charge.environment_template, charge.gpu_type) == (NO_SESSION, "", None)


def test_an_empty_home_and_a_card_without_a_price_charge_nothing() -> None:
    assert not list(storage_charges(sample(FEBRUARY, 0), (CARD,), FEBRUARY, FEBRUARY + DAY))
    assert not list(storage_charges(sample(FEBRUARY, GIB), (replace(CARD, storage_gib_month=Decimal(0)),), FEBRUARY, FEBRUARY + DAY))


def test_a_card_that_begins_at_noon_prices_the_afternoon_and_a_project_has_its_discount() -> None:
    later = replace(CARD, version="b", effective_from=FEBRUARY + DAY / 2, storage_gib_month=Decimal("0.14"), project_discount_percent={"personal": Decimal(50)})
    morning, afternoon = storage_charges(sample(FEBRUARY, GIB), (CARD, later), FEBRUARY, FEBRUARY + DAY)
    assert (morning.rate_card, morning.price, afternoon.rate_card, afternoon.list_price, afternoon.price) == (
        "a",
        Decimal("0.07"),
        "b",
        Decimal("0.14"),
        Decimal("0.07"),
    )
    assert morning.end == afternoon.start == FEBRUARY + DAY / 2


def test_a_sample_is_of_the_day_in_utc_and_of_who_pays_on_that_day() -> None:
    berlin = datetime.fromisoformat("2026-11-02T00:30:00+01:00")
    (found,) = samples({"ada": 5}, Project("personal", "Personal", "guests", is_personal=True), berlin)
    assert (found.day, found.project, found.cost_centre) == (datetime(2026, 11, 1, tzinfo=UTC), "personal", "guests")
