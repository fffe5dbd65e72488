"""Who sends invoices, and what the catalogue says to what is wrong with them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.errors import CatalogError

RIGHT = {
    "display_name": "Uni",
    "address": "[Street 1]",
    "country": "DE",
    "number_prefix": "UE-",
    "currency": "EUR",
    "tax_percent": '"19"',
    "payment_days": "14",
    "accounting_url": "https://books.example.org/invoices",
}


def load(folder, entities, centre="legal_entity: uni"):
    texts = (f"{name}: {{{', '.join(f'{key}: {value}' for key, value in entity.items())}}}" for name, entity in entities.items())
    (folder / "legal_entities.yaml").write_text("\n".join(texts))
    (folder / "cost_centres.yaml").write_text(f"lab: {{display_name: Lab, {centre}}}")
    return load_catalog([folder])


def test_what_is_written_is_what_counts(tmp_path):
    catalog = load(tmp_path, {"uni": RIGHT}, 'legal_entity: uni, code: "4711", address: [Labweg 2], country: DE, tax_id: DE1')
    entity, lab = catalog.legal_entities["uni"], catalog.cost_centres["lab"]
    assert (entity.display_name, entity.tax_percent, entity.payment_days, entity.accounting_url) == ("Uni", Decimal(19), 14, RIGHT["accounting_url"])
    assert (lab.legal_entity, lab.code, lab.address, lab.country, lab.tax_id) == ("uni", "4711", ("Labweg 2",), "DE", "DE1")
    assert catalog.cost_centres["personal"].legal_entity is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"country": "Germany"}, "must be two capital letters (DE)"),
        ({"number_prefix": '"1"'}, "must be 1 to 16 capital letters"),
        ({"currency": "euro"}, "must be three capital letters (EUR), or credits"),
        ({"tax_percent": "19"}, "write a tax as a quoted decimal from 0 to 100"),
        ({"tax_percent": '"119"'}, "write a tax as a quoted decimal from 0 to 100"),
        ({"tax_percent": '"-1"'}, "write a tax as a quoted decimal from 0 to 100"),
        ({"address": "[]"}, "must not be empty"),
        ({"accounting_url": "https://me:secret@books.example.org"}, "must be an address without a name or password in it"),
        ({"vat": '"19"'}, "vat"),
    ],
)
def test_wrong_values_are_named_with_their_line(tmp_path, wrong, said):
    with pytest.raises(CatalogError) as refused:
        load(tmp_path, {"uni": {**RIGHT, **wrong}})
    assert f"{tmp_path / 'legal_entities.yaml'}:1: uni: " in str(refused.value)
    assert said in str(refused.value)


def test_references_that_lead_nowhere_and_prefixes_that_stand_twice_are_named(tmp_path):
    with pytest.raises(CatalogError, match=r"legal_entities.yaml:2: .*uni has the same prefix UE-; two invoices would have one number"):
        load(tmp_path, {"uni": RIGHT, "clinic": RIGHT})
    with pytest.raises(CatalogError, match=r"cost_centres.yaml:1: lab: .*legal entity.*unii"):
        load(tmp_path, {"uni": RIGHT}, "legal_entity: unii")
