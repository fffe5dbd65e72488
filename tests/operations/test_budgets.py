"""Budgets hold: what is committed and held never exceeds the limit, whoever launches at once, and what is not used comes back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.budgets import MICROS, Budget, Period, Scope, Spending, budget_reasons, claim_of
from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.errors import AIPlatformError, BudgetExhaustedError, ConflictError, InvalidOptionError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.budgets import BudgetDraft, Budgets
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.budget_tables import budget_periods
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.database import Database, TakenError
from aiplatform_hub.web.view_models.budgets import budget_bar
from tests.support.budgets import settler
from tests.support.chain import NOON, Chain, person, want
from tests.support.hold_worker import PATIENCE

PRICE = Decimal(2)
"""Of one GPU for one hour in the chain's catalogue."""
DRAFT = BudgetDraft("project", "personal", Decimal(80), "EUR", "month", "autumn")


class Place:
    """The chain with budgets."""

    def __init__(self, chain: Chain) -> None:
        self.chain, self.database, self.clock = chain, chain.database, chain.clock
        self.store = BudgetStore()
        audit = AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock)
        cards = {"cards": lambda: chain.catalog.rate_cards}
        self.budgets = Budgets(
            database=chain.database, budgets=self.store, devices=chain.devices, catalog=chain.catalog, audit_trail=audit, clock=chain.clock, **cards
        )
        self.settler = settler(chain.database, cards["cards"], chain.clock)

    def money(self) -> tuple[Decimal, Decimal, Decimal]:
        """Return what is committed, held and overdrawn now, over all budgets that count."""
        found = self.budgets.all()
        return tuple(sum((Decimal(getattr(each.spending, f"{name}_micros")) for each in found), Decimal(0)) / MICROS for name in ("committed", "held", "overdraft"))  # fmt: skip

    def periods(self) -> list[Any]:
        with self.database.read() as connection:
            return list(connection.execute(select(budget_periods).order_by(budget_periods.c.id)))

    def start(self, number: int, gpus: int, hours: int | None = None, name: str = "a") -> Any:
        held = self.chain.hold(person(number), name, replace(want(gpus), max_hours=hours))
        assert self.chain.meter.started(held.id, self.clock())
        return held

    def run(self, session: Any, **span: float) -> None:
        self.clock.move(**span)
        self.chain.meter.seen({session.id: self.clock()})

    def stop(self, session: Any) -> None:
        assert self.chain.meter.ended(session.id, self.clock(), EndCause.STOPPED_BY_USER)


@pytest.fixture
def place(chain: Chain) -> Place:
    chain.register(8)
    return Place(chain)


def test_a_launch_holds_its_planned_length_and_gives_back_what_it_does_not_use(place: Place) -> None:
    place.budgets.set(DRAFT, "boss")
    session = place.start(1, 2, hours=10)
    assert place.money() == (0, 40, 0)
    place.run(session, hours=3)
    place.settler.settle()
    assert place.money() == (12, 28, 0), "what it has used is committed, what it may still use is held"
    place.stop(session)
    assert place.settler.settle() == 1
    assert place.money() == (12, 0, 0)
    assert place.settler.settle() == 0, "what is settled stays settled"


def test_what_does_not_fit_is_refused_with_numbers_and_remedies_and_holds_nothing(place: Place) -> None:
    place.budgets.set(DRAFT, "boss")
    place.start(1, 2, hours=15)
    for may_wait in (False, True):
        with pytest.raises(BudgetExhaustedError) as refused:
            (place.chain.queue if may_wait else place.chain.hold)(person(2), "b", replace(want(2), max_hours=6))
        (reason,) = refused.value.reasons
        assert (reason.code, reason.scope, reason.limit, reason.used, reason.requested) == ("budget_exhausted", "project:personal", "80", "60", "24")
        assert "has 20.00 EUR left of 80.00 EUR" in reason.message
        assert reason.remedies[0] == "Plan for at most 5 hours, or choose fewer GPUs."
        assert "2026-12-01" in " ".join(reason.remedies)
    assert place.money() == (0, 60, 0)
    assert place.start(2, 2, hours=5)
    with pytest.raises(BudgetExhaustedError):
        place.start(3, 1, hours=1)
    assert place.start(3, 0), "what has no GPUs starts"


def test_the_decision_is_replayed_with_its_budget(place: Place) -> None:
    place.budgets.set(DRAFT, "boss")
    held = place.start(1, 2, hours=10)
    place.budgets.end(place.budgets.all()[0].budget.id, "boss")
    assert place.chain.enforcer.why(held.id).is_reproduced


def test_every_budget_that_pays_must_have_enough(place: Place) -> None:
    place.budgets.set(DRAFT, "boss")
    place.budgets.set(replace(DRAFT, scope="cost_centre", name="university", amount=Decimal(100)), "boss")
    place.budgets.set(replace(DRAFT, scope="person", name="user1", amount=Decimal(10), period="once"), "boss")
    with pytest.raises(BudgetExhaustedError, match="The budget of you has"):
        place.start(1, 2, hours=10)
    place.start(2, 2, hours=10)
    assert sorted(each.spending.held_micros // MICROS for each in place.budgets.all()) == [0, 40, 40]


def test_two_hundred_launches_at_once_for_a_budget_of_ten(place: Place, database_url: str) -> None:
    """Each process view has a connection of its own; GPUs and limits are not what is short."""
    place.chain.register(300)
    place.budgets.set(replace(DRAFT, amount=10 * PRICE), "boss")
    databases = [Database(url=database_url, lock_timeout=PATIENCE) for _ in range(4)]
    views = [replace(place.chain, database=database, policy=FIFO) for database in databases]
    gate = threading.Barrier(20)

    def launch(number: int) -> str:
        if number < 20:
            gate.wait()
        try:
            views[number % 4].hold(person(number + 1), "race", replace(want(1), max_hours=1))
        except AIPlatformError as error:
            return error.code
        return "held"

    try:
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(launch, range(200)))
    finally:
        for database in databases:
            database.close()
    assert (answers.count("held"), answers.count("budget_exhausted")) == (10, 190)
    assert place.money() == (0, 20, 0)


def test_the_database_itself_refuses_to_promise_more_than_the_limit(place: Place) -> None:
    budget = place.budgets.set(DRAFT, "boss")
    place.start(1, 1, hours=1)
    with pytest.raises(TakenError), place.database.write() as connection:
        connection.execute(update(budget_periods).where(budget_periods.c.budget_id == budget.id).values(held_micros=81 * MICROS))


def test_a_session_that_runs_longer_than_planned_is_overdraft_and_blocks_new_ones(place: Place) -> None:
    place.budgets.set(replace(DRAFT, amount=Decimal(8)), "boss")
    session = place.start(1, 2, hours=2)
    place.run(session, hours=3)
    place.settler.settle()
    assert place.money() == (12, 0, 4)
    with pytest.raises(BudgetExhaustedError):
        place.start(2, 1, hours=1)
    place.stop(session)
    place.settler.settle()
    assert place.money() == (12, 0, 4)


def test_a_month_that_ends_while_a_session_runs_is_paid_from_both(place: Place) -> None:
    place.budgets.set(DRAFT, "boss")
    place.clock.now = datetime(2026, 11, 30, 22, tzinfo=UTC)
    session = place.start(1, 1, hours=8)
    place.run(session, hours=5)
    place.settler.settle()
    place.settler.settle()
    november, december = place.periods()
    assert (november.committed_micros, november.held_micros) == (4 * MICROS, 0)
    assert (december.committed_micros, december.starts_at) == (6 * MICROS, datetime(2026, 12, 1, tzinfo=UTC))


def test_a_month_is_settled_once_what_ran_to_its_end_was_seen(place: Place) -> None:
    """The keeper was away over midnight: it looks at budgets before it has heard of the sessions again."""
    place.budgets.set(DRAFT, "boss")
    place.clock.now = datetime(2026, 11, 30, 22, tzinfo=UTC)
    session = place.start(1, 1, hours=8)
    place.run(session, hours=1)
    place.clock.move(hours=1, minutes=5)
    place.settler.settle()
    place.run(session, minutes=1)
    place.settler.settle()
    place.run(session, minutes=10)
    place.settler.settle()
    november = place.periods()[0]
    assert (november.committed_micros, november.held_micros) == (4 * MICROS, 0)


def test_sessions_from_before_and_those_without_gpus_count_too(place: Place) -> None:
    early = place.start(1, 1, hours=8)
    plain = place.start(2, 0)
    place.clock.move(hours=1)
    place.budgets.set(DRAFT, "boss")
    place.chain.meter.seen({early.id: place.clock(), plain.id: place.clock()})
    place.settler.settle()
    assert place.money() == (Decimal("2.1"), 0, 0)


def test_a_hold_that_went_back_to_the_queue_holds_again_when_its_turn_comes(place: Place) -> None:
    place.budgets.set(DRAFT, "boss")
    running = [place.start(number, 2, hours=1) for number in (1, 2, 3, 4)]
    waiting = place.chain.queue(person(5), "q", replace(want(2), max_hours=2))
    assert waiting.is_queued
    assert place.money()[1] == 16, "queue-time is free"
    place.stop(running[0])
    place.settler.settle()
    for _ in range(2):
        assert [held.id for held in place.chain.dispatch().held] == [waiting.id]
        assert place.money()[1] == 20
        assert place.chain.dispatcher.give_back(waiting.id)
    place.settler.settle()
    assert place.money()[1] == 12, "who waits holds nothing"
    place.budgets.end(place.budgets.all()[0].budget.id, "boss")
    place.budgets.set(replace(DRAFT, amount=Decimal(5)), "boss")
    assert place.chain.dispatch().held == ()
    assert place.chain.find(waiting).end_cause is EndCause.BUDGET_EXHAUSTED


def test_whose_turn_comes_while_the_keeper_counts_keeps_what_it_holds(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.budgets.set(DRAFT, "boss")
    running = [place.start(number, 2, hours=1) for number in (1, 2, 3, 4)]
    waiting = place.chain.queue(person(5), "q", replace(want(2), max_hours=2))
    place.stop(running[0])
    place.chain.dispatch()
    assert place.chain.dispatcher.give_back(waiting.id)
    costs = place.settler._costs

    def meanwhile(*arguments: Any) -> Any:
        found = costs(*arguments)
        assert [held.id for held in place.chain.dispatch().held] == [waiting.id]
        return found

    monkeypatch.setattr(place.settler, "_costs", meanwhile)
    place.settler.settle()
    assert place.money()[1] == 20


def test_what_ends_while_the_keeper_counts_is_counted_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.budgets.set(DRAFT, "boss")
    session = place.start(1, 1, hours=4)
    place.run(session, hours=1)
    costs = place.settler._costs

    def meanwhile(*arguments: Any) -> Any:
        found = costs(*arguments)
        place.clock.move(hours=1)
        place.stop(session)
        return found

    monkeypatch.setattr(place.settler, "_costs", meanwhile)
    place.settler.settle()
    monkeypatch.undo()
    place.settler.settle()
    assert place.money() == (4, 0, 0)


def test_a_hold_that_gives_way_to_another_request_gives_back_what_it_held(place: Place) -> None:
    place.budgets.set(replace(DRAFT, amount=Decimal(8)), "boss")
    place.chain.hold(person(1), "a", replace(want(1), max_hours=4))
    place.chain.take_up(person(1), "a", replace(want(1), max_hours=3), spawner_id=1)
    assert place.money() == (0, 6, 0)


def test_wrong_budgets_are_refused_by_field(place: Place) -> None:
    wrong = {
        "scope": "galaxy", "name": "nothing", "amount": Decimal(0), "currency": "USD", "period": "year", "reason": " ",
        "ends_at": NOON - timedelta(days=1),
    }  # fmt: skip
    for field, value in wrong.items():
        with pytest.raises(InvalidOptionError) as refused:
            place.budgets.set(replace(DRAFT, **{field: value}), "boss")
        assert refused.value.reasons[0].field == field
    for amount in (Decimal(-1), Decimal("NaN"), Decimal("0.0000001"), Decimal(10**10)):
        with pytest.raises(InvalidOptionError):
            place.budgets.set(replace(DRAFT, amount=amount), "boss")
    with pytest.raises(InvalidOptionError, match="needs its end"):
        place.budgets.set(replace(DRAFT, period="term"), "boss")
    assert place.budgets.all() == ()


def test_one_budget_at_a_time_and_an_ended_one_stays_on_record(place: Place) -> None:
    first = place.budgets.set(DRAFT, "boss")
    with pytest.raises(ConflictError, match="end it first"):
        place.budgets.set(DRAFT, "boss")
    session = place.start(1, 1, hours=1)
    place.budgets.end(first.id, "boss")
    with pytest.raises(ConflictError, match="ended already"):
        place.budgets.end(first.id, "boss")
    with pytest.raises(NotFoundError):
        place.budgets.end(session.id, "boss")
    assert place.settler.settle() == 1, "nothing is held by an ended budget"
    place.budgets.set(replace(DRAFT, amount=Decimal(1)), "boss")
    assert len(place.periods()) == 1
    with place.database.read() as connection:
        actions = [event.action for event in AuditStore().latest(connection, limit=9)]
    assert actions == ["set_budget", "end_budget", "set_budget"]


def test_a_budget_that_begins_later_is_shown_and_holds_nothing_yet(place: Place) -> None:
    later = NOON + timedelta(days=40)
    budget = place.budgets.set(replace(DRAFT, amount=Decimal(1), starts_at=later), "boss")
    (standing,) = place.budgets.all()
    assert (standing.budget, standing.limit_micros, standing.spending) == (budget, MICROS, Spending())
    assert place.budgets.runway(standing) is None
    assert budget_bar(standing, None, place.clock()).note == f"begins {later:%Y-%m-%d %H:%M} (UTC)"
    assert place.start(1, 2, hours=5), "what it will refuse starts as long as it does not count"
    term = replace(DRAFT, period="term", ends_at=later + timedelta(days=9))
    changed = place.budgets.set(term, "boss", replaces=budget.id)
    assert changed.starts_at == later, "a change does not make it begin"
    place.clock.move(days=60)
    assert place.budgets.all() == (), "it is over"


@settings(max_examples=200)
@given(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 200), st.decimals(0, 1000, places=6))
def test_what_fits_never_exceeds_the_limit(limit: int, committed: int, held: int, hours: int, price: Decimal) -> None:
    budget = Budget(UUID(int=1), Scope.PERSON, "a", limit, "EUR", Period.MONTH, NOON, None, "", "boss", NOON)
    claim = claim_of(budget, Spending(committed, held), limit, price, "EUR", hours, NOON)
    assert claim.wanted_micros >= price * hours * MICROS
    assert claim.fits is (committed + held + claim.wanted_micros <= limit or claim.wanted_micros == 0)
    assert bool(budget_reasons([claim])) is not claim.fits
