"""Invoices are right to the cent, have numbers without a gap, and never change once they are issued."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import delete, insert, text, update

from aiplatform_hub.domain.invoices import Kind, State
from aiplatform_hub.errors import ConflictError, InvalidOptionError, LedgerError, NotFoundError
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.database import Database, TakenError
from aiplatform_hub.storage.invoice_tables import invoice_lines, invoice_numbers, invoices
from tests.support.billing import CATALOG, DECEMBER, NOVEMBER, OCTOBER, UNIVERSITY, Office

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What does not depend on the database."""


@pytest.fixture
def office(database: Database, tmp_path) -> Office:
    return Office(database, tmp_path)


def test_a_month_is_drafted_by_cost_centre_and_adds_up(office: Office) -> None:
    office.usual_november()
    drafts = office.invoices.draft("2026-11", by="bea")
    lab, library = drafts.invoices
    rows = [(line.project, line.sku.value, line.rate_card, str(line.quantity), str(line.price), str(line.amount)) for line in lab.lines]
    assert rows == [
        ("nlp", "gpu_hour", "2026", "2.002000", "3.20", "6.41"),  # 6.4064: the largest remainder, so that all add up to 36.81
        ("nlp", "cpu_only_hour", "2026", "100.000000", "0.04", "4.00"),
        ("vision", "gpu_hour", "2026", "4.000000", "3.20", "12.80"),
        ("vision", "gpu_hour", "2026-11-15", "4.000000", "3.40", "13.60"),
    ]
    assert (lab.net, lab.tax, lab.total, lab.currency) == (Decimal("36.81"), Decimal("6.99"), Decimal("43.80"), "EUR")
    assert library.net == Decimal("3.40"), "the part of its session after the month belongs to the next"
    assert [(each.cost_centre, "legal entity" in each.reason) for each in drafts.left_out] == [("guests", True)]
    assert office.invoices.find(lab.id) == lab, "what is stored is what was drafted"
    assert (lab.state, lab.number, lab.buyer.code, lab.seller.name) == (State.DRAFT, None, "4711", "University of Example")


@ON_ONE
def test_a_draft_is_replaced_by_the_next(office: Office) -> None:
    office.usual_november()
    first = office.invoices.draft("2026-11", by="bea").invoices
    second = office.invoices.draft("2026-11", by="bea").invoices
    assert [each.fingerprint for each in first] == [each.fingerprint for each in second]
    assert {each.id for each in office.invoices.latest({}, limit=50)} == {each.id for each in second}
    office.invoices.drop(second[0].id, by="bea")
    assert [each.id for each in office.invoices.latest({}, limit=50)] == [second[1].id]


@ON_ONE
def test_numbers_follow_each_other_in_each_year(office: Office) -> None:
    office.used("lab", OCTOBER, 1)
    office.usual_november()
    numbers = [office.issued("lab", "2026-10").number, office.issued("lab").number]
    office.now = office.now.replace(year=2027, month=1)
    numbers.append(office.issued("library").number)
    assert numbers == ["UE-2026-00001", "UE-2026-00002", "UE-2027-00001"]


@ON_ONE
def test_an_issue_that_does_not_commit_leaves_no_gap(office: Office, monkeypatch) -> None:
    office.usual_november()
    (draft,) = office.invoices.draft("2026-11", by="bea", cost_centre="lab").invoices

    def broken(*_args, **_kwargs):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(office.outbox, "put", broken)
        office.invoices.issue([draft.id], by="bea")
    assert office.invoices.find(draft.id).state is State.DRAFT
    assert office.invoices.issue([draft.id], by="bea")[0].number == "UE-2026-00001"


@ON_ONE
@pytest.mark.parametrize("now", [NOVEMBER + timedelta(days=5), DECEMBER - timedelta(microseconds=1)])
def test_a_month_that_is_not_over_is_refused(office: Office, now) -> None:
    office.now = now
    with pytest.raises(ConflictError, match="2026-11 is not over: it ends on 2026-12-01"):
        office.invoices.draft("2026-11", by="bea")


@ON_ONE
def test_a_session_that_began_in_the_month_and_still_runs_is_waited_for(office: Office) -> None:
    office.used("lab", NOVEMBER + timedelta(days=9), 0, is_open=True)
    with pytest.raises(ConflictError, match="complete until 2026-11-10 00:00 UTC only"):
        office.invoices.draft("2026-11", by="bea")


@ON_ONE
def test_a_ledger_that_does_not_verify_is_refused(office: Office) -> None:
    office.usual_november()
    (draft,) = office.invoices.draft("2026-11", by="bea", cost_centre="lab").invoices
    with office.database.write() as connection:
        connection.execute(text("UPDATE usage_intervals SET gpus = 7 WHERE sequence = 2"))
    with pytest.raises(LedgerError, match="sequence 2"):
        office.invoices.draft("2026-11", by="bea")
    with pytest.raises(LedgerError, match="sequence 2"):
        office.invoices.issue([draft.id], by="bea")


@ON_ONE
@pytest.mark.parametrize("month", ["2026-13", "november", "2026-1", "26-11", ""])
def test_what_is_no_month_is_named(office: Office, month: str) -> None:
    with pytest.raises(InvalidOptionError, match="not a month; write for example 2026-11"):
        office.invoices.draft(month, by="bea")


@ON_ONE
def test_charges_in_another_currency_are_named(office: Office) -> None:
    office.usual_november()
    office = Office(office.database, office.folder, catalog=replace(CATALOG, legal_entities={"university": replace(UNIVERSITY, currency="CHF")}))
    drafts = office.invoices.draft("2026-11", by="bea")
    assert not drafts.invoices
    assert "lab has charges in EUR in 2026-11, but university invoices in CHF" in " ".join(each.reason for each in drafts.left_out)


@ON_ONE
def test_a_draft_that_no_longer_fits_is_not_issued(office: Office) -> None:
    office.usual_november()
    (draft,) = office.invoices.draft("2026-11", by="bea", cost_centre="lab").invoices
    office.used("lab", NOVEMBER + timedelta(days=1), 1)
    with pytest.raises(ConflictError, match=r"has changed since it was drafted: it demands .* and now it would be .*Draft it anew"):
        office.invoices.issue([draft.id], by="bea")
    assert office.issued().number == "UE-2026-00001"


@ON_ONE
def test_a_clock_behind_the_last_issue_is_refused(office: Office) -> None:
    office.usual_november()
    office.issued("lab")
    office.now -= timedelta(minutes=30)
    with pytest.raises(ConflictError, match="set it right first"):
        office.issued("library")


def test_an_issued_invoice_never_changes_whoever_writes(office: Office) -> None:
    office.usual_november()
    issued = office.issued()
    mine = invoices.c.id == issued.id
    lines = invoice_lines.c.invoice_id == issued.id
    line = {"invoice_id": issued.id, "position": 99, "project": "x", "sku": "gpu_hour", "rate_card": "x", "is_off_peak": False, "is_correction": False}
    money = {"list_price": Decimal(1), "price": Decimal(1), "month": NOVEMBER, "unit_microseconds": Decimal(1), "amount": Decimal(1)}
    wrong = [
        update(invoices).where(mine).values(net=Decimal(1)),
        update(invoices).where(mine).values(number="UE-2026-00009"),
        update(invoices).where(mine).values(document="{}"),
        update(invoices).where(mine).values(state="draft", number=None, issued_at=None),
        delete(invoices).where(mine),
        update(invoice_lines).where(lines).values(amount=Decimal(1)),
        delete(invoice_lines).where(lines),
        insert(invoice_lines).values(**line, **money),
        update(invoice_numbers).values(last=7),
        update(invoice_numbers).values(last=1),
        delete(invoice_numbers),
    ]
    for statement in wrong:
        with pytest.raises(TakenError), office.database.write() as connection:
            connection.execute(statement)
    assert office.invoices.find(issued.id) == issued
    with pytest.raises(ConflictError, match="UE-2026-00001 is issued and never goes"):
        office.invoices.drop(issued.id, by="bea")
    with pytest.raises(ConflictError, match="is issued already"):
        office.invoices.issue([issued.id], by="bea")
    assert not office.invoices.draft("2026-11", by="bea", cost_centre="lab").invoices, "its month is not drafted again"


@ON_ONE
def test_an_invoice_is_paid_once(office: Office) -> None:
    office.usual_november()
    issued = office.issued()
    office.now += timedelta(days=3)
    for at in (office.now + timedelta(hours=1), office.now - timedelta(days=4)):
        with pytest.raises(InvalidOptionError, match="only be paid between then and now"):
            office.invoices.pay(issued.id, reference="SEPA 17", by="bea", at=at)
    paid = office.invoices.pay(issued.id, reference="SEPA 17", by="bea")
    assert (paid.state, paid.payment_reference, paid.paid_at) == (State.PAID, "SEPA 17", office.now)
    assert office.invoices.find(issued.id) == paid
    with pytest.raises(ConflictError, match="is paid; only an issued one can be paid"):
        office.invoices.pay(issued.id, reference="again", by="bea")


def test_a_credit_note_voids_its_invoice_and_the_month_can_be_drafted_anew(office: Office) -> None:
    office.usual_november()
    issued = office.issued()
    with pytest.raises(InvalidOptionError, match="Say why"):
        office.invoices.credit(issued.id, reason=" ", by="bea")
    note = office.invoices.credit(issued.id, reason="wrong address", by="bea")
    assert (note.kind, note.state, note.number, note.credits, note.reason) == (
        Kind.CREDIT_NOTE,
        State.ISSUED,
        "UE-2026-00002",
        "UE-2026-00001",
        "wrong address",
    )
    assert (note.lines, note.total) == (issued.lines, issued.total)
    before = office.invoices.find(issued.id)
    assert (before.state, before.credited_by) == (State.VOID, "UE-2026-00002")
    for wrong in (issued.id, note.id):
        with pytest.raises(ConflictError):
            office.invoices.credit(wrong, reason="again", by="bea")
    again = office.issued()
    assert (again.number, again.lines) == ("UE-2026-00003", issued.lines)


def test_a_difference_found_later_becomes_a_correction_line(office: Office) -> None:
    office.used("lab", OCTOBER, 10)
    office.used("lab", OCTOBER, 1, project="nlp")
    october = office.issued("lab", "2026-10")
    office.usual_november()
    assert not any(line.is_correction for line in office.invoices.draft("2026-11", by="bea").invoices[0].lines)
    office.used("lab", OCTOBER + timedelta(days=1), 0.5)  # as a correction would: October now holds half an hour more
    november = office.issued()
    corrections = [(line.month, line.project, line.quantity, line.amount) for line in november.lines if line.is_correction]
    assert corrections == [(OCTOBER, "vision", Decimal("0.500000"), Decimal("1.60"))]
    assert november.net == sum(line.amount for line in november.lines)
    office.now = DECEMBER + timedelta(days=31, hours=1)
    office.used("lab", DECEMBER, 1)
    assert not any(line.is_correction for line in office.issued("lab", "2026-12").lines), "a difference is invoiced once"
    office.invoices.credit(october.id, reason="anew", by="bea")
    anew = office.issued("lab", "2026-10")
    assert anew.net == Decimal("35.20"), "what a later invoice demanded for October is not demanded twice"
    assert sum(line.unit_microseconds for line in anew.lines) == sum(line.unit_microseconds for line in october.lines)


def test_each_act_is_audited_and_told_to_the_accounting_with_it(office: Office) -> None:
    office.usual_november()
    issued = office.issued()
    office.invoices.pay(issued.id, reference="", by="bea")
    note = office.invoices.credit(issued.id, reason="anew", by="cleo")
    with office.database.read() as connection:
        events = AuditStore().latest(connection, limit=10)
    assert [(event.actor, event.action, event.target) for event in reversed(events)][1:] == [
        ("bea", "issue_invoice", "invoice:UE-2026-00001"),
        ("bea", "pay_invoice", "invoice:UE-2026-00001"),
        ("cleo", "credit_invoice", "invoice:UE-2026-00002"),
    ]
    told = [*office.invoices.hand_overs(issued.id), *office.invoices.hand_overs(note.id)]
    assert [message.event for message in told] == ["issued", "paid", "issued"]
    bodies = [json.loads(message.body) for message in told]
    assert [body["id"] for body in bodies] == [str(message.id) for message in told]
    assert [(body["invoice"]["number"], body["invoice"]["state"], body["invoice"]["credits"]) for body in bodies] == [
        ("UE-2026-00001", "issued", None),
        ("UE-2026-00001", "paid", None),
        ("UE-2026-00002", "issued", "UE-2026-00001"),
    ]


@ON_ONE
def test_what_is_not_there_is_named(office: Office) -> None:
    with pytest.raises(InvalidOptionError, match="There is no cost centre “attic”"):
        office.invoices.draft("2026-11", by="bea", cost_centre="attic")
    with pytest.raises(NotFoundError, match="There is no invoice UE-1"):
        office.invoices.find_number("UE-1")
    assert "owes nothing" in office.invoices.draft("2026-11", by="bea", cost_centre="lab").left_out[0].reason
    assert "gets no invoices" in office.invoices.draft("2026-11", by="bea", cost_centre="guests").left_out[0].reason
