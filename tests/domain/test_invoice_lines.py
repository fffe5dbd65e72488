"""Lines of an invoice add up to their rounded exact total, whatever the charges, and differences are invoiced once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.billing import Tally, billed, lines_of, tallies
from aiplatform_hub.domain.charges import Charge, Sku, total
from aiplatform_hub.domain.invoices import month_span, number_of, places_of
from aiplatform_hub.domain.rounding import rounded

FEBRUARY = datetime(2028, 2, 1, tzinfo=UTC)
MARCH = datetime(2028, 3, 1, tzinfo=UTC)


def charge(microseconds: int, *, units: int = 1, price: str = "1", project: str = "a", month: datetime = FEBRUARY, **more) -> Charge:
    values = {
        "interval_id": UUID(int=1), "allocation_id": UUID(int=2), "user_name": "ada", "project": project, "cost_centre": "lab", "environment_template": "x",
        "gpu_type": "h100", "sku": Sku.GPU_HOUR, "start": month, "end": month + timedelta(microseconds=microseconds), "units": units,
        "list_price": Decimal(price), "price": Decimal(price), "currency": "EUR", "rate_card": "1", "is_off_peak": False, "is_estimated": False,
    }  # fmt: skip
    return Charge(**{**values, **more})


CHARGES = st.lists(
    st.builds(
        charge,
        st.integers(1, 86_400_000_000),
        units=st.integers(-8, 8).filter(bool),
        price=st.sampled_from(["0.01", "0.033333", "3.2", "7"]),
        project=st.sampled_from("abc"),
        sku=st.sampled_from([Sku.GPU_HOUR, Sku.STORAGE_GIB_MONTH]),
        is_correction=st.booleans(),
    ),
    max_size=12,
)


def lines(found, earlier=(), demanded=None, month=FEBRUARY, places=2):
    return lines_of(tallies(month, found).get("lab", Tally(month)), list(earlier), demanded or {}, places)


@settings(max_examples=60, deadline=None)
@given(CHARGES, st.sampled_from([0, 2, 3]))
def test_lines_add_up_to_the_rounded_exact_total(found, places):
    made = lines(found, places=places)
    exact = total(found).get("EUR", Fraction(0))
    assert sum((line.amount for line in made), Decimal(0)) == rounded(exact, places)
    assert all(abs(Fraction(line.amount) - line.exact_amount) < Fraction(1, 10**places) for line in made)
    assert [line.position for line in made] == list(range(1, len(made) + 1))


@settings(max_examples=60, deadline=None)
@given(CHARGES, CHARGES, CHARGES)
def test_what_is_invoiced_in_the_end_is_what_was_used_whatever_changed_meanwhile(known, found_later, found_last):
    first = lines(known)
    second = lines([], [tallies(FEBRUARY, known + found_later).get("lab", Tally(FEBRUARY))], billed(first), month=MARCH)
    assert all(line.is_correction and line.month == FEBRUARY for line in second)
    everything = known + found_later + found_last
    third = lines([], [tallies(FEBRUARY, everything).get("lab", Tally(FEBRUARY))], billed([*first, *second]), month=MARCH)
    demanded = sum((line.exact_amount for made in (first, second, third) for line in made), Fraction(0))
    assert demanded == total(everything).get("EUR", Fraction(0))
    assert not lines([], [tallies(FEBRUARY, everything).get("lab", Tally(FEBRUARY))], billed([*first, *second, *third]), month=MARCH)


def test_lines_are_by_project_sku_and_price_and_failed_starts_are_left_out():
    hour = 3_600_000_000
    found = [
        charge(hour, project="b"),
        charge(hour, price="2"),
        charge(hour, price="0", list_price=Decimal(0), project="failed"),
        charge(hour, price="0", list_price=Decimal(2), project="given"),
        charge(hour),
        charge(hour, units=-2, is_correction=True),
    ]
    made = lines(found)
    assert [(line.project, str(line.price), str(line.quantity), str(line.amount)) for line in made] == [
        ("a", "2", "1.000000", "2.00"),
        ("a", "1", "-1.000000", "-1.00"),
        ("b", "1", "1.000000", "1.00"),
        ("given", "0", "1.000000", "0.00"),
    ], "a correction of a month that is not invoiced yet is part of its line"


def test_a_leap_months_storage_is_one_month():
    (line,) = lines([charge(29 * 86_400_000_000, sku=Sku.STORAGE_GIB_MONTH, units=100, price="0.02")])
    assert (line.quantity, line.amount) == (Decimal("100.000000"), Decimal("2.00"))


def test_a_thousand_million_hours_stay_exact():
    (line,) = lines([charge(3_600_000_000, units=10**9 + 1, price="0.000001")])
    assert (line.exact_quantity, line.amount) == (10**9 + 1, Decimal("1000.00"))


def test_only_time_itself_counts_as_estimated():
    hour = 3_600_000_000
    found = [charge(hour, units=2, is_estimated=True), charge(hour, is_estimated=True, sku=Sku.CPU_CORE_HOUR), charge(hour)]
    assert tallies(FEBRUARY, found)["lab"].estimated_microseconds == 2 * hour


@pytest.mark.parametrize(("currency", "places"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("credits", 2)])
def test_amounts_have_the_places_of_their_currency(currency, places):
    assert places_of(currency) == places


def test_months_and_numbers_are_written_in_one_way():
    assert month_span("2028-02") == (FEBRUARY, MARCH)
    assert month_span("2026-12")[1] == datetime(2027, 1, 1, tzinfo=UTC)
    assert number_of("UE-", 2026, 17) == "UE-2026-00017"
