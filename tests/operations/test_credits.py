"""Credits over a real database: given and ended once, counted in reports and on invoices, the same in every process."""

from __future__ import annotations

import io
import json
import os
import signal
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update

from aiplatform_hub.domain.budgets import Scope
from aiplatform_hub.domain.catalog import Project
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.billing_reader import BillingReader
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.charge_reporter import ReportQuery
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.operations.credit_settler import CreditSettler
from aiplatform_hub.operations.credits import CreditDraft, Credits
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.credit_tables import credits_
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.database import Database, TakenError
from aiplatform_hub.storage.disputes import DisputeStore
from aiplatform_hub.storage.invoice_heads import InvoiceHeads
from aiplatform_hub.storage.schema import audit_events
from aiplatform_hub.storage.usage_sums import UsageSums
from tests.support.billing import CATALOG, DECEMBER, NOVEMBER, OCTOBER, Office
from tests.support.charging import Charging

STORE = CreditStore()
DRAFT = CreditDraft("project", "vision", Decimal(20), "EUR", "a course", expires_at=DECEMBER)


@pytest.fixture
def office(database, tmp_path) -> Office:
    return Office(database, tmp_path, now=OCTOBER)


def desk(office: Office) -> Credits:
    catalog = replace(CATALOG, projects={"vision": Project("vision", "Vision", "lab")})
    trail = AuditTrail(database=office.database, audit=AuditStore(), clock=office.clock)
    return Credits(database=office.database, credits_=STORE, catalog=catalog, cards=lambda: CATALOG.rate_cards, audit_trail=trail, clock=office.clock)


def reader() -> CreditReader:
    return CreditReader(charges=ChargeReader(uses=ChargedUseStore(), cards=lambda: CATALOG.rate_cards), credits_=STORE)


def report(office: Office, *groups: str, format_="json", start=NOVEMBER, end=DECEMBER, **filters: str) -> bytes:
    made = Charging(office.database, CATALOG.rate_cards, lambda: DECEMBER + timedelta(days=1)).reporter
    stream = io.BytesIO()
    made.write(ReportQuery(start, end, format_, groups, filters), stream)
    return stream.getvalue()


def total(office: Office, **more) -> dict[str, str]:
    (found,) = json.loads(report(office, **more))["totals"]
    return {name: found[name] for name in ("cost", "credits", "net_cost")}


def audited(office: Office) -> list[str]:
    with office.database.read() as connection:
        return list(connection.execute(select(audit_events.c.action).order_by(audit_events.c.id)).scalars())


def test_it_is_given_and_ended_once_with_an_audit_row_each(office) -> None:
    credit = desk(office).grant(DRAFT, "root")
    assert (credit.starts_at, credit.scope, credit.amount) == (OCTOBER, Scope.PROJECT, 20)
    office.now += timedelta(days=2)
    desk(office).end(credit.id, "root")
    with pytest.raises(ConflictError):
        desk(office).end(credit.id, "root")
    with pytest.raises(NotFoundError):
        desk(office).end(UUID(int=1), "root")
    (balance,) = desk(office).all()
    assert (balance.credit.ended_at, balance.state(office.now)) == (office.now, "ended")
    assert audited(office) == ["grant_credit", "end_credit"]


WRONG = (
    ({"scope": "galaxy"}, "scope"),
    ({"name": "nobody's"}, "name"),
    ({"scope": "person", "name": ""}, "name"),
    ({"amount": Decimal(0)}, "amount"),
    ({"amount": Decimal("NaN")}, "amount"),
    ({"amount": Decimal("0.0000001")}, "amount"),
    ({"amount": Decimal(10**10)}, "amount"),
    ({"currency": "USD"}, "currency"),
    ({"reason": " "}, "reason"),
    ({"priority": -1}, "priority"),
    ({"starts_at": OCTOBER - timedelta(microseconds=1)}, "starts_at"),
    ({"expires_at": OCTOBER}, "expires_at"),
    ({"starts_at": DECEMBER}, "expires_at"),
)


def test_a_wrong_one_is_refused_by_field_and_nothing_is_written(office) -> None:
    for change, field in WRONG:
        with pytest.raises(InvalidOptionError) as refused:
            desk(office).grant(replace(DRAFT, **change), "root")
        assert refused.value.reasons[0].field == field, change
    assert (desk(office).all(), audited(office)) == ((), [])


def test_the_database_keeps_what_was_given(office) -> None:
    desk(office).grant(DRAFT, "root")
    changes = ({"amount_micros": 1}, {"expires_at": OCTOBER + timedelta(days=1)}, {"priority": 0}, {"name": "nlp"})
    for statement in (*(update(credits_).values(ended_at=OCTOBER, **change) for change in changes), delete(credits_)):
        with pytest.raises(TakenError), office.database.write() as connection:
            connection.execute(statement)


def test_one_that_has_ended_never_pays_again_whoever_writes(office) -> None:
    credit = desk(office).grant(DRAFT, "root")
    desk(office).end(credit.id, "root")
    with pytest.raises(TakenError), office.database.write() as connection:
        connection.execute(update(credits_).values(ended_at=None))


def test_reports_say_what_credits_paid_in_any_group_and_any_part(office) -> None:
    office.now = NOVEMBER - timedelta(days=1)
    desk(office).grant(DRAFT, "root")
    office.usual_november()
    whole = total(office)
    assert whole["credits"] == "20.000000"
    assert Decimal(whole["net_cost"]) == Decimal(whole["cost"]) - 20
    rows = json.loads(report(office, "project", "day", "user"))["rows"]
    assert sum(Decimal(row["credits"]) for row in rows) == 20
    assert {row["keys"]["project"] for row in rows if Decimal(row["credits"])} == {"vision"}
    middle = NOVEMBER + timedelta(days=14, hours=5, minutes=7)
    parts = [total(office, start=low, end=high)["credits"] for low, high in ((NOVEMBER, middle), (middle, DECEMBER))]
    assert sum(map(Decimal, parts)) == 20, "a report of a part says what was paid in it, whatever was paid before"
    assert total(office, cost_centre="guests")["credits"] != total(office, cost_centre="lab")["credits"]
    focus = report(office, format_="focus").decode()
    assert focus.count(",Credit,") > 0


def test_an_invoice_takes_back_what_each_credit_paid_and_a_difference_follows(office) -> None:
    desk(office).grant(replace(DRAFT, amount=Decimal(1000), expires_at=None), "root")
    office.usual_november()
    office.now = DECEMBER + timedelta(hours=1)
    invoice = office.issued()
    (line,) = [line for line in invoice.lines if line.sku.value == "credit"]
    with office.database.read() as connection:
        payments = [payment for payment in reader().payments(connection, NOVEMBER, DECEMBER) if payment.charge.cost_centre == "lab"]
    assert line.exact_amount == -sum((payment.amount for payment in payments), Fraction(0))
    assert (line.project, line.price, line.is_correction) == ("vision", 1, False)
    assert sum((each.amount for each in invoice.lines), Decimal(0)) == invoice.net
    assert all(not card.startswith("credit") for card in invoice.rate_cards)
    looks = BillingReader(
        database=office.database,
        invoices=office.store,
        heads=InvoiceHeads(),
        disputes=DisputeStore(),
        charges=ChargeReader(uses=ChargedUseStore(), cards=lambda: CATALOG.rate_cards),
        credits_=reader(),
    )
    _, behind = looks.sessions(invoice.id, line.position)
    assert (behind.amount, behind.invoiced_before) == (sum((share.amount for share in behind.sessions), Decimal(0)), 0)
    assert abs(Fraction(behind.amount) - line.exact_amount) <= Fraction(1, 10**6)
    _, _, pieces = looks.session(invoice.id, line.position, behind.sessions[0].allocation_id)
    assert all(piece.is_in_line for piece in pieces)
    office.used("lab", NOVEMBER + timedelta(hours=1), 1)
    office.used("lab", DECEMBER + timedelta(hours=2), 1)
    office.now = DECEMBER + timedelta(days=32)
    (later,) = office.invoices.draft("2026-12", by="bea", cost_centre="lab").invoices
    assert [(each.sku.value, each.is_correction) for each in later.lines][-2:] == [("gpu_hour", True), ("credit", True)]


def test_the_keepers_balance_is_what_the_ledger_says(office) -> None:
    credit = desk(office).grant(replace(DRAFT, amount=Decimal(1000)), "root")
    settler = CreditSettler(database=office.database, credits_=STORE, reader=reader(), sums=UsageSums(), clock=office.clock)
    assert settler.settle() == 0, "it has not begun"
    for days in (1, 10, 15, 31):
        office.now = NOVEMBER + timedelta(days=days, hours=3)
        office.used("lab", office.now - timedelta(hours=30), 7.77)
        settler.settle()
        with office.database.read() as connection:
            exact = sum((payment.amount for payment in reader().payments(connection, OCTOBER, office.now)), Fraction(0))
        (balance,) = desk(office).all()
        assert (balance.credit.id, balance.as_of) == (credit.id, office.now)
        assert abs(Fraction(balance.paid_micros, 10**6) - exact) < Fraction(1, 10**6)


def test_a_grant_that_is_killed_is_not_there_and_one_that_is_not_is(office, database_url) -> None:
    child = os.fork()
    if not child:
        mine = Office(Database(url=database_url), office.folder, now=OCTOBER)
        made = desk(mine)
        record = made._audit.record

        def record_and_die(*args, **more) -> None:
            record(*args, **more)
            os.kill(os.getpid(), signal.SIGKILL)

        made._audit.record = record_and_die
        made.grant(DRAFT, "root")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert (desk(office).all(), audited(office)) == ((), [])
    desk(office).grant(DRAFT, "root")
    assert (len(desk(office).all()), audited(office)) == (1, ["grant_credit"])
