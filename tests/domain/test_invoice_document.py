"""What is printed of an invoice are its own words and numbers, and nothing that becomes of it later."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.invoice_document import SKU_WORDS, amount_text, document_of, price_text, quantity_text
from aiplatform_hub.domain.invoices import paid, void
from tests.support.invoices import DECEMBER, LAB, SELLER, credited, draft, invoice

NUMBERS = st.decimals(-(10**9), 10**9, places=6)


def read(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


@settings(max_examples=100, deadline=None)
@given(NUMBERS)
def test_no_digit_of_a_number_is_lost(number):
    assert read(amount_text(number)) == read(price_text(number)) == read(quantity_text(number)) == number


@pytest.mark.parametrize(
    ("number", "price", "quantity"), [("3.2", "3.20", "3.2"), ("0.0375", "0.0375", "0.0375"), ("1000", "1,000.00", "1,000"), ("0", "0.00", "0")]
)
def test_numbers_have_the_places_that_they_need(number, price, quantity):
    assert (price_text(Decimal(number)), quantity_text(Decimal(number))) == (price, quantity)


def test_every_sku_has_words():
    assert set(SKU_WORDS) == set(Sku)


def test_lines_are_by_project_and_add_up():
    one = invoice()
    document = document_of(one)
    assert [group.heading for group in document.groups] == [
        "Project nlp",
        "Project vision",
        "Credits, project nlp",
        "Correction for October 2026, project vision",
    ]
    printed = [line for group in document.groups for line in group.lines]
    assert [(read(line.quantity), read(line.price), read(line.amount)) for line in printed] == [(line.quantity, line.price, line.amount) for line in one.lines]
    (paid_by_credit,) = document.groups[2].lines
    assert (paid_by_credit.quantity, paid_by_credit.unit, paid_by_credit.amount) == ("-14", "EUR", "-14.00")
    assert paid_by_credit.detail == "credit 00000000-0000-0000-0000-000000000007"
    assert sum(read(group.amount) for group in document.groups) == one.net == read(document.sums[0][1])
    assert (document.sums[1], read(document.total)) == (("Tax 19 %", amount_text(one.tax)), one.total)
    assert {line.discount for line in printed if line.price != line.list_price} == {"10 %", "55 %"}
    assert [line.detail for line in printed if line.discount == "55 %"] == ["off-peak · rate card card-0"] * 2


def test_facts_name_number_dates_and_cost_centre():
    assert dict(document_of(invoice()).facts) == {
        "Number": "UE-2026-00017",
        "Date": "1 December 2026",
        "Due on": "31 December 2026",
        "For": "November 2026 (UTC)",
        "Cost centre": "lab (4711)",
        "Currency": "EUR",
    }
    assert dict(document_of(credited()).facts)["Takes back"] == "invoice UE-2026-00017"
    assert document_of(draft()).is_draft


def test_notes_say_where_to_pay_and_what_is_estimated():
    notes = document_of(invoice()).notes
    assert notes[0] == "Please pay within 30 days to IBAN DE02 1203 0000 0000 2020 51, BIC BYLADEM1001, stating UE-2026-00017."
    assert notes[1].endswith("nobody saw when those sessions ended: 8.")
    assert document_of(credited()).notes[0] == "This credit note takes invoice UE-2026-00017 back. Reason: Wrong address"
    untaxed = document_of(invoice(replace(SELLER, tax_percent=None, iban="", payment_account="our bank", payment_days=0)))
    assert untaxed.notes[:2] == ("Please pay at once to our bank, stating UE-2026-00017.", "No tax is charged.")
    assert [word for word, _ in untaxed.sums] == ["Net"]


def test_what_becomes_of_it_later_is_not_printed():
    one = invoice(SELLER, LAB)
    assert document_of(one) == document_of(paid(one, at=DECEMBER, reference="SEPA 1")) == document_of(void(one, credited_by="UE-2026-00018"))
