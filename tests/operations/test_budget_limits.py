"""What a budget says before it is spent and does when it is: soft limits, the stop after a grace, the runway, and what ended before it was set."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from aiplatform_hub.domain.allocations import AllocationState, EndCause
from aiplatform_hub.domain.budgets import MICROS, passed_percent
from aiplatform_hub.domain.notices import NoticeKind
from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.domain.release import Action, Cause
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import AIPlatformError, ConflictError, InvalidOptionError, NotFoundError
from aiplatform_hub.operations.budget_warnings import BudgetWarnings
from aiplatform_hub.operations.notices import Notices
from aiplatform_hub.storage.notifications import NotificationStore
from aiplatform_hub.storage.schema import audit_events
from tests.operations.test_budgets import DRAFT, Place
from tests.support.budgets import days
from tests.support.chain import Chain, person, want

GRACE = timedelta(minutes=30)
STOP = replace(DRAFT, amount=Decimal(8), at_limit="stop", grace=GRACE)


class Limits(Place):
    """The chain with budgets and everything that acts on them."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self.notices = Notices(database=chain.database, notifications=NotificationStore(), catalog=chain.catalog, channels=("mail",), clock=chain.clock)
        self.warnings = BudgetWarnings(database=chain.database, budgets=self.store, notices=self.notices, clock=chain.clock)
        self.days = days(chain.database, lambda: chain.catalog.rate_cards, chain.clock)

    def warn(self, *people: str) -> list[int]:
        """Tell what is due; return the soft limits."""
        found = self.warnings.due()
        for each in found:
            self.warnings.tell(each, people)
        return [each.percent for each in found]

    def look(self, **span: float) -> Any:
        """Let time pass, count, and let the keeper look at running sessions."""
        self.clock.move(**span)
        self.chain.meter.seen({session.id: self.clock() for session in self.chain.open()})
        self.settler.settle()
        return self.chain.releaser.look({})


@pytest.fixture
def limits(chain: Chain) -> Limits:
    chain.register(8)
    return Limits(chain)


def test_people_are_told_once_per_soft_limit_and_period(limits: Limits) -> None:
    limits.budgets.set(replace(DRAFT, amount=Decimal(40)), "boss")
    session = limits.start(1, 2, hours=8)
    (first,) = limits.warnings.due()
    assert limits.warn("ada", "bob", "ada", "x" * 255) == [80], "32 of 40 are held"
    assert limits.warn("ada") == []
    assert limits.warnings.tell(first, ["late"]) == 0, "another keeper that saw it at the same time tells nobody"
    (told,) = limits.notices.of("ada", limit=9)
    assert told.notice.kind is NoticeKind.BUDGET_LOW
    assert told.words.subject == "Budget of project personal: 80 % of it are taken"
    assert told.words.sentences[0] == (
        "0.00 EUR of 40.00 EUR are used and 32.00 EUR held by open sessions. What does not fit is refused; sessions that run go on.",
    )
    assert told.words.sentences[1] == ("It begins anew at ", datetime(2026, 12, 1, tzinfo=UTC), ".")
    assert told.is_current
    limits.look(hours=9)
    assert limits.money()[0] == 36
    assert limits.warn("ada") == [], "90 % is between two soft limits"
    limits.look(hours=1)
    limits.stop(session)
    assert limits.warn("ada") == [95]
    assert len(limits.notices.of("ada", limit=9)) == 2
    assert len(limits.notices.of("bob", limit=9)) == 1
    limits.clock.now = datetime(2026, 12, 3, tzinfo=UTC)
    limits.start(1, 2, hours=9, name="b")
    assert limits.warn("ada") == [80], "the next month begins anew"


def test_of_two_soft_limits_that_pass_at_once_the_higher_is_told_and_none_may_be_wanted(limits: Limits) -> None:
    limits.budgets.set(replace(DRAFT, amount=Decimal(4), soft_percents=(50, 60, 100)), "boss")
    limits.budgets.set(replace(DRAFT, scope="person", name="user1", amount=Decimal(4), soft_percents=()), "boss")
    limits.start(1, 1, hours=2)
    assert limits.warn("ada") == [100]
    assert limits.notices.of("ada", limit=9)[0].words.subject.endswith("all of it is taken")


def test_a_note_without_its_notices_is_never_left(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle of telling: everybody is told later, nobody twice."""
    limits.budgets.set(replace(DRAFT, amount=Decimal(4)), "boss")
    limits.start(1, 1, hours=2)
    tell = limits.notices.tell

    def dies(connection: Any, **what: Any) -> bool:
        if what["user_name"] == "bob":
            raise RuntimeError
        return tell(connection, **what)

    monkeypatch.setattr(limits.notices, "tell", dies)
    with pytest.raises(RuntimeError):
        limits.warn("ada", "bob")
    monkeypatch.undo()
    assert limits.notices.of("ada", limit=9) == ()
    assert limits.warn("ada", "bob") == [95]
    assert [len(limits.notices.of(name, limit=9)) for name in ("ada", "bob")] == [1, 1]


def test_a_spent_budget_stops_what_runs_after_the_grace_and_not_before(limits: Limits) -> None:
    limits.budgets.set(STOP, "boss")
    paid, plain = limits.start(1, 2, hours=2), limits.start(2, 0)
    other = limits.chain.hold(person(3, "vision"), "c", want(1, project="vision"))
    assert limits.chain.meter.started(other.id, limits.clock())
    assert limits.look(hours=1, minutes=50).warned == ()
    found = limits.look(minutes=10)
    assert [(session.id, verdict.action, verdict.why) for session, verdict in found.warned] == [(paid.id, Action.WARN, Cause.BUDGET)]
    with limits.database.read() as connection:
        warned = list(limits.chain.releases.warned(connection, limits.clock()))
    assert [(session.id, until - limits.clock(), why) for session, until, why in warned] == [(paid.id, GRACE, "budget_exhausted")]
    with pytest.raises(ConflictError, match="budget that pays for this session is spent"):
        limits.chain.releaser.extend(paid.id, by=paid.user_name)
    for _ in range(29):
        assert limits.look(minutes=1).recorded == ()
    found = limits.look(minutes=1)
    assert [(session.id, session.stop_cause) for session, _ in found.recorded] == [(paid.id, EndCause.BUDGET_EXHAUSTED)]
    assert [session.id for session in found.stops] == [paid.id], "what has no GPUs, and what others pay for, goes on"
    assert limits.chain.meter.ended(paid.id, limits.clock(), limits.chain.find(paid).stop_cause)
    assert limits.chain.find(paid).end_cause is EndCause.BUDGET_EXHAUSTED
    assert limits.chain.find(plain).state is AllocationState.ACTIVE
    limits.settler.settle()
    assert limits.money() == (Decimal("10.25"), 0, Decimal("2.25")), "the grace is overdraft"
    with limits.database.read() as connection:
        acts = list(connection.execute(select(audit_events.c.action, audit_events.c.target).where(audit_events.c.action == "release_session")))
    assert acts == [("release_session", f"allocation:{paid.id}")]


def test_one_that_lets_finish_stops_nothing(limits: Limits) -> None:
    limits.budgets.set(replace(STOP, at_limit="let_finish"), "boss")
    session = limits.start(1, 2, hours=2)
    for _ in range(4):
        found = limits.look(hours=1)
        assert (found.warned, found.recorded) == ((), ())
    assert limits.chain.find(session).stop_cause is None
    assert limits.money()[2] == 8


@pytest.mark.parametrize("how", ["ended", "replaced", "next month"])
def test_a_stop_is_called_off_when_there_is_money_again(limits: Limits, how: str) -> None:
    budget = limits.budgets.set(STOP, "boss")
    if how == "next month":
        limits.clock.now = datetime(2026, 11, 30, 21, 50, tzinfo=UTC)
    session = limits.start(1, 2, hours=2)
    assert limits.look(hours=2).warned
    if how == "next month":
        limits.look(minutes=9)
        now = limits.clock.now = datetime(2026, 12, 1, tzinfo=UTC)
    else:
        limits.budgets.end(budget.id, "boss")
        now = limits.clock()
    with limits.database.read() as connection:
        assert limits.store.stops(connection, now) == {}, "at once, before anybody counts"
    if how == "replaced":
        limits.budgets.set(replace(STOP, amount=Decimal(80)), "boss")
    for _ in range(30):
        assert limits.look(minutes=1).recorded == ()
    with limits.database.read() as connection:
        assert limits.chain.releases.of(connection, (limits.chain.find(session),), limits.clock())[session.id].why is not Cause.BUDGET


def test_a_stop_that_was_recorded_is_taken_back_when_there_is_money_again(limits: Limits) -> None:
    budget = limits.budgets.set(replace(STOP, grace=timedelta(0)), "boss")
    session = limits.start(1, 2, hours=2)
    limits.look(hours=2)
    while not limits.look(minutes=1).recorded:
        pass
    limits.budgets.end(budget.id, "boss")
    assert limits.look(minutes=1).stops == ()
    assert limits.chain.find(session).stop_cause is None


def test_what_ended_in_the_period_before_the_budget_was_set_counts(limits: Limits) -> None:
    limits.clock.now = datetime(2026, 10, 30, 22, tzinfo=UTC)
    limits.stop(limits.start(6, 1, name="last month"))
    limits.clock.now = datetime(2026, 10, 31, 22, tzinfo=UTC)
    across = limits.start(1, 1, name="across")
    limits.clock.now = datetime(2026, 11, 1, 3, tzinfo=UTC)
    limits.stop(across)
    before = limits.start(2, 2)
    elsewhere = limits.chain.hold(person(3, "vision"), "c", want(1, project="vision"))
    assert limits.chain.meter.started(elsewhere.id, limits.clock())
    limits.run(before, hours=2)
    limits.stop(before)
    limits.stop(elsewhere)
    never = limits.chain.hold(person(4), "never", want(1))
    limits.chain.meter.released(never.id, EndCause.STOPPED_BY_USER, "user4")
    limits.clock.move(days=9)
    limits.budgets.set(DRAFT, "boss")
    assert limits.settler.settle() == 2
    assert limits.money() == (6 + 8, 0, 0), "of the one across the month only what was used in this one"
    assert limits.settler.settle() == 0
    assert limits.money() == (14, 0, 0), "once"
    late = limits.start(5, 1, hours=1)
    limits.stop(late)
    limits.settler.settle()
    assert limits.money() == (14, 0, 0)


def test_a_session_is_counted_without_its_corrections_which_are_followed_apart(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    limits.budgets.set(DRAFT, "boss")
    session = limits.start(1, 1)
    limits.run(session, hours=2)
    reader = limits.settler._charges
    real = reader.charges

    def moved(*arguments: Any, **filters: Any) -> Any:
        for charge in real(*arguments, **filters):
            yield charge
            yield replace(charge, units=-charge.units, is_correction=True)
            yield replace(charge, project="vision", cost_centre="lab", price=charge.price * 9, is_correction=True)

    monkeypatch.setattr(reader, "charges", moved)
    limits.settler.settle()
    assert limits.money()[0] == 4


def test_one_that_takes_the_place_of_another_counts_what_that_one_did(limits: Limits) -> None:
    once = replace(DRAFT, period="once")
    first = limits.budgets.set(once, "boss")
    session, gone = limits.start(1, 1, hours=8), limits.start(2, 1)
    limits.run(session, hours=2)
    limits.stop(gone)
    limits.settler.settle()
    before = limits.money()
    second = limits.budgets.set(replace(once, amount=Decimal(20)), "boss", replaces=first.id)
    assert second.starts_at == first.starts_at
    limits.settler.settle()
    assert limits.money()[0] == before[0] == 8
    with pytest.raises(NotFoundError, match="somebody or something else"):
        limits.budgets.set(replace(once, scope="person", name="user1"), "boss", replaces=second.id)
    with pytest.raises(InvalidOptionError):
        limits.budgets.set(replace(once, amount=Decimal(0)), "boss", replaces=second.id)
    assert [each.budget.id for each in limits.budgets.all()] == [second.id], "a refusal ends nothing"
    with pytest.raises(ConflictError, match="ended already"):
        limits.budgets.set(once, "boss", replaces=first.id)


def test_a_spent_budget_that_is_set_late_is_overdrawn_from_the_start(limits: Limits) -> None:
    before = limits.start(1, 2)
    limits.run(before, hours=3)
    limits.stop(before)
    limits.budgets.set(replace(DRAFT, amount=Decimal(10)), "boss")
    limits.settler.settle()
    assert limits.money() == (12, 0, 2)


def test_the_runway_follows_the_last_days_and_says_what_a_launch_leaves(limits: Limits) -> None:
    limits.clock.now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    limits.budgets.set(replace(DRAFT, amount=Decimal(100)), "boss")
    assert limits.budgets.runway(limits.budgets.all()[0]) is None, "nobody has looked yet"
    session = limits.start(1, 1)
    for day in range(21, 25):
        limits.clock.now = datetime(2026, 11, day, tzinfo=UTC)
        limits.chain.meter.seen({session.id: limits.clock()})
        limits.settler.settle()
    limits.stop(session)
    assert limits.days.refresh() == 14, "the day just over waits for what was seen of it"
    assert limits.days.refresh() == 0
    limits.clock.move(minutes=10)
    assert limits.days.refresh() == 1
    (standing,) = limits.budgets.all()
    assert standing.daily_micros == tuple([0] * 10 + [24 * MICROS] + [48 * MICROS] * 3)
    assert standing.spending.overdraft_micros, "it is spent"
    now = limits.clock()
    found = limits.budgets.runway(standing)
    assert found is not None
    assert found.spent_at == now
    limits.budgets.end(standing.budget.id, "boss")
    limits.budgets.set(replace(DRAFT, amount=Decimal(252)), "boss")
    limits.settler.settle()
    limits.days.refresh()
    (after,) = limits.budgets.after("user2", replace(want(2), max_hours=6), Decimal(4), "EUR")
    assert (after.wanted_micros, after.left_micros, after.fits) == (24 * MICROS, 60 * MICROS, True)
    assert after.runway is not None
    assert after.runway.spent_at == now + timedelta(seconds=int(60 / Decimal(42) * 86_400))
    (after,) = limits.budgets.after("user2", replace(want(2), max_hours=600), Decimal(4), "EUR")
    assert (after.left_micros, after.fits) == (0, False)
    (after,) = limits.budgets.after("user2", want(0), Decimal(4), "EUR")
    assert (after.wanted_micros, after.fits) == (0, True)


def test_wrong_limits_are_refused_by_field(limits: Limits) -> None:
    wrong = [("soft_percents", each) for each in ((0,), (101,), (95, 80), (80, 80), (1, 2, 3, 4, 5, 6))]
    wrong += [("at_limit", "explode"), ("grace", timedelta(minutes=-1)), ("grace", timedelta(days=8)), ("grace", timedelta(seconds=30))]
    for field, value in wrong:
        with pytest.raises(InvalidOptionError) as refused:
            limits.budgets.set(replace(DRAFT, **{field: value}), "boss")
        assert refused.value.reasons[0].field == field.replace("grace", "grace_minutes")
    assert limits.budgets.all() == ()


STEPS = st.lists(st.tuples(st.sampled_from(["launch", "move", "stop", "settle"]), st.integers(0, 3), st.integers(1, 4)), min_size=4, max_size=12)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, amount=st.integers(4, 60))
def test_committed_and_held_stay_within_limit_and_overdraft_after_every_step(limits: Limits, steps: list[tuple[str, int, int]], amount: int) -> None:
    """And overdraft is never the doing of a launch: after one, either it did not grow or the launch was refused."""
    for each in limits.budgets.all():
        limits.budgets.end(each.budget.id, "boss")
    limits.budgets.set(replace(DRAFT, amount=Decimal(amount)), "boss")
    chain, opened = replace(limits.chain, policy=FIFO), []
    for step, which, size in steps:
        overdraft = limits.money()[2]
        if step == "launch":
            caller = Caller(100 + len(opened), f"user{100 + len(opened)}", frozenset({"staff"}))
            try:
                held = chain.hold(caller, "x", replace(want(min(size, 2)), max_hours=size))
            except AIPlatformError:
                held = None
            if held is not None:
                chain.meter.started(held.id, limits.clock())
                opened.append(held)
            assert limits.money()[2] == overdraft
        elif step == "move":
            limits.clock.move(hours=size)
            chain.meter.seen({session.id: limits.clock() for session in opened})
        elif step == "stop" and opened:
            limits.stop(opened.pop(which % len(opened)))
        else:
            limits.settler.settle()
        for row in limits.periods():
            assert row.committed_micros + row.held_micros <= row.limit_micros + row.overdraft_micros
            assert row.overdraft_micros == max(0, row.committed_micros + row.held_micros - row.limit_micros)
    for session in opened:
        limits.stop(session)
    limits.settler.settle()
    assert limits.money()[1] == 0, "what is not used comes back"


@given(st.lists(st.integers(1, 100), max_size=5), st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 100))
def test_a_soft_limit_is_told_only_when_it_is_passed_and_once(percents: list[int], taken: int, limit: int, told: int) -> None:
    found = passed_percent(percents, taken, limit, told)
    due = [percent for percent in percents if taken / limit * 100 >= percent - 1e-9 and percent > told]
    assert found == (max(due) if due else None)
    if found is not None:
        assert passed_percent(percents, taken, limit, found) is None
