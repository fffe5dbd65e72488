"""Amounts in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.web.view_models.formats import END_CAUSES, amount, duration, gpus, hours, money, notices, percent, price, stamp


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", "0.00 EUR"), ("0.004", "under 0.01 EUR"), ("0.005", "under 0.01 EUR"), ("0.01", "0.01 EUR"), ("0.125", "0.12 EUR"), ("1234.5", "1,234.50 EUR")],
)
def test_money_is_rounded_half_even_and_never_hides_a_cost(value: str, expected: str) -> None:
    assert money(Decimal(value), "EUR") == expected


def test_money_without_a_currency_is_a_dash() -> None:
    assert money(Decimal(1), None) == "–"


@pytest.mark.parametrize(
    ("value", "expected"), [("0", "free of charge"), ("3", "3.00 EUR per hour"), ("0.0375", "0.0375 EUR per hour"), ("1.50", "1.50 EUR per hour")]
)
def test_price_shows_every_place_that_counts(value: str, expected: str) -> None:
    assert price(Decimal(value), "EUR") == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-5, "0 s"), (0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (7500, "2 h 5 min"), (86400, "1 d"), (180000, "2 d 2 h")],
)
def test_duration_has_two_units_at_most(seconds: int, expected: str) -> None:
    assert duration(timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0, "0.00"), (12, "0.0033"), (3600, "1.00"), (5_400_000, "1,500.00")])
def test_hours_of_short_sessions_do_not_round_to_nothing(seconds: int, expected: str) -> None:
    assert hours(Decimal(seconds)) == expected


@pytest.mark.parametrize(("part", "whole", "expected"), [(0, 0, 0), (1, 0, 100), (1, 2, 50), (3, 2, 100), (-1, 2, 0)])
def test_percent_stays_within_the_bar(part: int, whole: int, expected: int) -> None:
    assert percent(part, whole) == expected


@pytest.mark.parametrize(("number", "kind", "expected"), [(0, None, "No GPU"), (1, None, "1 GPU"), (2, "NVIDIA H100", "2 × NVIDIA H100")])
def test_gpus_in_words(number: int, kind: str | None, expected: str) -> None:
    assert gpus(number, kind) == expected


@pytest.mark.parametrize(
    ("dimension", "value", "expected"),
    [("memory_bytes", 32 * 1024**3, "32 GiB"), ("gpu_hours", Decimal("7.5"), "7.5 h"), ("gpus", 2, "2"), ("storage_bytes", None, "unknown")],
)
def test_amounts_have_their_unit(dimension: str, value: int | Decimal | None, expected: str) -> None:
    assert amount(dimension, None if value is None else Decimal(value)) == expected


def test_every_end_has_a_sentence() -> None:
    assert set(END_CAUSES) == set(EndCause)


def test_stamp_is_exact_for_machines_and_utc_for_people() -> None:
    at = stamp(datetime(2026, 11, 2, 9, 5, 1, 2, UTC))
    assert at
    assert (at.iso, at.text) == ("2026-11-02T09:05:01.000002Z", "2 Nov 2026 09:05 UTC")


@pytest.mark.parametrize(
    ("is_demo", "is_simulated", "is_isolated", "expected"),
    [
        (False, False, True, ()),
        (True, True, False, ("demo", "nothing computes on a GPU here", "isolated neither")),
        (False, False, False, ("isolated neither",)),
    ],
)
def test_notices_say_what_is_not_safe(is_demo: bool, is_simulated: bool, is_isolated: bool, expected: tuple[str, ...]) -> None:
    text = " ".join(notices(is_demo=is_demo, has_simulated_gpus=is_simulated, is_isolated=is_isolated))
    assert bool(text) == bool(expected)
    assert all(part in text for part in expected)
