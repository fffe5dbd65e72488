"""Random lives of a platform: the real ledger and quota code against a small model."""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, precondition, rule, run_state_machine_as_test
from sqlalchemy import event

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.catalog import LimitAmount, Tier
from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.errors import AIPlatformError, ConflictError, ServerExistsError
from aiplatform_hub.operations import quota_enforcer, requeueing
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.migrate import upgrade
from tests.operations.session_model import MACHINE_GPUS, USER_ENVIRONMENTS, USER_GPUS, Model, Request, Session
from tests.support.chain import CATALOG, Chain, person, want

FOLDER = Path(tempfile.mkdtemp(prefix="state-machine-"))
FILE, NEW = FOLDER / "platform.sqlite", FOLDER / "new.sqlite"
AMOUNTS = {"gpus": USER_GPUS, "memory_bytes": 64 * GIB, "environments": USER_ENVIRONMENTS}
TIER = Tier("default", "Default", 0, tuple(LimitAmount(name, Decimal(amount)) for name, amount in AMOUNTS.items()))
STEPS: Counter[str] = Counter()
IDS = random.Random()

USERS, NAMES, GPUS = st.integers(1, 4), st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 3)
IDLE_ENDS = st.sampled_from([EndCause.START_FAILED, EndCause.STOPPED_BY_USER, EndCause.LOST])
ENDS = st.sampled_from([EndCause.EXITED, EndCause.CRASHED, EndCause.KILLED, EndCause.OUT_OF_MEMORY, EndCause.LOST])


def quick(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def make_id() -> UUID:
    """Return the next id of a life. Ids break ties in the queue: the same choices must lead to the same life, or Hypothesis calls it flaky."""
    return UUID(int=IDS.getrandbits(128), version=4)


def make_database() -> Database:
    upgrade(f"sqlite:///{NEW}")
    new = sqlite3.connect(NEW)
    new.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    new.close()
    database = Database(url=f"sqlite:///{FILE}")
    for engine in (database.engine, database.writer):
        event.listen(engine, "connect", quick)
    return database


class Platform(RuleBasedStateMachine):
    """Each rule is one step of the real thing and of the model; the invariants look at the rows themselves."""

    database: Database
    sessions = Bundle("sessions")
    requests = Bundle("requests")

    @initialize()
    def begin(self) -> None:
        IDS.seed(1)
        self.database.close()
        for old in FOLDER.glob("platform.sqlite-*"):
            old.unlink()
        (FOLDER / "head.json").unlink(missing_ok=True)
        shutil.copy(NEW, FILE)
        catalog = replace(CATALOG, tiers={"default": TIER})
        self.chain, self.model = Chain(self.database, FOLDER / "head.json", catalog=catalog, policy=FIFO), Model()
        self.chain.register(MACHINE_GPUS)
        self.verified, self.spawners = -1, 0
        self.rows = sqlite3.connect(FILE)

    def teardown(self) -> None:
        if hasattr(self, "rows"):
            self.rows.close()

    @property
    def now(self) -> datetime:
        return self.chain.clock.now

    @rule(target=sessions, user=USERS, name=NAMES, gpus=GPUS)
    def hold(self, user: int, name: str, gpus: int) -> object:
        STEPS["hold"] += 1
        wanted = self.model.refusal(user, name, gpus)
        try:
            held = self.chain.hold(person(user), name, want(gpus))
        except AIPlatformError as error:
            assert error.code == wanted
            return multiple()
        assert wanted is None
        assert len(held.devices) == gpus
        self.model.open[held.id] = Session(user, name, gpus, self.now)
        return held.id

    @rule(target=requests, user=USERS, name=NAMES, gpus=GPUS)
    def queue(self, user: int, name: str, gpus: int) -> object:
        STEPS["queue"] += 1
        wanted = self.model.refusal(user, name, gpus)
        try:
            made = self.chain.queue(person(user), name, want(gpus))
        except AIPlatformError as error:
            assert error.code == wanted
            assert wanted in {"server_exists", "quota_exceeded"}
            return multiple()
        assert made.is_queued is (wanted in {"quota_in_use", "capacity"})
        if made.is_queued:
            self.model.queue[made.id] = Request(user, name, gpus, self.now)
        else:
            self.model.open[made.id] = Session(user, name, gpus, self.now)
        return made.id

    @rule(target=sessions)
    def dispatch(self) -> object:
        STEPS["dispatch"] += 1
        before = set(self.model.open)
        gone = self.model.dispatch(self.now)
        done = self.chain.dispatcher.dispatch({f"user{number}": person(number) for number in range(1, 5)})
        held = {allocation.id for allocation in done.held}
        assert held == set(self.model.open) - before
        assert dict(done.ended) == dict.fromkeys(gone, EndCause.INTEREST_EXPIRED)
        assert {entry.id for entry in done.entries} == set(self.model.queue)
        return multiple(*held)

    @rule(id_=requests)
    def withdraw(self, id_: UUID) -> None:
        STEPS["withdraw"] += 1
        session = self.model.open.get(id_)
        is_idle = session is not None and not session.is_taken and session.started_at is None
        assert self.chain.desk.withdraw(id_, by="user") is (id_ in self.model.queue or is_idle)
        self.model.queue.pop(id_, None)
        if is_idle:
            self.model.end(id_, self.now)

    @rule(id_=requests)
    def confirm(self, id_: UUID) -> None:
        STEPS["confirm"] += 1
        try:
            self.chain.desk.confirm(id_, by="user")
        except ConflictError:
            assert id_ not in self.model.queue
        else:
            self.model.queue[id_] = replace(self.model.queue[id_], confirmed_at=self.now)

    @rule(id_=requests, gpus=GPUS)
    def change(self, id_: UUID, gpus: int) -> None:
        STEPS["change"] += 1
        request = self.model.queue.get(id_)
        try:
            self.chain.desk.change_gpus(id_, person(request.user if request else 1), gpus, by="user")
        except AIPlatformError as error:
            assert error.code == ("quota_exceeded" if request else "conflict")
            assert request is None or gpus > USER_GPUS
            return
        assert request is not None
        if gpus == request.gpus:
            return
        changed = replace(request, gpus=gpus, confirmed_at=self.now)
        if gpus > request.gpus:
            del self.model.queue[id_]
        self.model.queue[id_] = changed

    @rule(id_=requests, is_failure=st.booleans())
    def start_comes_to_nothing(self, id_: UUID, is_failure: bool) -> None:
        STEPS["start_comes_to_nothing"] += 1
        session = self.model.open.get(id_)
        is_hold = session is not None and session.waited is not None and not session.is_taken and session.started_at is None
        settle = self.chain.dispatcher.start_failed if is_failure else self.chain.dispatcher.give_back
        assert settle(id_) is is_hold
        if session is None or session.waited is None or not is_hold:
            return
        is_again = self.model.is_due_again(id_)
        self.model.end(id_, self.now)
        if not is_failure:
            self._back_in_place(id_, replace(session.waited, name=session.name))
        elif is_again:
            self.model.again(session, id_, session.waited.confirmed_at)

    def _back_in_place(self, id_: UUID, request: Request) -> None:
        """Put a request where its submit time says."""
        self.model.queue[id_] = request
        order = [allocation.id for allocation in self.chain.queued()]
        self.model.queue = {each: self.model.queue[each] for each in order}

    @rule(target=sessions, user=USERS, name=NAMES, gpus=GPUS)
    def take_up(self, user: int, name: str, gpus: int) -> object:
        STEPS["take_up"] += 1
        self.spawners += 1
        waiting = self.model.waiting(user, name)
        fits = waiting is not None and self.model.open[waiting].gpus == gpus
        wanted = None if fits else self.model.refusal(user, name, gpus, without=waiting)
        try:
            taken = self.chain.take_up(person(user), name, want(gpus), spawner_id=self.spawners)
        except AIPlatformError as error:
            assert error.code == wanted
            if waiting is not None:
                self.model.end(waiting, self.now)
            return multiple()
        assert wanted is None
        assert (taken.id == waiting) is fits
        if waiting is not None and not fits:
            self.model.end(waiting, self.now)
        session = self.model.open.setdefault(taken.id, Session(user, name, gpus, self.now))
        session.is_taken, session.spawner_id = True, self.spawners
        return multiple() if fits else taken.id

    @rule(id_=sessions)
    def start(self, id_: UUID) -> None:
        STEPS["start"] += 1
        session = self.model.open.get(id_)
        assert self.chain.meter.started(id_, self.now) is (session is not None)
        if session is not None and session.started_at is None:
            session.started_at = session.seen_at = self.now
            session.is_taken = True

    @rule(id_=sessions)
    def ready(self, id_: UUID) -> None:
        STEPS["ready"] += 1
        self.chain.meter.ready(id_, self.now)

    @rule()
    def heartbeat(self) -> None:
        STEPS["heartbeat"] += 1
        running = {id_: s for id_, s in self.model.open.items() if s.started_at is not None}
        moved = [s for s in running.values() if s.seen_at is not None and s.seen_at < self.now]
        assert self.chain.meter.seen(dict.fromkeys(running, self.now)) == len(moved)
        for session in moved:
            session.seen_at = self.now

    @rule(id_=sessions)
    def stop(self, id_: UUID) -> None:
        STEPS["stop"] += 1
        session = self.model.open.get(id_)
        assert self.chain.meter.request_stop(id_, "user", EndCause.STOPPED_BY_USER) is (session is not None)
        if session is not None:
            session.stop_asked = True

    @rule(id_=sessions, cause=ENDS, again=st.booleans())
    def end(self, id_: UUID, cause: EndCause, again: bool) -> None:
        STEPS["end"] += 1
        session = self.model.open.get(id_)
        is_lost = cause is EndCause.LOST and session is not None and session.seen_at is not None
        at = session.seen_at if is_lost and session and session.seen_at else self.now
        assert self.chain.meter.ended(id_, at, cause, estimated=is_lost) is (session is not None)
        if session is not None:
            self.model.end(id_, at)
        if again:
            assert not self.chain.meter.ended(id_, self.now + timedelta(hours=1), EndCause.EXITED)

    @rule(id_=consumes(sessions), cause=IDLE_ENDS)
    def release(self, id_: UUID, cause: EndCause) -> None:
        STEPS["release"] += 1
        session = self.model.open.get(id_)
        is_idle = session is not None and session.started_at is None
        is_again = is_idle and cause is EndCause.START_FAILED and self.model.is_due_again(id_)
        assert self.chain.meter.released(id_, cause, "keeper") is is_idle
        if is_idle:
            ended = self.model.end(id_, self.now)
            if is_again:
                self._again(ended, id_)

    def _again(self, ended: Session, id_: UUID) -> None:
        """Expect a failed start at the front of the queue: under its own id if nobody took it up."""
        assert ended.waited is not None
        if not ended.is_taken:
            self.model.again(ended, id_, ended.waited.confirmed_at)
            return
        (again,) = (a for a in self.chain.queued() if a.id not in self.model.queue)
        assert again.succeeds == id_
        self.model.again(ended, again.id, max(self.now, ended.waited.confirmed_at))

    @rule(id_=sessions, name=NAMES)
    def rename(self, id_: UUID, name: str) -> None:
        STEPS["rename"] += 1
        session = self.model.open.get(id_)
        if session is None or session.spawner_id is None:
            return
        others = [s for other, s in self.model.open.items() if other != id_]
        taken = any(s.user == session.user and s.name == name for s in (*others, *self.model.queue.values()))
        try:
            assert self.chain.meter.renamed(session.spawner_id, name)
        except ServerExistsError:
            assert taken
        else:
            assert not taken
            session.name = name

    @rule()
    def expire(self) -> None:
        STEPS["expire"] += 1
        cutoff = self.now - timedelta(minutes=1)
        with self.database.read() as connection:
            expired = {a.id for a in self.chain.allocations.expired_holds(connection, cutoff)}
        assert expired == {id_ for id_, s in self.model.open.items() if not s.is_taken and s.started_at is None and s.held_at < cutoff}
        for id_ in expired:
            is_again = self.model.is_due_again(id_)
            assert self.chain.meter.released(id_, EndCause.HOLD_EXPIRED, "keeper")
            ended = self.model.end(id_, self.now)
            if is_again:
                self._again(ended, id_)

    @rule(seconds=st.one_of(st.integers(0, 100), st.floats(-7200, 7200, allow_nan=False)))
    def time_passes_or_the_clock_jumps(self, seconds: float) -> None:
        STEPS["clock"] += 1
        self.chain.clock.move(seconds=seconds)

    @rule()
    def hub_restarts(self) -> None:
        STEPS["restart"] += 1
        self.database.close()
        self.chain = Chain(self.database, self.chain.head_file, self.chain.clock, self.chain.catalog, FIFO)

    @invariant()
    @precondition(lambda self: hasattr(self, "rows"))
    def rows_equal_the_model(self) -> None:
        one = self.rows.execute
        found = one("SELECT id, gpus, state, user_id, server_name FROM allocations WHERE state IN ('held', 'active')").fetchall()
        assert {(row[0], row[1], row[2], row[3], row[4]) for row in found} == {
            (id_.hex, s.gpus, "active" if s.started_at else "held", s.user, s.name) for id_, s in self.model.open.items()
        }
        waiting = one("SELECT id, gpus, user_id, server_name, requeued FROM allocations WHERE state = 'queued'").fetchall()
        assert {tuple(row) for row in waiting} == {(id_.hex, r.gpus, r.user, r.name, r.failures) for id_, r in self.model.queue.items()}
        per_user = Counter[int]()
        for _, gpus, _, user, _ in found:
            per_user[user] += gpus
        assert max(per_user.values(), default=0) <= USER_GPUS
        leases = one("SELECT allocation_id, device_uuid FROM gpu_leases WHERE released_at IS NULL").fetchall()
        assert len({device for _, device in leases}) == len(leases) <= MACHINE_GPUS
        assert Counter(id_ for id_, _ in leases) == Counter({id_.hex: s.gpus for id_, s in self.model.open.items() if s.gpus})
        running = one("SELECT allocation_id FROM usage_intervals WHERE ended_at IS NULL").fetchall()
        assert sorted(row[0] for row in running) == sorted(id_.hex for id_, s in self.model.open.items() if s.started_at)

    @invariant()
    @precondition(lambda self: hasattr(self, "rows") and self.verified != self.model.closed)
    def ledger_equals_the_model(self) -> None:
        total, closed, allocations = self.rows.execute(
            "SELECT coalesce(sum(gpus * (ended_at - started_at)), 0), count(*), count(DISTINCT allocation_id) FROM usage_intervals WHERE ended_at IS NOT NULL"
        ).fetchone()
        assert (total, closed) == (self.model.gpu_microseconds, self.model.closed)
        assert allocations == closed, "one interval for each allocation, so none can overlap"
        assert self.chain.verifier.verify().rows == closed
        assert self.chain.head.read().sequence == closed
        self.verified = closed


@pytest.mark.timeout(1200)
def test_ledger_and_quota_equal_the_model_over_ten_thousand_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (quota_enforcer, requeueing):
        monkeypatch.setattr(module, "uuid4", make_id)
    Platform.database = make_database()
    try:
        run_state_machine_as_test(
            Platform,
            settings=settings(
                max_examples=200, stateful_step_count=100, deadline=None, derandomize=False, print_blob=True, suppress_health_check=list(HealthCheck)
            ),
        )
    finally:
        Platform.database.close()
        shutil.rmtree(FOLDER)
    print(dict(STEPS))
    assert sum(STEPS.values()) >= 10_000
    assert len(STEPS) == 18
    assert min(STEPS.values()) >= 100, "each kind of step is well represented"
