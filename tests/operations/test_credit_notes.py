"""An invoice is given back in parts: each has a number, none is given twice, and it stands until nothing is left."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from aiplatform_hub.domain.invoices import Kind, State
from aiplatform_hub.domain.partial_credits import Part
from aiplatform_hub.errors import ConflictError, InvalidOptionError
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.database import Database
from tests.support.billing import Office


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    office = Office(database, tmp_path)
    office.usual_november()
    return office


def test_an_invoice_stands_until_nothing_of_it_is_left(office: Office) -> None:
    issued = office.issued()
    first = office.invoices.credit(issued.id, reason="a node was slow", by="bea", parts=(Part(1, Decimal("1.41")),))
    assert (first.number, first.kind, first.credits, first.is_partial) == ("UE-2026-00002", Kind.CREDIT_NOTE, issued.number, True)
    assert (first.net, first.tax) == (Decimal("1.41"), Decimal("0.27"))
    assert office.invoices.find(first.id) == first
    assert office.invoices.find(issued.id).state is State.ISSUED
    paid = office.invoices.pay(issued.id, reference="", by="bea")
    second = office.invoices.credit(issued.id, reason="and another", by="bea", parts=(Part(1), Part(2)))
    assert ([str(line.amount) for line in second.lines], office.invoices.find(issued.id)) == (["5.00", "4.00"], paid)
    with pytest.raises(ConflictError, match="Line 2 of invoice UE-2026-00001 was given back already"):
        office.invoices.credit(issued.id, reason="again", by="bea", parts=(Part(2),))
    rest = office.invoices.credit(issued.id, reason="wrong address", by="bea")
    assert ([line.position for line in rest.lines], rest.is_partial) == ([3, 4], False)
    assert sum(note.total for note in (first, second, rest)) == issued.total
    void = office.invoices.find(issued.id)
    assert (void.state, void.credited_by) == (State.VOID, rest.number)
    assert office.issued().lines == issued.lines, "its month can be invoiced anew"


def test_what_was_given_back_is_not_demanded_again_as_a_correction(office: Office) -> None:
    issued = office.issued()
    office.invoices.credit(issued.id, reason="a node was slow", by="bea", parts=(Part(1),))
    office.now = office.now.replace(year=2027, month=1)
    assert "owes nothing" in office.invoices.draft("2026-12", by="bea", cost_centre="lab").left_out[0].reason


def test_a_refused_one_writes_nothing_and_takes_no_number(office: Office) -> None:
    issued = office.issued()
    with pytest.raises(InvalidOptionError, match="can be given back"):
        office.invoices.credit(issued.id, reason="too much", by="bea", parts=(Part(1, Decimal(1000)),))
    assert [each.id for each in office.invoices.latest({}, limit=9)] == [issued.id]
    note = office.invoices.credit(issued.id, reason="some", by="cleo", parts=(Part(1, Decimal(1)),))
    assert note.number == "UE-2026-00002"
    with office.database.read() as connection:
        event, *_ = AuditStore().latest(connection, limit=1)
    assert (event.actor, event.action, event.target) == ("cleo", "credit_invoice", "invoice:UE-2026-00002")
    assert event.detail["is_partial"] is True


def test_many_at_once_never_give_back_more_than_there_is(office: Office) -> None:
    issued = office.issued()

    def give(_: int) -> bool:
        try:
            office.invoices.credit(issued.id, reason="1", by="bea", parts=(Part(1, Decimal("2.00")),))
        except (ConflictError, InvalidOptionError):
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(give, range(8)))
    assert given.count(True) == 3, "6.41 is three times 2.00"
    notes = office.invoices.latest({"kind": "credit_note"}, limit=50)
    assert sorted(each.number or "" for each in notes) == ["UE-2026-00002", "UE-2026-00003", "UE-2026-00004"]
