"""How long, in words with numbers, and never a number that nobody knows."""

from __future__ import annotations

import pytest

from aiplatform_hub.domain.wait_estimates import WaitEstimate
from aiplatform_hub.domain.wait_words import Chance, about, alternative_sentence, fewer_gpus_advice, how_long

HALF_AN_HOUR = WaitEstimate(600, 2100, 7200)


@pytest.mark.parametrize(
    ("wait", "sentence"),
    [
        (HALF_AN_HOUR, "About 35 min; 80 % between 10 min and 2 h."),
        (WaitEstimate(0, 2100, 7200), "About 35 min; 90 % within 2 h."),
        (WaitEstimate(0, 0, 20), "About a minute."),
        (WaitEstimate(7200, 7200, 7200), "About 2 h."),
        (WaitEstimate(3600, 30000, 200000), "About 8 h 20 min; 80 % between 1 h and 2 days."),
        (None, "How long, nobody knows yet."),
    ],
)
def test_estimate_is_a_sentence(wait, sentence):
    assert how_long(wait) == sentence


def test_time_that_has_passed_is_taken_off():
    assert HALF_AN_HOUR.after(900) == WaitEstimate(0, 1200, 6300)
    assert about(HALF_AN_HOUR.after(5000)) == "about a minute"


@pytest.mark.parametrize(
    ("chances", "sentence"),
    [
        ({1: Chance(True, None), 3: Chance(False, WaitEstimate(0, 600, 900))}, "With 3 GPUs about 10 min."),
        ({1: Chance(True, None), 3: Chance(False, WaitEstimate(0, 2000, 9000))}, "With 1 GPU you could start now."),
        ({1: Chance(False, WaitEstimate(0, 2000, 9000))}, ""),
        ({1: Chance(False, None)}, ""),
        ({}, ""),
    ],
)
def test_advice_names_the_most_gpus_that_are_much_quicker(chances, sentence):
    assert fewer_gpus_advice(chances, HALF_AN_HOUR) == sentence


@pytest.mark.parametrize(
    ("chance", "is_now", "sentence"),
    [
        (Chance(True, None), True, "So you could start now."),
        (Chance(False, HALF_AN_HOUR), True, "So it would wait about 35 min; 80 % between 10 min and 2 h."),
        (Chance(False, None), True, "So it would wait; how long, nobody knows yet."),
        (Chance(False, WaitEstimate(0, 0, 0)), False, "So it would start at once."),
    ],
)
def test_alternative_is_a_sentence(chance, is_now, sentence):
    assert alternative_sentence("So", chance, is_now=is_now) == sentence
