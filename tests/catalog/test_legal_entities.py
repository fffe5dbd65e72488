"""Who sends invoices, and what the catalogue says to what is wrong with them."""

from __future__ import annotations

import struct
import zlib
from decimal import Decimal

import pytest

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.errors import CatalogError
from tests.support.invoices import picture

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


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a part of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def load(folder, entities, centre="legal_entity: uni"):
    texts = (f"{name}: {{{', '.join(f'{key}: {value}' for key, value in entity.items())}}}" for name, entity in entities.items())
    (folder / "legal_entities.yaml").write_text("\n".join(texts))
    (folder / "cost_centres.yaml").write_text(f"lab: {{display_name: Lab, {centre}}}")
    return load_catalog([folder])


def test_what_is_written_is_what_counts(tmp_path):
    catalog = load(tmp_path, {"uni": RIGHT}, 'legal_entity: uni, code: "4711", address: [Labweg 2], country: DE, tax_id: DE1')
    entity, lab = catalog.legal_entities["uni"], catalog.cost_centres["lab"]
    assert (entity.display_name, entity.tax_percent, entity.payment_days, entity.accounting_url) == ("Uni", Decimal(19), 14, RIGHT["accounting_url"])
    assert (entity.iban, entity.bic, entity.registration_id, entity.email, entity.logo) == ("", "", "", "", b"")
    assert (lab.legal_entity, lab.code, lab.address, lab.country, lab.tax_id) == ("uni", "4711", ("Labweg 2",), "DE", "DE1")
    assert catalog.cost_centres["personal"].legal_entity is None


def test_what_stands_on_paper_is_read(tmp_path):
    (tmp_path / "logo.png").write_bytes(picture())
    more = {
        "iban": "DE02 1203 0000 0000 2020 51",
        "bic": "BYLADEM1001",
        "registration_id": "HRB 1",
        "email": "a@example.org",
        "logo": "logo.png",
        "tax_id": "DE1234",
    }
    entity = load(tmp_path, {"uni": {**RIGHT, **more}}, "legal_entity: uni, email: lab@example.org").legal_entities["uni"]
    assert (entity.iban, entity.bic, entity.registration_id, entity.email) == ("DE02120300000000202051", "BYLADEM1001", "HRB 1", "a@example.org")
    assert entity.logo == picture()
    greek = {"uni": {**RIGHT, "country": "GR", "tax_id": "EL123456789"}}
    assert load(tmp_path, greek).legal_entities["uni"].tax_id == "EL123456789"


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
        ({"iban": "DE02120300000000202052"}, "iban: is not an IBAN: a letter or digit is wrong, missing or swapped"),
        ({"iban": "account 17"}, "iban: is not an IBAN"),
        ({"iban": "DE02120300000000202051", "bic": "bank"}, "bic must be 8 or 11 capital letters and digits"),
        ({"bic": "BYLADEM1001"}, "bic: is there without iban"),
        ({"email": "nobody"}, "email must be an address such as billing@example.org"),
        ({"tax_id": "FR12345678901"}, "tax_id: begins with FR, but country is DE"),
        ({"logo": "../logo.png"}, "logo: write the name of a PNG or JPEG file in the same folder"),
        ({"logo": "17"}, "logo: write the name of a PNG or JPEG file in the same folder"),
        ({"logo": "none.png"}, "logo: none.png cannot be read: No such file"),
        ({"logo": "large.png"}, "logo: large.png has 32769 bytes; at most 32768 fit"),
        ({"logo": "broken.png"}, "logo: broken.png is no PNG or JPEG that can be read"),
        ({"logo": "bomb.png"}, "logo: bomb.png is no PNG or JPEG that can be read"),
        ({"logo": "huge.png"}, "logo: huge.png is no PNG or JPEG that can be read, with at most 4000000 pixels"),
    ],
)
def test_wrong_values_are_named_with_their_line(tmp_path, wrong, said):
    (tmp_path / "large.png").write_bytes(picture() + b"0" * (32_769 - len(picture())))
    (tmp_path / "broken.png").write_bytes(picture()[:50])
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)) + chunk(b"IDAT", b""))
    (tmp_path / "huge.png").write_bytes(picture(size=(2001, 2000)))
    with pytest.raises(CatalogError) as refused:
        load(tmp_path, {"uni": {**RIGHT, **wrong}})
    assert f"{tmp_path / 'legal_entities.yaml'}:1: uni: " in str(refused.value)
    assert said in str(refused.value)


def test_references_that_lead_nowhere_and_prefixes_that_stand_twice_are_named(tmp_path):
    with pytest.raises(CatalogError, match=r"legal_entities.yaml:2: .*uni has the same prefix UE-; two invoices would have one number"):
        load(tmp_path, {"uni": RIGHT, "clinic": RIGHT})
    with pytest.raises(CatalogError, match=r"cost_centres.yaml:1: lab: .*legal entity.*unii"):
        load(tmp_path, {"uni": RIGHT}, "legal_entity: unii")
