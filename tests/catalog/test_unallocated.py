"""What a rate card says of GPUs that nobody held, and who leads a project: read as written, and every fault named."""

from __future__ import annotations

from decimal import Decimal

import pytest

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.catalog.rate_cards import read_rate_card
from aiplatform_hub.domain.catalog import Share, Unallocated
from aiplatform_hub.errors import CatalogError, ConfigurationError

CARD = 'effective_from: 2027-01-01T00:00:00Z\ncurrency: EUR\ncpu_only_hour: "0.04"\ngpu_hour: {"*": "1.00"}\n'


def card(rule: str):
    return read_rate_card(f"{CARD}{rule}\n", "2027-01", catalog=load_catalog())


def test_what_is_written_is_what_counts(tmp_path):
    assert card("").unallocated == Unallocated(Share.NONE)
    rule = card('unallocated: {share: evenly, gpu_hour: {h100: "1.50", "*": "0.50"}, cost_centres: [personal]}').unallocated
    assert rule == Unallocated(Share.EVENLY, {"h100": Decimal("1.50"), "*": Decimal("0.50")}, ("personal",))
    (tmp_path / "projects.yaml").write_text("vision: {display_name: Vision, cost_centre: personal, leads: [lea, ben, lea]}\n")
    catalog = load_catalog([tmp_path])
    assert (catalog.projects["vision"].leads, catalog.projects["personal"].leads) == (("lea", "ben"), ())


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{share: fairly}", "way to share"),
        ("{}", "share"),
        ("{share: evenly, gpu_hour: {h1000: '1'}}", "GPU type"),
        ("{share: evenly, gpu_hour: {h100: '-1'}}", "is negative"),
        ("{share: evenly, cost_centres: [persona]}", "cost centre"),
        ("{share: none, cost_centres: [personal]}", "leave it out"),
        ("{share: evenly, among: [personal]}", "among"),
    ],
)
def test_wrong_rules_are_named_with_their_line(tmp_path, rule, said):
    with pytest.raises(ConfigurationError) as refused:
        card(f"unallocated: {rule}")
    assert said in str(refused.value)
    assert "document:5" in str(refused.value)
    entry = "".join(f"  {line}\n" for line in f"{CARD}unallocated: {rule}".splitlines())
    (tmp_path / "rates.yaml").write_text(f'"2027-01":\n{entry}')
    with pytest.raises(CatalogError, match=r"rates.yaml:6: 2027-01: "):
        load_catalog([tmp_path])
