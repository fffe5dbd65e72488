"""What is asked wrongly about money is refused by its name, on every database; nothing is half-written."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from aiplatform_hub.domain.partial_credits import Part
from aiplatform_hub.errors import ConflictError, InvalidOptionError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.budgets import BudgetDraft, Budgets
from aiplatform_hub.operations.credits import CreditDraft, Credits
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.database import Database
from tests.support.billing import CATALOG, DECEMBER, NOVEMBER, OCTOBER, UNIVERSITY, Office
from tests.support.chain import Chain

BUDGET = BudgetDraft("person", "ada", Decimal(80), "EUR", "month", "autumn")
CREDIT = CreditDraft("person", "ada", Decimal(5), "EUR", "a course")
ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What does not depend on the database."""


class Desk:
    """Who sets budgets and gives credits."""

    def __init__(self, chain: Chain) -> None:
        shared = {"database": chain.database, "catalog": chain.catalog, "cards": lambda: chain.catalog.rate_cards}
        shared |= {"audit_trail": AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock), "clock": chain.clock}
        self.budgets = Budgets(budgets=BudgetStore(), devices=chain.devices, **shared)
        self.credits = Credits(credits_=CreditStore(), **shared)


@pytest.fixture
def desk(chain: Chain) -> Desk:
    return Desk(chain)


@pytest.fixture
def office(database: Database, tmp_path) -> Office:
    return Office(database, tmp_path)


@pytest.mark.parametrize("amount", ["1E+999999", "-1E+999999", "1E-999999", "NaN", "sNaN", "-Infinity", "0", "1.0000000000000000000000000000001"])
def test_an_amount_that_is_none_is_named(desk: Desk, amount: str) -> None:
    with pytest.raises(InvalidOptionError, match="The amount is more than 0"):
        desk.budgets.set(replace(BUDGET, amount=Decimal(amount)), "boss")
    with pytest.raises(InvalidOptionError, match="The amount is more than 0"):
        desk.credits.grant(replace(CREDIT, amount=Decimal(amount)), "boss")
    assert (desk.budgets.all(), desk.credits.all()) == ((), ())


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "one\x1b[31m"])
def test_words_that_cannot_be_shown_are_named(desk: Desk, text: str) -> None:
    for field in ("name", "reason"):
        with pytest.raises(InvalidOptionError, match="cannot be shown"):
            desk.budgets.set(replace(BUDGET, **{field: text}), "boss")
        with pytest.raises(InvalidOptionError, match="cannot be shown"):
            desk.credits.grant(replace(CREDIT, **{field: text}), "boss")
    assert (desk.budgets.all(), desk.credits.all()) == ((), ())


@ON_ONE
@pytest.mark.parametrize("amount", ["1E+999999999", "NaN", "sNaN", "Infinity", "-1", "0", "1E-999999999", "12.801"])
def test_no_more_is_given_back_than_there_is(office: Office, amount: str) -> None:
    office.usual_november()
    issued = office.issued()
    with pytest.raises(InvalidOptionError, match=r"Of line 3 can be given back 12\.80 or less|more than 2 decimal places"):
        office.invoices.credit(issued.id, reason="x", by="bea", parts=[Part(3, Decimal(amount))])


@ON_ONE
@pytest.mark.parametrize("month", ["0001-01", "9999-12", "1969-12"])
def test_a_month_before_or_after_all_time_is_named(office: Office, month: str) -> None:
    with pytest.raises((InvalidOptionError, ConflictError)):
        office.invoices.draft(month, by="bea")
    with pytest.raises((InvalidOptionError, ConflictError)):
        office.invoices.draft(month, by="bea", cost_centre="lab")


def test_a_budget_that_is_over_makes_room_for_the_next(desk: Desk, chain: Chain) -> None:
    term = desk.budgets.set(replace(BUDGET, period="term", ends_at=chain.clock() + timedelta(days=30)), "boss")
    with pytest.raises(ConflictError, match=str(term.id)):
        desk.budgets.set(replace(BUDGET, period="once"), "boss")
    chain.clock.move(days=30)
    after = desk.budgets.set(replace(BUDGET, period="term", ends_at=chain.clock() + timedelta(days=30)), "boss")
    assert [each.budget.id for each in desk.budgets.all()] == [after.id]


@ON_ONE
def test_a_budget_that_is_to_come_is_named_where_it_is_in_the_way(desk: Desk, chain: Chain) -> None:
    later = desk.budgets.set(replace(BUDGET, period="once", starts_at=chain.clock() + timedelta(days=30)), "boss")
    with pytest.raises(ConflictError, match=f"{later.id}.*2026-12-24"):
        desk.budgets.set(BUDGET, "boss")


@ON_ONE
def test_a_correction_is_invoiced_once_whatever_is_issued_in_which_order(office: Office) -> None:
    """Two months are drafted while a third waits for its correction: whichever is issued first has it, and the other is drafted anew."""
    office.now = DECEMBER + timedelta(days=32)
    office.used("lab", OCTOBER, 10)
    office.issued("lab", "2026-10")
    office.used("lab", NOVEMBER, 1)
    office.used("library", DECEMBER, 1)
    office.used("lab", DECEMBER, 1)
    office.used("lab", OCTOBER + timedelta(days=1), 0.5)
    november = office.invoices.draft("2026-11", by="bea", cost_centre="lab").invoices
    lab, library = office.invoices.draft("2026-12", by="bea").invoices
    with pytest.raises(ConflictError, match="has changed since it was drafted"):
        office.invoices.issue([library.id, *(each.id for each in november), lab.id], by="bea")
    said = [line for each in office.invoices.latest({}, limit=50) if each.number for line in each.lines if line.is_correction]
    assert [(line.month, line.amount) for line in said] == [(OCTOBER, Decimal("1.60"))]


@ON_ONE
def test_what_another_process_issues_meanwhile_is_not_demanded_twice(office: Office) -> None:
    office.now = DECEMBER + timedelta(days=32)
    office.used("lab", OCTOBER, 10)
    office.issued("lab", "2026-10")
    for month in (NOVEMBER, DECEMBER):
        office.used("lab", month, 1)
    office.used("lab", OCTOBER + timedelta(days=1), 0.5)
    (november,) = office.invoices.draft("2026-11", by="bea", cost_centre="lab").invoices
    (december,) = office.invoices.draft("2026-12", by="bea", cost_centre="lab").invoices
    fresh = office.drafter.drafts("2026-12", by="bea")
    other = Office(office.database, office.folder, now=office.now)
    other.invoices.issue([november.id], by="cleo")
    with pytest.raises(ConflictError, match="was issued or taken back at this moment"):
        office.invoices._issue_one(december, "bea", fresh.demanded["lab"])
    assert office.invoices.find(december.id).number is None
    office.invoices.draft("2026-12", by="bea", cost_centre="lab")
    assert office.issued("lab", "2026-12").number == "UE-2027-00003", "the one that was refused left no gap"


@ON_ONE
def test_all_that_was_issued_is_read_however_many_there_are(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiplatform_hub.operations.invoices.AT_ONCE", 1)
    office.usual_november()
    issued = office.issued(), office.issued("library")
    office.used("lab", OCTOBER, 1)
    office.invoices.draft("2026-10", by="bea", cost_centre="lab")
    assert tuple(office.invoices.documents({})) == issued, "and no draft"
    assert tuple(office.invoices.documents({"cost_centre": "library"})) == issued[1:]


@ON_ONE
def test_a_prefix_that_gave_the_number_before_is_named(office: Office) -> None:
    office.usual_november()
    office.issued()
    renamed = replace(UNIVERSITY, name="uni")
    centres = {name: replace(centre, legal_entity="uni") for name, centre in CATALOG.cost_centres.items()}
    other = Office(office.database, office.folder, catalog=replace(CATALOG, cost_centres=centres, legal_entities={"uni": renamed}), now=office.now)
    with pytest.raises(ConflictError, match=r"UE-2026-00001.*number_prefix"):
        other.issued("library")
