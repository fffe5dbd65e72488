"""What used time costs: split at every edge, nothing lost between the pieces, exact to the last digit."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from domain_values import card, interval
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.charges import Sku, charges, hourly_price, period_microseconds, total
from aiplatform_hub.domain.off_peak import OffPeak, Window, spans
from aiplatform_hub.domain.rounding import apportion, rounded
from aiplatform_hub.domain.units import GIB, to_microseconds


def at(*parts):
    return datetime(*parts, tzinfo=UTC)


NIGHT = Window(frozenset(range(1, 8)), time(22), time(6))
BERLIN = OffPeak("Europe/Berlin", Decimal(50), (NIGHT,))
FAR = at(2100, 1, 1)
PLAIN = card("2026-01", at(2026, 1, 1))
RICH = replace(
    card("2026-03", at(2026, 3, 15)),
    off_peak=BERLIN,
    cpu_core_hour=Decimal("0.01"),
    memory_gib_hour=Decimal("0.002"),
    idle_gpu_hour={"h100": Decimal("1.00")},
    tier_discount_percent={"premium": Decimal(10)},
    project_discount_percent={"course": Decimal(20)},
)


def test_a_plain_card_gives_one_gpu_line_a_day():
    found = charges(interval(at(2026, 2, 1, 22), at(2026, 2, 2, 3), gpus=2, gpu_type="h100"), (PLAIN,), FAR)
    assert [(c.sku, c.start, c.end, c.units) for c in found] == [
        (Sku.GPU_HOUR, at(2026, 2, 1, 22), at(2026, 2, 2), 2),
        (Sku.GPU_HOUR, at(2026, 2, 2), at(2026, 2, 2, 3), 2),
    ]
    assert total(found) == {"EUR": Fraction(10) * Fraction(PLAIN.gpu_hour["h100"])}


def test_every_edge_cuts_and_every_discount_is_taken_once():
    """A change of card, a night in Berlin, an idle hour, a premium person in a course: 21:00 to 23:00 UTC+1 with idleness in between."""
    one = interval(at(2026, 3, 14, 23), at(2026, 3, 15, 22), gpus=1, gpu_type="h100", project="course")
    found = charges(one, (PLAIN, RICH), FAR, tier="premium", idle=((at(2026, 3, 15, 12), at(2026, 3, 15, 13)),))
    gpus = [(c.start, c.end, c.sku, c.rate_card, c.is_off_peak) for c in found if c.sku in {Sku.GPU_HOUR, Sku.IDLE_GPU_HOUR}]
    assert gpus == [
        (at(2026, 3, 14, 23), at(2026, 3, 15), Sku.GPU_HOUR, "2026-01", False),
        (at(2026, 3, 15), at(2026, 3, 15, 5), Sku.GPU_HOUR, "2026-03", True),
        (at(2026, 3, 15, 5), at(2026, 3, 15, 12), Sku.GPU_HOUR, "2026-03", False),
        (at(2026, 3, 15, 12), at(2026, 3, 15, 13), Sku.IDLE_GPU_HOUR, "2026-03", False),
        (at(2026, 3, 15, 13), at(2026, 3, 15, 21), Sku.GPU_HOUR, "2026-03", False),
        (at(2026, 3, 15, 21), at(2026, 3, 15, 22), Sku.GPU_HOUR, "2026-03", True),
    ]
    night = next(c for c in found if c.is_off_peak)
    assert night.price == night.list_price * Decimal("0.5") * Decimal("0.9") * Decimal("0.8")
    assert {c.sku for c in found} == {Sku.GPU_HOUR, Sku.IDLE_GPU_HOUR, Sku.CPU_CORE_HOUR, Sku.MEMORY_GIB_HOUR}


def test_without_its_tier_and_project_a_session_has_no_discount():
    one = interval(at(2026, 3, 20, 12), at(2026, 3, 20, 13), gpus=1, gpu_type="h100", project="other")
    assert {c.price == c.list_price for c in charges(one, (RICH,), FAR)} == {True}


def test_a_failed_start_and_an_empty_interval_cost_nothing():
    failed = replace(interval(at(2026, 3, 20, 12), at(2026, 3, 20, 13), gpus=1, gpu_type="h100"), end_cause=EndCause.START_FAILED)
    assert total(charges(failed, (RICH,), FAR)) == {"EUR": 0}
    assert charges(interval(at(2026, 3, 20), at(2026, 3, 20)), (RICH,), FAR) == ()


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        (at(2026, 3, 10), 8),
        (at(2026, 3, 28), 7),  # the clock is put forward in this night
        (at(2026, 10, 24), 9),  # and back in this one
    ],
)
def test_nights_are_as_long_as_the_clocks_of_the_zone_say(day, hours):
    ((low, high),) = spans(BERLIN, day + timedelta(hours=12), day + timedelta(hours=36))
    assert high - low == timedelta(hours=hours)


def test_a_time_that_the_clock_skips_or_shows_twice():
    early = OffPeak("Europe/Berlin", Decimal(50), (Window(frozenset({7}), time(2, 30), time(2, 45)),))
    assert spans(early, at(2026, 3, 29), at(2026, 3, 30)) == ((at(2026, 3, 29, 1, 30), at(2026, 3, 29, 1, 45)),)
    assert spans(early, at(2026, 10, 25), at(2026, 10, 26)) == ((at(2026, 10, 25, 0, 30), at(2026, 10, 25, 1, 45)),)


def test_windows_that_overlap_count_once():
    both = replace(BERLIN, windows=(NIGHT, Window(frozenset({6, 7}), time(0), time(0))))
    found = spans(both, at(2026, 5, 1), at(2026, 6, 1))
    assert all(high < low for (_, high), (low, _) in itertools.pairwise(found))


instants = st.datetimes(datetime(2026, 2, 20), datetime(2026, 4, 20)).map(lambda value: value.replace(tzinfo=UTC))  # noqa: DTZ001  made aware here


@settings(max_examples=60)
@given(instants, instants, st.lists(instants, max_size=4, unique=True))
def test_pieces_cover_the_interval_exactly_once(one, other, idle_edges):
    start, end = sorted((one, other))
    edges = sorted(idle_edges)
    idle = tuple(zip(edges[::2], edges[1::2], strict=False))
    found = charges(interval(start, end, gpus=3, gpu_type="h100"), (PLAIN, RICH), FAR, idle=idle)
    gpus = [c for c in found if c.sku in {Sku.GPU_HOUR, Sku.IDLE_GPU_HOUR}]
    assert sum(c.unit_microseconds for c in gpus) == 3 * (to_microseconds(end) - to_microseconds(start))
    assert all(a.end == b.start for a, b in itertools.pairwise(gpus))
    assert all(c.start.date() == (c.end - timedelta(microseconds=1)).date() for c in gpus)


def test_what_an_hour_costs_is_what_the_hour_is_charged():
    start = at(2026, 3, 20, 23)
    one = interval(start, start + timedelta(hours=1), gpus=2, gpu_type="h100", project="course")
    price = hourly_price(
        gpus=2, gpu_type="h100", cpu_cores=one.cpu_cores, memory_bytes=one.memory_bytes, project="course", tier="premium", card=RICH, instant=start
    )
    assert total(charges(one, (RICH,), FAR, tier="premium")) == {"EUR": Fraction(price)}


def test_part_of_a_gib_is_a_gib_and_a_month_is_as_long_as_it_is():
    one = replace(interval(at(2026, 3, 20), at(2026, 3, 20, 1)), memory_bytes=GIB + 1)
    assert next(c.units for c in charges(one, (RICH,), FAR) if c.sku is Sku.MEMORY_GIB_HOUR) == 2
    days = [period_microseconds(Sku.STORAGE_GIB_MONTH, at(*month, 15)) // 86_400_000_000 for month in ((2028, 2), (2026, 2), (2026, 12))]
    assert days == [29, 28, 31]


@given(st.lists(st.fractions(min_value=-1000, max_value=1000), max_size=12), st.integers(0, 6))
def test_parts_add_up_to_the_rounded_total(amounts, places):
    parts = apportion(amounts, places)
    assert sum(parts, Decimal(0)) == rounded(sum(amounts, Fraction(0)), places)
    assert all(abs(Fraction(part) - amount) < Fraction(1, 10**places) for part, amount in zip(parts, amounts, strict=True))


def test_the_largest_remainder_gets_the_cent():
    assert apportion([Fraction(1, 3)] * 3, 2) == (Decimal("0.34"), Decimal("0.33"), Decimal("0.33"))
    assert apportion([Fraction("0.004"), Fraction("0.006")], 2) == (Decimal("0.00"), Decimal("0.01"))
