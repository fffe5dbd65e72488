"""What was printed of an invoice can be printed again, byte by byte, whatever became of it and of the catalogue since."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, update

from aiplatform_hub.reports.invoice_formats import INVOICE_FORMATS
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.invoice_tables import invoices
from tests.support.billing import CATALOG, DECEMBER, Office
from tests.support.invoices import SELLER

PRINTED = tuple(each for name, each in INVOICE_FORMATS.items() if name not in {"csv", "json"})
"""The others also have the state."""
MADE = replace(CATALOG, legal_entities={"university": SELLER})


def test_paying_taking_back_and_another_catalogue_change_nothing_that_was_printed(database: Database, tmp_path: Path) -> None:
    office = Office(database, tmp_path, catalog=MADE)
    office.usual_november()
    one = office.issued()
    assert (one.seller.logo, one.iban, one.bic, one.seller.registration_id) == (SELLER.logo, SELLER.iban, SELLER.bic, SELLER.registration_id)
    printed = [each.write(one) for each in PRINTED]
    office.invoices.pay(one.id, reference="SEPA 1", by="bea")
    office.invoices.credit(one.id, reason="Wrong address", by="bea")
    moved = replace(SELLER, display_name="University of Elsewhere", logo=b"", iban="", bic="")
    later = Office(database, tmp_path, catalog=replace(MADE, legal_entities={"university": moved}), now=DECEMBER + timedelta(days=400))
    assert [each.write(later.invoices.find(one.id)) for each in PRINTED] == printed


def test_a_draft_says_what_the_catalogue_says_and_another_logo_is_not_issued_unseen(database: Database, tmp_path: Path) -> None:
    office = Office(database, tmp_path, catalog=MADE)
    office.usual_november()
    (draft,) = office.invoices.draft("2026-11", by="bea", cost_centre="lab").invoices
    found = office.invoices.find(draft.id)
    assert (found, found.fingerprint) == (draft, draft.fingerprint)
    assert replace(found, seller=replace(found.seller, logo=b"")).fingerprint != draft.fingerprint
    assert replace(found, iban="").fingerprint != draft.fingerprint


def test_an_invoice_from_before_there_were_logos_and_accounts_is_read(database: Database, tmp_path: Path) -> None:
    office = Office(database, tmp_path)
    office.usual_november()
    (draft,) = office.invoices.draft("2026-11", by="bea", cost_centre="lab").invoices
    with database.write() as connection:
        document = json.loads(connection.execute(select(invoices.c.document).where(invoices.c.id == draft.id)).scalar_one())
        for name in ("iban", "bic"):
            del document[name]
        for party in ("seller", "buyer"):
            document[party] = {name: document[party][name] for name in ("name", "address", "country", "tax_id", "code")}
        connection.execute(update(invoices).where(invoices.c.id == draft.id).values(document=json.dumps(document)))
    assert office.invoices.find(draft.id) == draft
