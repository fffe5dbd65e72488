"""Budgets in words: what is left, until when it lasts, and what a launch leaves."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from aiplatform_hub.domain.budgets import MICROS
from aiplatform_hub.domain.runway import Runway
from aiplatform_hub.operations.budgets import AfterLaunch
from aiplatform_hub.web.view_models.budgets import after_sentence, budget_bar, runway_words
from tests.web.budget_samples import RUNWAYS, STANDINGS
from tests.web.samples import NOW


def day(number: int) -> datetime:
    return NOW + timedelta(days=number)


@pytest.mark.parametrize(
    ("runway", "words"),
    [
        (None, ""),
        (Runway(None, None, None), "lasts its whole period"),
        (Runway(None, day(2), None), f"lasts its whole period, at the earliest spent on {day(2):%Y-%m-%d}"),
        (Runway(day(3), day(3), day(3)), f"lasts until about {day(3):%Y-%m-%d}"),
        (Runway(day(3), day(2), day(9)), f"lasts until about {day(3):%Y-%m-%d} ({day(2):%Y-%m-%d} to {day(9):%Y-%m-%d})"),
        (Runway(day(3), day(2), None), f"lasts until about {day(3):%Y-%m-%d} ({day(2):%Y-%m-%d} at the earliest)"),
        (Runway(NOW, NOW, NOW), "spent"),
    ],
)
def test_the_runway_in_words(runway: Runway | None, words: str) -> None:
    assert runway_words(runway, NOW) == words


def test_the_bar_says_until_when_it_lasts() -> None:
    bar = budget_bar(STANDINGS[0], RUNWAYS[0], NOW)
    assert (bar.label, bar.text, bar.percent) == ("Budget of project vision", "610.00 EUR left of 2,500.00 EUR", 75)
    assert f"lasts until about {day(3):%Y-%m-%d}" in bar.note
    assert budget_bar(STANDINGS[1], RUNWAYS[1], NOW).is_full


def test_what_a_launch_leaves_is_one_sentence_and_only_where_it_fits() -> None:
    after = AfterLaunch(STANDINGS[0], 10 * MICROS, 600 * MICROS, fits=True, runway=RUNWAYS[0])
    lasts = runway_words(RUNWAYS[0], NOW)
    assert after_sentence(after, NOW) == f"After this launch 600.00 EUR of 2,500.00 EUR are left in the budget of project vision; {lasts}."
    assert (
        after_sentence(AfterLaunch(STANDINGS[1], MICROS, MICROS, fits=True, runway=None), NOW)
        == "After this launch 1.00 EUR of 50.00 EUR are left in your budget."
    )
    assert not after_sentence(AfterLaunch(STANDINGS[0], 0, 600 * MICROS, fits=True, runway=None), NOW)
    assert not after_sentence(AfterLaunch(STANDINGS[0], 9 * MICROS, 0, fits=False, runway=None), NOW)
