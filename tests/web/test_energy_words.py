"""A session's page says what energy its GPUs took, and of how much of its time that is known."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import pytest

from aiplatform_hub.domain.energy import Energy
from aiplatform_hub.web.view_models.energy import energy_line, energy_total

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("found", "gpus", "words"),
    [
        (None, 1, ""),
        (Energy(Fraction(1, 2), HOUR, None), 1, "Its GPU took 500 Wh."),
        (Energy(Fraction(5, 4), 2 * HOUR, Fraction(500)), 2, "Its GPUs took 1.25 kWh, 500 g of CO2."),
        (Energy(Fraction(0), HOUR, Fraction(0)), 1, "Its GPU took 0 Wh, 0 g of CO2."),
        (Energy(Fraction(10), HOUR / 2, Fraction(3625)), 1, "Its GPU took 10 kWh, 3.62 kg of CO2. Measured for 30 min of 1 h."),
    ],
)
def test_energy_in_words(found, gpus, words):
    assert energy_line(found, HOUR, gpus).replace("\u00a0", " ") == words


def test_energy_of_a_span_says_that_it_may_be_a_part():
    assert energy_total(None) == ""
    assert energy_total(Energy(Fraction(12), HOUR, Fraction(990))).replace("\u00a0", " ") == "They took 12 kWh, 990 g of CO2, as far as it was measured."
