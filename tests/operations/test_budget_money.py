"""Budgets follow the money: sessions that are moved, people's storage, and what credits pay, each with corrections and never with edits."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from aiplatform_hub.domain.budgets import MICROS, OVERDRAWN, Adjustment, Scope, adjustment_words
from aiplatform_hub.domain.credits import Credit
from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.domain.storage_samples import StorageSample, day_of
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.errors import AIPlatformError, BudgetExhaustedError, ConflictError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.operations.session_moves import SessionMoves
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.budget_tables import budget_holds
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.session_moves import SessionMoveStore
from aiplatform_hub.storage.storage_samples import StorageSampleStore
from tests.operations.test_budget_limits import STOP, Limits
from tests.operations.test_budgets import DRAFT
from tests.support.budgets import settler
from tests.support.chain import CATALOG, Chain, person, want

VISION = replace(DRAFT, name="vision", amount=Decimal(20))
PRICED = replace(CATALOG, rate_cards=tuple(replace(card, storage_gib_month=Decimal(3)) for card in CATALOG.rate_cards))
"""A GiB costs 0.1 each day of November."""
ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Money(Limits):
    """The same with what moves money apart from launches."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self.mover = SessionMoves(
            database=chain.database,
            catalog=chain.catalog,
            allocations=AllocationStore(),
            moves=SessionMoveStore(),
            uses=ChargedUseStore(),
            cards=lambda: chain.catalog.rate_cards,
            audit_trail=AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock),
            clock=chain.clock,
        )

    def ran(self, number: int, gpus: int, hours: int, name: str = "a") -> Any:
        """Return a session of a project of one's own that has ended."""
        session = self.start(number, gpus, hours=hours, name=name)
        self.run(session, hours=hours)
        self.stop(session)
        self.settler.settle()
        return session

    def stored(self, user: str, gib: int, at: datetime) -> None:
        with self.database.write() as connection:
            StorageSampleStore().add(connection, [StorageSample(user, day_of(at), at, gib * GIB, "personal", "university")])

    def granted(self, amount: int, scope: Scope = Scope.PROJECT, name: str = "personal") -> Credit:
        now = self.clock()
        credit = Credit(uuid4(), scope, name, amount * MICROS, "EUR", 100, now, None, "a course", "boss", now)
        with self.database.write() as connection:
            CreditStore().insert(connection, credit)
        return credit

    def of(self, name: str) -> tuple[Decimal, Decimal, Decimal]:
        """Return what is committed, held and overdrawn of the present period of one budget."""
        (found,) = (each.spending for each in self.budgets.all() if each.budget.name == name)
        return tuple(Decimal(each) / MICROS for each in (found.committed_micros, found.held_micros, found.overdraft_micros))  # type: ignore[return-value]

    def holds(self) -> list[tuple[UUID, int]]:
        with self.database.read() as connection:
            columns = budget_holds.c
            return [(row.allocation_id, row.committed_micros) for row in connection.execute(select(columns.allocation_id, columns.committed_micros))]


@pytest.fixture
def money(chain: Chain) -> Money:
    chain.register(8)
    chain.catalog = PRICED
    return Money(chain)


def test_a_moved_session_leaves_one_budget_and_enters_the_other_and_may_overdraw_it(money: Money) -> None:
    money.budgets.set(DRAFT, "boss")
    money.budgets.set(VISION, "boss")
    money.budgets.set(replace(DRAFT, scope="cost_centre", name="lab"), "boss")
    money.budgets.set(replace(DRAFT, scope="person", name="user1"), "boss")
    session = money.ran(1, 2, hours=6)
    assert (money.of("personal"), money.of("vision")) == ((24, 0, 0), (0, 0, 0))
    before = money.holds()
    money.mover.move(session.id, "vision", reason="theirs", by="boss")
    money.clock.move(minutes=1)
    money.settler.settle()
    assert (money.of("personal"), money.of("vision"), money.of("lab"), money.of("user1")) == ((0, 0, 0), (24, 0, 4), (24, 0, 0), (24, 0, 0))
    assert money.holds() == before, "what was counted where it was launched stays as it was"
    assert money.warn("lead") == [OVERDRAWN]
    (told,) = money.notices.of("lead", limit=9)
    assert told.words.subject == "Budget of project vision: more than all of it is taken"
    assert "24.00 EUR came with moved sessions" in told.words.sentences[0][0]
    with pytest.raises(BudgetExhaustedError):
        money.chain.hold(person(2, "vision"), "b", replace(want(1, project="vision"), max_hours=1))
    money.mover.move(session.id, "personal", reason="a mistake", by="boss")
    money.clock.move(minutes=1)
    money.settler.settle()
    assert (money.of("personal"), money.of("vision")) == ((24, 0, 0), (0, 0, 0))
    assert money.warn("lead") == [], "told once"
    assert money.chain.hold(person(2, "vision"), "b", replace(want(1, project="vision"), max_hours=1)), "there is room again"


def test_nothing_is_counted_twice_by_a_keeper_that_looks_again_or_anew(money: Money) -> None:
    money.budgets.set(DRAFT, "boss")
    money.budgets.set(VISION, "boss")
    money.mover.move(money.ran(1, 1, hours=6).id, "vision", reason="theirs", by="boss")
    money.stored("user1", 10, money.clock())
    money.granted(3)
    for _ in range(3):
        money.clock.move(days=1)
        money.stored("user1", 10, money.clock())
        money.settler.settle()
        settler(money.database, lambda: PRICED.rate_cards, money.clock).settle()
    assert money.of("vision") == (12, 0, 0)
    assert money.of("personal")[0] == 1 * 3 + Decimal("0.75") - 3, "three whole days and most of the fourth, less the credit"


def test_a_month_that_is_over_is_corrected_where_the_time_was_used(money: Money) -> None:
    money.budgets.set(DRAFT, "boss")
    money.clock.now = datetime(2026, 11, 30, 22, tzinfo=UTC)
    session = money.start(1, 1, hours=4)
    money.run(session, hours=4)
    money.settler.settle()
    money.stop(session)
    money.settler.settle()
    assert [row.committed_micros // MICROS for row in money.periods()] == [4, 4]
    money.clock.move(days=9)
    money.settler.settle()
    assert money.periods()[0].followed_at > money.periods()[0].ends_at, "it is looked at no more, but for what is moved"
    money.mover.move(session.id, "vision", reason="theirs", by="boss")
    money.clock.move(minutes=1)
    money.settler.settle()
    assert [(row.committed_micros, row.session_micros // MICROS, row.moved_micros // MICROS) for row in money.periods()] == [(0, 4, -4), (0, 4, -4)]


def test_storage_counts_for_its_person_project_and_cost_centre_from_when_the_budget_counts(money: Money) -> None:
    money.clock.now = datetime(2026, 11, 10, tzinfo=UTC)
    for name in ("user1", "user2"):
        money.stored(name, 10, money.clock())
    money.clock.move(hours=12)
    money.budgets.set(replace(DRAFT, scope="person", name="user1"), "boss")
    money.budgets.set(replace(DRAFT, name="personal", period="once"), "boss")
    money.budgets.set(replace(DRAFT, scope="cost_centre", name="university"), "boss")
    money.clock.now = datetime(2026, 11, 12, tzinfo=UTC)
    money.settler.settle()
    assert (money.of("user1")[0], money.of("university")[0]) == (1, 2), "a tenth of a day for each GiB of the month"
    assert money.of("personal")[0] == 1, "once, from noon on"
    assert adjustment_words(money.budgets.all()[0].spending.adjustment, "EUR") == "In this, 2.00 EUR are for storage."


def test_what_a_credit_pays_is_not_spent_and_stops_nobody(money: Money) -> None:
    money.budgets.set(STOP, "boss")
    money.granted(10)
    session = money.start(1, 2, hours=2)
    for committed in (0, 0, 2, 6):
        assert money.look(hours=1).warned == ()
        assert money.of("personal")[0] == committed, "10 of 8 were used, and the credit paid them"
    assert money.look(minutes=30).warned, "8 are not paid by it"
    assert money.chain.find(session).stop_cause is None, "there is a grace"


def test_a_stop_is_called_off_when_a_move_makes_room(money: Money) -> None:
    moved = money.ran(2, 1, hours=2, name="old")
    money.budgets.set(replace(STOP, period="month"), "boss")
    money.settler.settle()
    money.start(1, 2, hours=1)
    assert money.look(hours=1).warned
    assert money.periods()[0].spent_at is not None
    money.mover.move(moved.id, "vision", reason="theirs", by="boss")
    money.look(minutes=1)
    assert money.periods()[0].spent_at is None
    with money.database.read() as connection:
        assert money.store.stops(connection, money.clock()) == {}


def test_credit_that_is_late_by_a_look_stops_nobody(money: Money) -> None:
    """Between two looks at credits a budget may seem spent: then they are looked at first."""
    money.budgets.set(replace(STOP, grace=timedelta(0)), "boss")
    money.granted(100)
    money.start(1, 2, hours=1)
    money.look(seconds=1)
    money.clock.move(seconds=30)
    money.chain.meter.seen({session.id: money.clock() for session in money.chain.open()})
    found = [row for row in money.periods() if row.spent_at is not None]
    assert found == []
    money.settler._followed_at = money.clock() + timedelta(hours=2)
    money.clock.now = money.settler._followed_at + timedelta(seconds=1)
    money.chain.meter.seen({session.id: money.clock() for session in money.chain.open()})
    money.settler.settle()
    assert [row.spent_at for row in money.periods()] == [None], "8 EUR ran, and the credit paid them"


def test_the_days_of_the_runway_are_net(money: Money) -> None:
    money.clock.now = datetime(2026, 11, 20, tzinfo=UTC)
    money.budgets.set(DRAFT, "boss")
    money.granted(2)
    money.stored("user1", 10, money.clock())
    money.ran(1, 1, hours=4)
    money.clock.now = datetime(2026, 11, 21, 1, tzinfo=UTC)
    money.days.refresh()
    assert money.budgets.all()[0].daily_micros[-1] == (8 + 1 - 2) * MICROS


def test_what_was_paid_more_than_used_is_nothing_and_said_in_words() -> None:
    assert adjustment_words(Adjustment(), "EUR") == ""
    assert adjustment_words(Adjustment(-5 * MICROS, 0, MICROS), "EUR") == "In this, 5.00 EUR went with moved sessions, credits paid 1.00 EUR."


class Months:
    """What may happen to two budgets, step by step."""

    def __init__(self, money: Money, amount: int) -> None:
        for each in money.budgets.all():
            money.budgets.end(each.budget.id, "boss")
        self.money, self.begun = money, money.clock.move(hours=1)
        for draft in (DRAFT, VISION):
            money.budgets.set(replace(draft, amount=Decimal(amount), period="once"), "boss")
        self.chain, self.opened, self.ended = replace(money.chain, policy=FIFO), list[Any](), list[Any]()

    def launch(self, _: int, size: int) -> None:
        number = 100 + len(self.opened)
        before = {row.budget_id: row.overdraft_micros for row in self.money.periods()}
        with contextlib.suppress(AIPlatformError):
            held = self.chain.hold(Caller(number, f"user{number}", frozenset({"staff"})), "x", replace(want(min(size, 2)), max_hours=size))
            self.chain.meter.started(held.id, self.money.clock())
            self.opened.append(held)
        assert all(row.overdraft_micros == before.get(row.budget_id, 0) for row in self.money.periods()), "overdraft is never the doing of a launch"

    def wait(self, _: int, size: int) -> None:
        self.money.clock.move(hours=size)
        self.chain.meter.seen({session.id: self.money.clock() for session in self.opened})

    def stop(self, which: int, _: int) -> None:
        if self.opened:
            self.ended.append(self.opened.pop(which % len(self.opened)))
            self.money.stop(self.ended[-1])

    def move(self, which: int, size: int) -> None:
        if self.ended:
            with contextlib.suppress(ConflictError):
                self.money.mover.move(self.ended[which % len(self.ended)].id, ("vision", "personal")[size % 2], reason="theirs", by="boss")

    def credit(self, which: int, size: int) -> None:
        self.money.granted(size, name=("personal", "vision")[which % 2])

    def store(self, which: int, size: int) -> None:
        self.money.stored(f"user{which}", size, self.money.clock())

    def settle(self, *_: int) -> None:
        self.money.settler.settle()

    def check(self) -> None:
        for row in self.money.periods():
            assert row.committed_micros + row.held_micros <= row.limit_micros + row.overdraft_micros
            assert row.overdraft_micros == max(0, row.committed_micros + row.held_micros - row.limit_micros)
            assert row.committed_micros == max(0, row.session_micros + row.moved_micros + row.storage_micros - row.credit_micros)

    def due(self, project: str) -> Fraction:
        """Return what reports say that a project owes."""
        span, filters = (self.begun, self.money.clock()), {"project": project}
        charges = ChargeReader(uses=ChargedUseStore(), cards=lambda: PRICED.rate_cards)
        with self.money.database.read() as connection:
            owed = sum((charge.amount for charge in charges.charges(connection, *span, filters=filters)), Fraction(0))
            paid = CreditReader(charges=charges, credits_=CreditStore()).payments(connection, *span, filters=filters)
            return owed - sum((payment.amount for payment in paid), Fraction(0))


STEPS = st.lists(st.tuples(st.sampled_from(["launch", "wait", "stop", "settle", "move", "credit", "store"]), st.integers(0, 3), st.integers(1, 4)), max_size=14)


@ON_ONE
@settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, amount=st.integers(4, 60))
@example([("launch", 0, 2), ("wait", 0, 2), ("store", 0, 4), ("credit", 0, 3), ("wait", 0, 1), ("stop", 0, 1), ("settle", 0, 1), ("move", 0, 2)], 20)
def test_budgets_hold_at_every_step_and_say_in_the_end_what_reports_say(money: Money, steps: list[tuple[str, int, int]], amount: int) -> None:
    """No launch is let in above a limit, whatever is moved, stored or paid; and what is committed is what is charged, less what credits paid."""
    months = Months(money, amount)
    for step, which, size in steps:
        getattr(months, step)(which, size)
        months.check()
    while months.opened:
        months.stop(0, 1)
    money.clock.move(minutes=2)
    money.settler.settle()
    months.check()
    for name in ("personal", "vision"):
        committed, held, _ = money.of(name)
        assert abs(Fraction(committed) - months.due(name)) * MICROS <= len(steps) + 3, "but for the rounding to millionths"
        assert held == 0, "what is not used comes back"
