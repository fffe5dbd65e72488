"""GPUs are given back: warned first, recorded in one transaction that looks again, and to whom they were claimed for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, insert

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.policy import HOUR_SECONDS, SHIPPED, ClassReservation
from aiplatform_hub.domain.queueing import WaitCode
from aiplatform_hub.domain.release import Action, Cause
from aiplatform_hub.errors import CapacityError, ConflictError, NotFoundError
from aiplatform_hub.operations.releaser import Released
from aiplatform_hub.storage import schema
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.heartbeats import Heartbeat, HeartbeatStore
from tests.support.chain import Chain, person, want

MINUTE = 60


class Room:
    """Four GPUs, two sessions of two GPUs each, and a keeper that looks once in ten seconds."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.idle_since: dict[UUID, datetime] = {}
        self.sessions = [self.session(1), self.session(2)]
        self.last = Released()

    def session(self, number: int, gpus: int = 2) -> Allocation:
        caller = person(number, "staff")
        taken = self.chain.take_up(caller, "a", want(gpus), spawner_id=number * 10)
        self.chain.meter.started(taken.id, self.chain.clock())
        return self.chain.find(taken)

    def goes_idle(self, session: Allocation) -> None:
        self.idle_since[session.id] = self.chain.clock()

    def is_used(self, session: Allocation) -> None:
        self.idle_since.pop(session.id, None)

    def sample(self) -> None:
        now = self.chain.clock()
        rows = [
            {"allocation_id": id_, "activity": "idle", "started_at": since, "last_seen_at": now, "samples": 1, "ended_at": None}
            for id_, since in self.idle_since.items()
        ]
        with self.chain.database.write() as connection:
            connection.execute(delete(schema.activity_intervals))
            if rows:
                connection.execute(insert(schema.activity_intervals), rows)

    def look(self, **how) -> Released:
        self.sample()
        self.last = self.chain.releaser.look(self.chain.dispatch().claims, **how)
        return self.last

    def passes(self, **span: float) -> None:
        """Let time pass; the keeper looks during the last twelve minutes of it."""
        until = self.chain.clock() + timedelta(**span)
        self.chain.clock.now = max(self.chain.clock(), until - timedelta(minutes=12))
        while self.chain.clock() < until:
            self.look()
            self.chain.clock.now = min(until, self.chain.clock() + timedelta(seconds=30))
        self.sample()

    def view(self, session: Allocation):
        with self.chain.database.read() as connection:
            return self.chain.releases.of(connection, (self.chain.find(session),), self.chain.clock())[session.id]

    def stop_cause(self, session: Allocation) -> EndCause | None:
        return self.chain.find(session).stop_cause

    def causes(self, session: Allocation) -> list[str]:
        with self.chain.database.read() as connection:
            return [event.cause for event in self.chain.allocations.history(connection, session.id)]

    def ends(self, session: Allocation) -> None:
        self.chain.meter.ended(session.id, self.chain.clock(), EndCause.KILLED)


@pytest.fixture
def room(chain: Chain) -> Room:
    made = Room(chain)
    made.look()
    return made


def queue(room: Room, number: int, gpus: int = 2) -> Allocation:
    return room.chain.queue(person(number), "q", want(gpus))


def until_released(room: Room, *sessions: Allocation, most: float = 40 * MINUTE) -> float:
    """Return after how many seconds the end of one of these sessions is recorded."""
    start = room.chain.clock()
    while (room.chain.clock() - start).total_seconds() < most:
        room.look()
        if any(room.stop_cause(session) for session in sessions):
            return (room.chain.clock() - start).total_seconds()
        room.chain.clock.move(seconds=30)
    raise AssertionError("it was never released")


def test_idle_gpus_are_warned_taken_and_given_to_who_waits(room: Room) -> None:
    ana, ben = room.sessions
    room.passes(minutes=30)
    waiting = queue(room, 3)
    room.goes_idle(ana)
    assert until_released(room, ana) == 10 * MINUTE
    assert room.stop_cause(ana) is EndCause.IDLE
    assert [(s.id, found.why) for s, found in room.last.recorded] == [(ana.id, Cause.IDLE)]
    assert [s.id for s in room.last.stops] == [ana.id]
    assert room.causes(ana)[-2:] == ["release_warned", "release_begins"]
    assert room.stop_cause(ben) is None
    room.ends(ana)
    assert room.chain.find(ana).end_cause is EndCause.IDLE
    assert [held.id for held in room.chain.dispatch().held] == [waiting.id]
    with room.chain.database.read() as connection:
        (row,) = [event for event in AuditStore().latest(connection) if event.action == "release_session"]
    assert (row.actor, row.target, row.detail["cause"]) == ("keeper", f"allocation:{ana.id}", "idle")


def test_owner_sees_the_warning_for_all_of_its_time(room: Room) -> None:
    ana, _ = room.sessions
    room.passes(minutes=40)
    queue(room, 3)
    room.goes_idle(ana)
    seen: list[tuple[Action, float]] = []
    while room.stop_cause(ana) is None:
        room.look()
        view = room.view(ana)
        seen.append((view.action, room.chain.clock().timestamp()))
        room.chain.clock.move(seconds=20)
    warned = [at for action, at in seen if action is Action.WARN]
    assert max(warned) - min(warned) >= SHIPPED.idle_warning_seconds - 20
    assert [action for action, _ in seen] == sorted((action for action, _ in seen), key=[Action.KEEP, Action.WARN, Action.RELEASE].index)


def test_nothing_is_released_while_nobody_waits(room: Room) -> None:
    ana, ben = room.sessions
    room.goes_idle(ana)
    room.passes(hours=7)
    assert (room.stop_cause(ana), room.stop_cause(ben)) == (None, None)
    view = room.view(ana)
    assert (view.action, view.why, view.is_if_somebody_waits, view.is_somebody_waiting) == (Action.WARN, Cause.IDLE, True, False)
    queue(room, 3)
    room.look()
    assert room.stop_cause(ana) is EndCause.IDLE, "it had been warned for hours"


def test_nothing_is_released_in_the_guaranteed_minimum(room: Room) -> None:
    ana, _ = room.sessions
    queue(room, 3)
    room.goes_idle(ana)
    room.passes(minutes=30, seconds=-30)
    room.look()
    assert room.stop_cause(ana) is None
    assert room.view(ana).guaranteed_until == ana.started_at + timedelta(minutes=30)
    room.passes(minutes=1)
    room.look()
    assert room.stop_cause(ana) is EndCause.IDLE


def test_unknown_activity_is_never_idle(room: Room) -> None:
    ana, _ = room.sessions
    room.passes(minutes=40)
    queue(room, 3)
    room.goes_idle(ana)
    room.sample()
    for _ in range(60):  # the sample grows old, as no other comes
        room.chain.clock.move(seconds=15)
        room.chain.releaser.look(room.chain.dispatch().claims)
    assert room.stop_cause(ana) is None
    assert room.view(ana).idle_since is None


def test_who_waits_for_a_limit_of_their_own_takes_nobodys_gpus(room: Room) -> None:
    ana, _ = room.sessions
    room.passes(minutes=40)
    own = person(1)  # holds two of two already, without the tier that let her
    room.chain.queue(own, "second", want(2))
    room.goes_idle(ana)
    room.passes(minutes=30)
    assert room.stop_cause(ana) is None
    assert not room.view(ana).is_somebody_waiting


def test_two_requests_do_not_stop_two_sessions_for_one_need(room: Room) -> None:
    ana, ben = room.sessions
    room.passes(minutes=40)
    room.goes_idle(ana)
    room.goes_idle(ben)
    room.passes(minutes=15)
    one, other = queue(room, 3, 1), queue(room, 4, 1)
    room.passes(minutes=5)
    stopped = [s for s in (ana, ben) if room.stop_cause(s) is not None]
    assert len(stopped) == 1, "its two GPUs are enough for both"
    room.ends(stopped[0])
    assert {held.id for held in room.chain.dispatch().held} == {one.id, other.id}
    room.passes(minutes=15)
    assert sum(room.stop_cause(s) is not None for s in (ana, ben)) == 1


def test_session_that_its_owner_stops_counts_as_coming_free(room: Room) -> None:
    ana, ben = room.sessions
    room.passes(minutes=40)
    room.goes_idle(ben)
    room.passes(minutes=15)
    room.chain.meter.request_stop(ana.id, ana.user_name, EndCause.STOPPED_BY_USER)
    queue(room, 3)
    room.look()
    assert room.stop_cause(ben) is None
    assert [s.id for s in room.last.stops] == [ana.id], "should whoever asked for the stop not live to carry it out, the keeper does"


def test_released_gpus_go_to_whom_they_were_claimed_for(room: Room) -> None:
    chain, (ana, _) = room.chain, room.sessions
    room.passes(minutes=40)
    room.goes_idle(ana)
    room.passes(minutes=15)
    claimed_for = queue(room, 3)
    room.look()
    assert room.stop_cause(ana) is EndCause.IDLE
    chain.clock.move(seconds=1)
    urgent = chain.queue(person(4), "better", want(1))  # shorter, so the order alone would put it first
    assert [entry.id for entry in chain.dispatch().entries] == [claimed_for.id, urgent.id]
    with pytest.raises(CapacityError):
        chain.hold(person(5), "door", want(1))
    room.ends(ana)
    with pytest.raises(CapacityError):
        chain.hold(person(5), "door", want(1))
    chain.dispatcher = chain._dispatcher()  # another keeper, which knows only what is stored
    assert [held.id for held in chain.dispatch().held] == [claimed_for.id]
    assert urgent.id in {entry.id for entry in chain.desk.entries()}


def test_claim_of_a_request_that_left_the_queue_is_not_carried_out(room: Room) -> None:
    ana, _ = room.sessions
    room.passes(minutes=40)
    room.goes_idle(ana)
    room.passes(minutes=15)
    waiting = queue(room, 3)
    claims = room.chain.dispatch().claims
    assert claims == {ana.id: {waiting.id}}
    room.chain.desk.withdraw(waiting.id, by="user3")
    room.sample()
    assert room.chain.releaser.look(claims).stops == ()
    assert room.stop_cause(ana) is None


def test_extension_and_release_cannot_both_win(room: Room) -> None:
    chain, (ana, ben) = room.chain, room.sessions
    room.passes(minutes=40)
    room.goes_idle(ana)
    room.goes_idle(ben)
    room.passes(minutes=15)
    queue(room, 3)
    claims = chain.dispatch().claims
    (first,) = claims
    room.sample()
    chain.releaser.extend(first, by="user1")
    assert chain.releaser.look(claims).stops == (), "extended after the plan was made"
    room.look()
    (ending,) = [s for s in (ana, ben) if room.stop_cause(s) is not None]
    assert ending.id != first
    with pytest.raises(ConflictError, match="being stopped"):
        chain.releaser.extend(ending.id, by="user2")


def test_extension_protects_for_one_period_up_to_the_ceiling(room: Room) -> None:
    chain, (ana, _) = room.chain, room.sessions
    queue(room, 3)
    room.passes(hours=5, minutes=57)
    assert room.view(ana).why is Cause.CAP
    assert room.view(ana).action is Action.WARN
    extended = chain.releaser.extend(ana.id, by="user1")
    assert extended.extended_until == chain.clock() + timedelta(hours=2) == room.view(ana).extended_until
    assert chain.find(ana) == extended
    assert room.view(ana).action is Action.KEEP
    room.look()
    assert room.causes(ana)[-2:] == ["extended", "release_called_off"]
    chain.clock.now = ana.started_at + timedelta(hours=23)
    assert chain.releaser.extend(ana.id, by="user1").extended_until == ana.started_at + timedelta(hours=24)
    assert room.view(ana).can_extend_until is None
    with pytest.raises(ConflictError, match="1 day from its start"):
        chain.releaser.extend(ana.id, by="user1")


def test_extension_by_another_is_audited(room: Room) -> None:
    ana, ben = room.sessions
    room.chain.releaser.extend(ana.id, by=ana.user_name)
    room.chain.releaser.extend(ben.id, by="boss")
    with room.chain.database.read() as connection:
        rows = [event for event in AuditStore().latest(connection) if event.action == "extend_session"]
    assert [(row.actor, row.target) for row in rows] == [("boss", f"allocation:{ben.id}")]


def test_what_does_not_run_or_has_no_gpus_cannot_be_extended(room: Room) -> None:
    chain = room.chain
    waiting = queue(room, 3)
    with pytest.raises(ConflictError, match="queued"):
        chain.releaser.extend(waiting.id, by="user3")
    with pytest.raises(ConflictError, match="no GPUs"):
        chain.releaser.extend(room.session(5, gpus=0).id, by="user5")
    with pytest.raises(NotFoundError):
        chain.releaser.extend(UUID(int=1), by="user5")


def test_keeper_killed_after_the_record_asks_again(room: Room) -> None:
    ana, _ = room.sessions
    room.passes(minutes=40)
    queue(room, 3)
    room.goes_idle(ana)
    until_released(room, ana)
    beat(room.chain)
    room.chain.clock.move(seconds=8)
    room.chain.releaser = room.chain.new_releaser()
    room.chain.releaser.begin()
    assert [s.id for s in room.look().stops] == [ana.id]
    assert room.last.recorded == ()
    assert room.look(asked={ana.id}).stops == room.last.stops, "until it has ended"


def test_keeper_that_was_away_for_long_takes_back_what_it_never_asked_for(room: Room) -> None:
    ana, _ = room.sessions
    room.passes(minutes=40)
    queue(room, 3)
    room.goes_idle(ana)
    until_released(room, ana)
    beat(room.chain)
    room.chain.clock.move(hours=1)
    room.is_used(ana)
    room.chain.releaser = room.chain.new_releaser()
    room.chain.releaser.begin()
    assert room.look().stops == ()
    assert room.stop_cause(ana) is None
    assert room.causes(ana)[-1] == "stop_withdrawn"


def beat(chain: Chain) -> None:
    with chain.database.write() as connection:
        HeartbeatStore().beat(connection, Heartbeat("keeper", "x", chain.clock(), chain.clock()))


def restarted(room: Room) -> None:
    room.chain.releaser = room.chain.new_releaser()
    room.chain.releaser.begin()


@pytest.mark.parametrize("is_restarted", [False, True])
def test_nobody_is_released_after_an_outage_without_a_whole_warning(room: Room, is_restarted: bool) -> None:
    ana, _ = room.sessions
    queue(room, 3)
    room.passes(hours=5, minutes=56)
    room.look()
    assert room.view(ana).action is Action.WARN
    beat(room.chain)
    room.chain.clock.move(hours=2)  # nobody looked meanwhile
    if is_restarted:
        restarted(room)
    assert until_released(room, *room.sessions) == SHIPPED.idle_warning_seconds
    assert EndCause.SESSION_CAP in {room.stop_cause(s) for s in room.sessions}


def test_keeper_restarted_at_once_does_not_warn_anew(room: Room) -> None:
    queue(room, 3)
    room.passes(hours=5, minutes=56)
    room.look()
    beat(room.chain)
    room.chain.clock.move(seconds=30)
    restarted(room)
    assert until_released(room, *room.sessions) <= 4.5 * MINUTE


def test_clock_that_jumps_forward_shortens_no_warning(chain: Chain) -> None:
    up = [0.0]
    chain.releaser = chain.new_releaser(lambda: up[0])
    room = Room(chain)
    queue(room, 3)
    chain.clock.move(hours=5, minutes=58)
    for step in range(60):  # each fifth time it goes on by half a minute too much
        up[0] += 20
        chain.clock.move(seconds=20 if step % 5 else 50)
        room.look()
    assert [room.stop_cause(s) for s in room.sessions] == [None, None], "it jumps more often than a warning lasts"
    steady = up[0]
    while not any(room.stop_cause(s) for s in room.sessions):
        up[0] += 20
        chain.clock.move(seconds=20)
        room.look()
    assert SHIPPED.idle_warning_seconds - 100 <= up[0] - steady <= SHIPPED.idle_warning_seconds


def test_facts_that_turn_up_late_are_warned_of_first(room: Room) -> None:
    ana, _ = room.sessions
    room.passes(minutes=40)
    queue(room, 3)
    room.look()
    room.idle_since[ana.id] = room.chain.clock() - timedelta(minutes=30)
    room.look()
    assert room.stop_cause(ana) is None
    assert until_released(room, ana) == SHIPPED.idle_warning_seconds


def test_warning_is_called_off_when_the_gpus_are_used_again(room: Room) -> None:
    ana, _ = room.sessions
    room.passes(minutes=40)
    queue(room, 3)
    room.goes_idle(ana)
    room.passes(minutes=8)
    assert room.view(ana).action is Action.WARN
    room.is_used(ana)
    room.look()
    assert room.causes(ana)[-2:] == ["release_warned", "release_called_off"]
    room.goes_idle(ana)
    assert until_released(room, ana) == 10 * MINUTE


def test_class_ends_a_session_though_nobody_waits(chain: Chain) -> None:
    begins = chain.clock() + timedelta(hours=2)
    window = ClassReservation("vision", 3, None, begins.timestamp(), begins.timestamp() + HOUR_SECONDS)
    chain = Chain(chain.database, chain.head_file, chain.clock, policy=replace(SHIPPED, reservations=(window,)))
    room = Room(chain)
    ana, ben = room.sessions
    assert ben.must_end_at == begins
    chain.releaser.extend(ben.id, by="user2")
    assert chain.find(ben).extended_until == begins
    with pytest.raises(ConflictError, match="class"):
        chain.releaser.extend(ben.id, by="user2")
    room.passes(hours=2)
    room.look()
    assert room.stop_cause(ben) is EndCause.CLASS_BEGINS
    assert room.stop_cause(ana) in {None, EndCause.CLASS_BEGINS}
    room.ends(ben)
    assert chain.find(ben).end_cause is EndCause.CLASS_BEGINS


def test_busy_session_over_its_cap_makes_room_for_who_is_more_entitled(room: Room) -> None:
    ana, ben = room.sessions
    queue(room, 3)
    room.passes(hours=6)
    room.look()
    assert [room.stop_cause(s) for s in (ana, ben)].count(EndCause.SESSION_CAP) == 1
    assert room.chain.desk.entries()[0].reason.code is WaitCode.RELEASE


def test_view_is_of_active_sessions_alone(room: Room) -> None:
    chain, (ana, _) = room.chain, room.sessions
    waiting = queue(room, 3)
    bare = room.session(6, gpus=0)
    room.ends(ana)
    with chain.database.read() as connection:
        views = chain.releases.of(connection, [chain.find(a) for a in (*room.sessions, waiting, bare)], chain.clock())
    assert views.keys() == {room.sessions[1].id, bare.id}
    assert (views[bare.id].action, views[bare.id].deadline, views[bare.id].can_extend_until) == (Action.KEEP, None, None)
    assert chain.find(waiting).state is AllocationState.QUEUED
