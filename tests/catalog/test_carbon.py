"""Carbon factors hold for whole days, and a file that says them wrongly is told what is right."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.domain.catalog import CarbonFactor
from aiplatform_hub.errors import CatalogError


def load(folder, text):
    (folder / "carbon.yaml").write_text(text)
    return load_catalog([folder]).carbon_factors


def test_factors_are_in_the_order_of_their_days(tmp_path):
    text = '"2027": {effective_from: 2027-01-01, grams_per_kwh: "362.5"}\n"2026": {effective_from: 2026-01-01, grams_per_kwh: "400"}\n'
    assert load(tmp_path, text) == (
        CarbonFactor("2026", datetime(2026, 1, 1, tzinfo=UTC), Decimal(400)),
        CarbonFactor("2027", datetime(2027, 1, 1, tzinfo=UTC), Decimal("362.5")),
    )
    assert load_catalog().carbon_factors == (), "nobody knows where the machine stands"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {effective_from: 2027-01-01T12:00:00Z, grams_per_kwh: '1'}", "write a day without a time"),
        ("a: {effective_from: 2027-02-29, grams_per_kwh: '1'}", "write a day without a time"),
        ("a: {effective_from: 2027-01-01, grams_per_kwh: 363}", "write grams as a quoted decimal"),
        ("a: {effective_from: 2027-01-01, grams_per_kwh: '-1'}", "write grams as a quoted decimal"),
        ("a: {effective_from: 2027-01-01}", "grams_per_kwh"),
        (
            "a: {effective_from: 2027-01-01, grams_per_kwh: '1'}\nb: {effective_from: 2027-01-01, grams_per_kwh: '2'}",
            "another carbon factor begins on the same day",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    with pytest.raises(CatalogError, match=r"carbon\.yaml:1") as refused:
        load(tmp_path, text)
    assert words in str(refused.value)
