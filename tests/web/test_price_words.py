"""Rate cards in words: states, off-peak hours, what a charge is for."""

from __future__ import annotations

from dataclasses import replace
from datetime import time
from decimal import Decimal

import pytest

from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.off_peak import OffPeak, Window
from aiplatform_hub.domain.sample_prices import sample_prices
from aiplatform_hub.web.view_models.prices import charged_what, off_peak_words
from tests.web.price_samples import NEW, NIGHTS, OLD, page_of
from tests.web.samples import CATALOG, HOSTILE


def test_each_card_says_whether_it_counts_and_only_what_is_to_come_can_be_changed() -> None:
    found = {card.version: (card.state, card.can_change, card.is_folded) for card in page_of().cards}
    assert found == {HOSTILE: ("To come", True, False), "2027-01": ("Withdrawn", False, True), OLD.version: ("In force", False, False)}


def test_change_begins_with_its_version_and_keeps_it_after_a_refusal() -> None:
    assert (page_of(change="2027-01").changing, page_of(changing="2027-01", document="x").document) == ("2027-01", "x")
    assert page_of(done="2027-01").done == "The rate card 2027-01 is withdrawn."


@pytest.mark.parametrize(
    ("weekdays", "words"),
    [
        (range(1, 8), "30 % less every day from 22:00 to 06:00 on the next day"),
        ((1, 2, 3, 7), "30 % less on Mon–Wed, Sun from"),
        ((6,), "30 % less on Sat from"),
    ],
)
def test_off_peak_hours_are_a_sentence(weekdays: range, words: str) -> None:
    off_peak = OffPeak("America/New_York", Decimal(30), (Window(frozenset(weekdays), time(22), time(6)),))
    assert off_peak_words(off_peak).startswith(words)
    assert off_peak_words(off_peak).endswith("by the clocks of America/New York.")


def test_samples_cost_by_every_sku_and_less_off_peak() -> None:
    for sample in sample_prices(NEW, CATALOG, ("h100",)):
        usual = NEW.gpu_hour["h100"] * sample.gpus if sample.gpus else NEW.cpu_only_hour
        usual += sample.cpu_cores * NEW.cpu_core_hour + sample.memory_gib * NEW.memory_gib_hour
        assert (sample.per_hour, sample.off_peak_per_hour) == (usual, usual * Decimal("0.7"))
    assert all(sample.off_peak_per_hour is None for sample in sample_prices(OLD, CATALOG, ()))
    always = replace(NIGHTS, windows=(Window(frozenset(range(1, 8)), time(0), time(0)),))
    assert all(sample.per_hour == sample.off_peak_per_hour for sample in sample_prices(replace(NEW, off_peak=always), CATALOG, ()))


def test_charge_says_what_it_is_for() -> None:
    found = [charged_what(sku, 2, "NVIDIA H100", is_off_peak=sku is Sku.GPU_HOUR) for sku in Sku]
    assert found == ["2 × NVIDIA H100, off-peak", "2 × NVIDIA H100, idle", "No GPU", "2 CPU cores", "2 GiB of memory", "2 GiB of storage", "Paid by a credit"]
