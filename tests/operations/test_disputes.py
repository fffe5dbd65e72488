"""What is behind a line is what it demands, and what is said about it is kept, told and audited, each in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert, select, update

from aiplatform_hub.domain.disputes import DisputeState
from aiplatform_hub.domain.invoices import Invoice
from aiplatform_hub.errors import AIPlatformError, ConflictError, InvalidOptionError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.billing_reader import MONTHS, BillingReader
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.operations.disputes import Disputes
from aiplatform_hub.operations.notices import Notices
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.database import Database, DatabaseBusyError, TakenError
from aiplatform_hub.storage.dispute_tables import dispute_entries, invoice_disputes
from aiplatform_hub.storage.disputes import DisputeFilter, DisputeStore
from aiplatform_hub.storage.invoice_heads import InvoiceHeads
from aiplatform_hub.storage.notifications import NotificationStore
from aiplatform_hub.storage.schema import audit_events
from tests.support.billing import CATALOG, NOVEMBER, Office

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What does not depend on the database."""
ADMINS = ("boss", "chief")


@pytest.fixture
def office(database: Database, tmp_path) -> Office:
    office = Office(database, tmp_path)
    office.usual_november()
    return office


@pytest.fixture
def reader(office: Office) -> BillingReader:
    charges = ChargeReader(uses=ChargedUseStore(), cards=lambda: CATALOG.rate_cards)
    return BillingReader(
        database=office.database,
        invoices=office.store,
        heads=InvoiceHeads(),
        disputes=DisputeStore(),
        charges=charges,
        credits_=CreditReader(charges=charges, credits_=CreditStore()),
    )


def notices_on(database: Database, office: Office) -> Notices:
    return Notices(database=database, notifications=NotificationStore(), catalog=CATALOG, channels=("mail",), clock=office.clock)


def desk_on(database: Database, office: Office) -> Disputes:
    """Return a desk as another process has it, if the database is its own."""
    trail = AuditTrail(database=database, audit=AuditStore(), clock=office.clock)
    notices = notices_on(database, office)
    return Disputes(database=database, disputes=DisputeStore(), invoices=office.store, notices=notices, audit_trail=trail, clock=office.clock)


@pytest.fixture
def notices(office: Office) -> Notices:
    return notices_on(office.database, office)


@pytest.fixture
def desk(office: Office) -> Disputes:
    return desk_on(office.database, office)


def audited(office: Office) -> list[tuple[str, str]]:
    with office.database.read() as connection:
        rows = connection.execute(select(audit_events.c.actor, audit_events.c.action).order_by(audit_events.c.id)).all()
    return [(row.actor, row.action) for row in rows if "dispute" in row.action]


def test_the_sessions_behind_each_line_add_up_to_it(office: Office, reader: BillingReader) -> None:
    office.used("lab", NOVEMBER + timedelta(days=5), 2)
    invoice = office.issued()
    sessions = {}
    for line in invoice.lines:
        _, found = reader.sessions(invoice.id, line.position)
        sessions[line.position] = [(share.user_name, str(share.amount)) for share in found.sessions]
        assert found.amount == Decimal(line.exact_amount.numerator) / line.exact_amount.denominator
        assert not found.invoiced_before
    assert sessions == {
        1: [("ada", "6.406400")],
        2: [("ada", "4.000000")],
        3: [("ada", "12.800000"), ("ada", "6.400000")],
        4: [("ada", "13.600000")],
    }


@ON_ONE
def test_a_session_is_shown_charge_by_charge_and_none_that_is_not_behind_the_line(office: Office, reader: BillingReader) -> None:
    invoice = office.issued()
    over_the_change = reader.sessions(invoice.id, 3)[1].sessions[0].allocation_id
    _, line, charges = reader.session(invoice.id, 3, over_the_change)
    assert [(str(each.amount), each.is_in_line) for each in charges] == [("12.800000", True), ("13.600000", False)], "the card changed while it ran"
    assert line.amount == Decimal("12.80")
    other = reader.sessions(invoice.id, 1)[1].sessions[0].allocation_id
    for position, allocation in ((3, other), (3, uuid4())):
        with pytest.raises(NotFoundError, match="is not behind line 3"):
            reader.session(invoice.id, position, allocation)
    with pytest.raises(NotFoundError, match="has no line 9"):
        reader.sessions(invoice.id, 9)


@ON_ONE
def test_what_the_ledger_learns_later_is_said(office: Office, reader: BillingReader) -> None:
    invoice = office.issued()
    office.used("lab", NOVEMBER + timedelta(days=2), 1)
    _, found = reader.sessions(invoice.id, 3)
    assert (found.invoiced_before, found.is_own_month) == (Decimal("3.200000"), True)


@ON_ONE
def test_months_count_disputes_that_wait(office: Office, reader: BillingReader, desk: Disputes) -> None:
    invoice = office.issued()
    first, _ = desk.open(invoice.id, 1, text="Twice?", by="vera")
    desk.open(invoice.id, 2, text="And this?", by="vera")
    desk.answer(first.id, text="No.", by="boss")
    found = reader.months()
    assert [(head.cost_centre, head.number) for head in found.documents] == [("lab", "UE-2026-00001")]
    assert (found.open_disputes, found.earlier_than) == ({invoice.id: 1}, None)
    assert reader.months(before=NOVEMBER).documents == ()
    assert [each.position for each, _ in desk.latest(DisputeFilter(DisputeState.OPEN), limit=9)] == [2]


@ON_ONE
def test_older_months_follow(office: Office, reader: BillingReader) -> None:
    invoice = office.issued()
    with office.database.write() as connection:
        for back in range(1, MONTHS + 2):
            year, month = 2026 - (back > 10), (10 - back) % 12 + 1
            start = NOVEMBER.replace(year=year, month=month)
            office.store.insert(connection, replace(invoice, id=uuid4(), number=f"X{back}", period_start=start, lines=()))
    newest = reader.months()
    assert (len(newest.documents), newest.documents[0].id) == (MONTHS, invoice.id)
    older = reader.months(before=newest.earlier_than)
    assert (len(older.documents), older.earlier_than) == (2, None)
    assert not {head.id for head in older.documents} & {head.id for head in newest.documents}


def test_a_dispute_goes_back_and_forth_and_the_other_side_is_told(office: Office, desk: Disputes, notices: Notices) -> None:
    invoice = office.issued()
    opened, _ = desk.open(invoice.id, 1, text="Twice?\nLook.", by="vera", tell=(*ADMINS, "vera"))
    desk.answer(opened.id, text="Once.", by="boss")
    desk.reply(opened.id, text="Still.", by="otto", tell=ADMINS)
    desk.answer(opened.id, text="Look again.", by="chief")
    done, _ = desk.withdraw(opened.id, by="vera", tell=ADMINS)
    stored, found = desk.find(opened.id)
    assert stored == done
    assert found == invoice
    assert [(entry.by, entry.kind.value, entry.text) for entry in stored.entries] == [
        ("vera", "opened", "Twice?\nLook."),
        ("boss", "answered", "Once."),
        ("otto", "replied", "Still."),
        ("chief", "answered", "Look again."),
        ("vera", "withdrawn", ""),
    ]
    told = {name: [each.words.subject for each in reversed(notices.of(name, limit=9))] for name in ("vera", "otto", *ADMINS)}
    about = "line 1 of invoice UE-2026-00001"
    to_admins = [f"vera disputes {about}", f"otto disputes {about}", f"vera withdrew the dispute of {about}"]
    assert told == {
        "vera": [f"boss answered your dispute of {about}", f"chief answered your dispute of {about}"],
        "otto": [f"chief answered your dispute of {about}"],
        "boss": to_admins,
        "chief": to_admins,
    }
    assert notices.of("boss", limit=9)[2].notice.page == f"billing/invoices/{invoice.id}/lines/1"
    assert audited(office) == [
        ("vera", "open_dispute"),
        ("boss", "answer_dispute"),
        ("otto", "reply_dispute"),
        ("chief", "answer_dispute"),
        ("vera", "withdraw_dispute"),
    ]


def test_nothing_is_half_written_where_the_audit_row_fails(office: Office, desk: Disputes, notices: Notices, monkeypatch) -> None:
    invoice = office.issued()

    def broken(*_args, **_kwargs):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(desk._audit, "record", broken)
        desk.open(invoice.id, 1, text="Twice?", by="vera", tell=ADMINS)
    assert desk.of_invoice(invoice.id) == ()
    assert notices.of("boss", limit=9) == ()


@ON_ONE
def test_what_cannot_be_disputed_is_refused_by_name(office: Office, desk: Disputes) -> None:
    (draft,) = office.invoices.draft("2026-11", by="bea", cost_centre="library").invoices
    with pytest.raises(ConflictError, match="This is a draft"):
        desk.open(draft.id, 1, text="Twice?", by="vera")
    invoice = office.issued()
    with pytest.raises(NotFoundError, match="has no line 9"):
        desk.open(invoice.id, 9, text="Twice?", by="vera")
    with pytest.raises(NotFoundError, match="There is no invoice"):
        desk.open(uuid4(), 1, text="Twice?", by="vera")
    with pytest.raises(InvalidOptionError, match="the text is empty"):
        desk.open(invoice.id, 1, text="  ", by="vera")
    with pytest.raises(NotFoundError, match="There is no dispute"):
        desk.answer(uuid4(), text="No.", by="boss")
    office.invoices.credit(invoice.id, reason="wrong", by="bea")
    with pytest.raises(ConflictError, match="taken back by UE-2026-00002"):
        desk.open(invoice.id, 1, text="Twice?", by="vera")
    assert desk.latest(DisputeFilter(), limit=9) == ()
    assert audited(office) == []


def test_what_was_said_stays_and_makes_sense_whoever_writes(office: Office, desk: Disputes) -> None:
    opened, _ = desk.open(office.issued().id, 1, text="Twice?", by="vera")
    entry = {"dispute_id": opened.id, "number": 2, "kind": "answered", "by": "boss", "at": office.now, "text": "x"}
    wrong = [
        update(dispute_entries).values(text="other"),
        delete(dispute_entries),
        update(invoice_disputes).values(position=2),
        delete(invoice_disputes),
        insert(dispute_entries).values({**entry, "kind": "opened"}),
        insert(dispute_entries).values({**entry, "kind": "forgotten"}),
        insert(dispute_entries).values({**entry, "number": 1}),
        insert(dispute_entries).values({**entry, "dispute_id": uuid4()}),
        insert(invoice_disputes).values(id=uuid4(), invoice_id=opened.invoice_id, position=77),
    ]
    for statement in wrong:
        with pytest.raises(TakenError), office.database.write() as connection:
            connection.execute(statement)
    assert desk.of_invoice(opened.invoice_id) == (opened,)


def _together(acts: list[Callable[[], object]]) -> list[AIPlatformError | None]:
    def one(act: Callable[[], object]) -> AIPlatformError | None:
        while True:
            try:
                act()
            except DatabaseBusyError:
                continue  # nothing was written: the same may be tried again
            except AIPlatformError as error:
                return error
            return None

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(one, acts))


def test_of_many_who_speak_at_once_each_is_heard_in_a_place_of_their_own(office: Office, desk: Disputes) -> None:
    invoice: Invoice = office.issued()
    databases = [Database(url=office.database.url) for _ in range(4)]  # writers of one process wait for each other anyway
    desks = [desk_on(each, office) for each in databases]
    opened = _together([lambda each=each: each.open(invoice.id, 1, text="Twice?", by="vera") for each in desks])
    assert sorted(type(error).__name__ for error in opened) == [*["ConflictError"] * 3, "NoneType"], "a line is disputed once"
    (dispute,) = desk.of_invoice(invoice.id)
    acts = [lambda each=each, number=number: each.reply(dispute.id, text=str(number), by="vera") for number, each in enumerate(desks)]
    assert _together(acts) == [None] * 4
    (dispute,) = desk.of_invoice(invoice.id)
    assert [entry.number for entry in dispute.entries] == list(range(1, 6))
    assert {entry.text for entry in dispute.entries[1:]} == set("0123")
    for each in databases:
        each.close()
