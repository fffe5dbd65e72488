"""What started out of the queue and nobody opened is taken back, queued again once, and never on a guess."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.operations.grant_grace import GrantGrace
from aiplatform_hub.storage.activity import ActivityStore
from aiplatform_hub.storage.schema import activity_intervals
from tests.operations.test_notices import Telling, granted, run
from tests.support.chain import NOON, Chain, person, want

NEVER = NOON - timedelta(days=1)


class Grace(Telling):
    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self.again()

    def again(self) -> None:
        """Be another keeper."""
        chain = self.chain
        self.grace = GrantGrace(
            database=chain.database,
            allocations=chain.allocations,
            devices=chain.devices,
            activity=ActivityStore(),
            notifications=self.store,
            clock=chain.clock,
        )

    def late(self, seen=NOON, server="train"):
        """Come to the end of the time that was told."""
        self.watch.look()
        self.chain.clock.move(minutes=15)
        return self.grace.settle({("user3", server): seen})

    def stopped(self, session: Allocation) -> Allocation:
        """Let the hub carry the stop out: the process ends by a signal."""
        self.chain.meter.ended(session.id, self.chain.clock(), EndCause.KILLED)
        return self.chain.find(session)


@pytest.fixture
def grace(chain: Chain) -> Grace:
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(2))
    return Grace(chain)


def test_what_nobody_opened_is_queued_again_behind_the_others_once(grace: Grace) -> None:
    session = granted(grace)
    grace.chain.clock.move(minutes=1)
    other = grace.chain.queue(person(4), "other", want(2))
    grace.chain.clock.now = NOON
    assert [a.id for a in grace.late().too_late] == [session.id]
    ended = grace.stopped(session)
    assert (ended.state, ended.end_cause, ended.stop_requested_by) == (AllocationState.ENDED, EndCause.NOT_OPENED, "keeper")
    again = next(a for a in grace.chain.queued() if a.user_id == 3)
    assert (again.succeeds, again.requeued, again.queued_at, again.stop_cause) == (session.id, 0, NOON + timedelta(minutes=15), None)
    assert again.queued_at > other.queued_at
    grace.watch.look()
    grace.chain.end(next(a for a in grace.chain.open() if a.user_id == 2))
    grace.chain.dispatch()
    second = run(grace.chain, again)
    grace.watch.look()
    grace.chain.clock.move(minutes=15)
    assert [a.id for a in grace.grace.settle({("user3", "train"): second.ready_at}).too_late] == [second.id]
    grace.stopped(second)
    assert [a for a in grace.chain.queued() if a.user_id == 3] == [], "the second time it ends for good"
    grace.watch.look()
    assert grace.kinds() == ["turn_came", "not_opened", "turn_came", "not_opened"]
    assert [told.notice.detail["is_back"] for told in grace.notices.of("user3", limit=9) if told.notice.kind == "not_opened"] == [False, True]


def test_nothing_is_taken_a_moment_too_early(grace: Grace) -> None:
    granted(grace)
    grace.watch.look()
    grace.chain.clock.move(minutes=14, seconds=59)
    assert grace.grace.settle({("user3", "train"): NOON}).too_late == ()


def test_owner_who_was_seen_keeps_it(grace: Grace) -> None:
    session = granted(grace)
    found = grace.late(seen=NOON + timedelta(seconds=3))
    assert (found.too_late, [a.id for a in found.opened]) == ((), [session.id])
    assert grace.chain.find(session).opened_at == NOON + timedelta(minutes=15)
    grace.chain.clock.move(days=1)
    assert grace.grace.settle({("user3", "train"): NOON}).too_late == ()
    assert grace.notices.inbox("user3") == ()


def test_route_that_the_hub_itself_has_just_made_is_no_visit(grace: Grace) -> None:
    granted(grace)
    assert len(grace.late(seen=NOON + timedelta(seconds=1)).too_late) == 1


@pytest.mark.parametrize("traffic", [{}, {("user4", "train"): NOON}, {("user3", "other"): NOON}, {("user3", "train"): NEVER}])
def test_unknown_is_not_unopened(grace: Grace, traffic) -> None:
    granted(grace)
    grace.watch.look()
    grace.chain.clock.move(hours=5)
    found = grace.grace.settle(traffic)
    assert (found.opened, found.too_late) == ((), ())


def test_busy_gpus_are_somebodys_program(grace: Grace) -> None:
    session = granted(grace)
    row = {"allocation_id": session.id, "activity": "used", "started_at": NOON, "last_seen_at": NOON, "samples": 1}
    with grace.chain.database.write() as connection:
        connection.execute(insert(activity_intervals).values(**row))
    found = grace.late()
    assert (found.too_late, [a.id for a in found.opened]) == ((), [session.id])


def test_session_that_never_waited_has_no_grace_time(grace: Grace) -> None:
    grace.chain.end(next(a for a in grace.chain.open() if a.user_id == 1))
    run(grace.chain, grace.chain.hold(person(3), "train", want(1)))
    assert grace.grace.unopened() == ()
    assert grace.late().too_late == ()


def test_nobody_loses_a_session_before_they_were_told(grace: Grace) -> None:
    granted(grace)
    grace.chain.clock.move(minutes=30)
    assert grace.grace.settle({("user3", "train"): NOON}).too_late == ()
    grace.watch.look()
    assert grace.grace.settle({("user3", "train"): NOON}).too_late == ()
    grace.chain.clock.move(minutes=15)
    assert len(grace.grace.settle({("user3", "train"): NOON}).too_late) == 1


def test_stop_by_its_owner_stays_theirs(grace: Grace) -> None:
    session = granted(grace)
    grace.chain.meter.request_stop(session.id, "user3", EndCause.STOPPED_BY_USER)
    assert grace.late().too_late == ()
    assert grace.stopped(session).end_cause is EndCause.STOPPED_BY_USER
    assert [a for a in grace.chain.queued() if a.user_id == 3] == []


def test_stop_by_an_admin_meanwhile_is_theirs_and_queues_nothing(grace: Grace) -> None:
    session = granted(grace)
    assert len(grace.late().too_late) == 1
    grace.chain.meter.request_stop(session.id, "admin", EndCause.STOPPED_BY_ADMIN)
    assert grace.stopped(session).end_cause is EndCause.STOPPED_BY_ADMIN
    assert [a for a in grace.chain.queued() if a.user_id == 3] == []


def test_keeper_killed_before_the_hub_was_asked_is_followed_up(grace: Grace) -> None:
    session = granted(grace)
    assert len(grace.late().too_late) == 1
    grace.again()
    assert [a.id for a in grace.grace.settle({("user3", "train"): NOON}).too_late] == [session.id]


def test_visit_after_a_keeper_was_killed_saves_the_session(grace: Grace) -> None:
    session = granted(grace)
    grace.late()
    grace.again()
    assert len(grace.grace.settle({("user3", "train"): NOON + timedelta(minutes=15)}).opened) == 1
    saved = grace.chain.find(session)
    assert (saved.state, saved.stop_requested_by, saved.stop_cause) == (AllocationState.ACTIVE, None, None)
    grace.chain.meter.ended(session.id, grace.chain.clock(), EndCause.EXITED)
    assert grace.chain.find(session).end_cause is EndCause.EXITED


def test_stop_that_the_hub_did_not_make_is_no_stop(grace: Grace) -> None:
    session = granted(grace)
    grace.late()
    grace.grace.not_stopped(session.id)
    assert (grace.chain.find(session).stop_requested_by, grace.chain.find(session).stop_cause) == (None, None)
    grace.chain.meter.request_stop(session.id, "user3", EndCause.STOPPED_BY_USER)
    grace.grace.not_stopped(session.id)
    assert grace.chain.find(session).stop_requested_by == "user3"


def test_failed_start_before_is_the_one_chance_in_all(grace: Grace) -> None:
    queued = grace.chain.queue(person(3), "train", want(2))
    grace.chain.end(next(a for a in grace.chain.open() if a.user_id == 1))
    grace.chain.dispatch()
    grace.chain.dispatcher.start_failed(queued.id)
    grace.chain.dispatch()
    session = run(grace.chain, queued)
    assert len(grace.late().too_late) == 1
    grace.stopped(session)
    assert [a for a in grace.chain.queued() if a.user_id == 3] == []
