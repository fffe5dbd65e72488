"""The meter is idempotent, exact, and never goes backwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.storage.database import Database
from tests.support.chain import NOON, Chain, person, want
from tests.support.hold_worker import PATIENCE


@pytest.fixture
def running(chain: Chain) -> Allocation:
    taken = chain.take_up(person(1), "a", want(2), spawner_id=7)
    assert chain.meter.started(taken.id, NOON)
    return taken


def test_started_opens_one_interval_however_often(chain: Chain, running: Allocation) -> None:
    assert chain.meter.started(running.id, NOON + timedelta(seconds=5))
    (interval,) = chain.intervals(running)
    assert (interval.started_at, interval.ended_at, interval.gpus) == (NOON, None, 2)
    found = chain.find(running)
    assert (found.state, found.started_at) == (AllocationState.ACTIVE, NOON)


def test_started_of_what_is_not_open_says_so(chain: Chain) -> None:
    held = chain.hold(person(1), "a", want(1))
    chain.meter.released(held.id, EndCause.HOLD_EXPIRED, "keeper")
    assert not chain.meter.started(held.id, NOON)
    assert not chain.meter.started(uuid4(), NOON)
    assert chain.intervals(held) == ()


def test_ready_is_noted_once(chain: Chain, running: Allocation) -> None:
    chain.meter.ready(running.id, NOON + timedelta(seconds=2))
    chain.meter.ready(running.id, NOON + timedelta(seconds=9))
    assert chain.find(running).ready_at == NOON + timedelta(seconds=2)
    with chain.database.read() as connection:
        assert [event.cause for event in chain.allocations.history(connection, running.id)] == ["admitted", "started", "ready"]


def test_servers_found_ready_are_noted_where_that_is_not_known(chain: Chain, running: Allocation) -> None:
    other, held = chain.take_up(person(2), "b", want(1)), chain.hold(person(3), "c", want(1))
    chain.meter.started(other.id, NOON)
    chain.meter.ready(other.id, NOON + timedelta(seconds=1))
    chain.meter.found_ready({running.id, other.id, held.id, uuid4()}, NOON + timedelta(seconds=9))
    assert [chain.find(a).ready_at for a in (running, other, held)] == [NOON + timedelta(seconds=9), NOON + timedelta(seconds=1), None]


def test_servers_found_ready_that_are_known_take_no_lock(chain: Chain, running: Allocation, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.meter.ready(running.id, NOON + timedelta(seconds=1))
    monkeypatch.setattr(Database, "write", lambda _: pytest.fail("a transaction that writes"))
    chain.meter.found_ready({running.id}, NOON + timedelta(seconds=9))


def test_proofs_of_life_move_forward_only_and_in_one_statement(chain: Chain, running: Allocation) -> None:
    other = chain.take_up(person(2), "b", want(1))
    chain.meter.started(other.id, NOON)
    assert chain.meter.seen({running.id: NOON + timedelta(seconds=9), other.id: NOON + timedelta(seconds=8), uuid4(): NOON}) == 2
    assert chain.meter.seen({running.id: NOON + timedelta(seconds=5)}) == 0
    assert chain.meter.seen({}) == 0
    assert [chain.intervals(a)[0].last_seen_at for a in (running, other)] == [NOON + timedelta(seconds=9), NOON + timedelta(seconds=8)]


def test_ended_closes_everything_and_frees_the_devices(chain: Chain, running: Allocation) -> None:
    end = NOON + timedelta(hours=1)
    assert chain.meter.ended(running.id, end, EndCause.CRASHED)
    found, (interval,) = chain.find(running), chain.intervals(running)
    assert (found.state, found.ended_at, found.end_cause) == (AllocationState.ENDED, end, EndCause.CRASHED)
    assert (interval.ended_at, interval.end_cause, interval.sequence, interval.estimated) == (end, EndCause.CRASHED, 1, False)
    with chain.database.read() as connection:
        assert chain.allocations.leased(connection) == {}
    assert chain.head.read().hash == interval.hash
    assert chain.hold(person(2), "b", want(2)).devices == ("GPU-0", "GPU-1")


def test_ended_from_eight_threads_closes_once(chain: Chain, running: Allocation, database_url: str) -> None:
    database = Database(url=database_url, lock_timeout=PATIENCE)
    meter = replace(chain, database=database).meter
    with ThreadPoolExecutor(8) as pool:
        ends = [NOON + timedelta(seconds=number) for number in range(8)]
        answers = list(pool.map(lambda end: meter.ended(running.id, end, EndCause.EXITED), ends))
    database.close()
    assert sum(answers) == 1
    assert chain.verifier.verify().rows == 1


def test_end_is_never_before_the_start(chain: Chain, running: Allocation) -> None:
    assert chain.meter.ended(running.id, NOON - timedelta(hours=3), EndCause.LOST, estimated=True)
    (interval,) = chain.intervals(running)
    assert (interval.started_at, interval.ended_at, interval.estimated) == (NOON, NOON, True)
    assert chain.find(running).estimated


def test_clock_set_back_between_hold_and_start(chain: Chain) -> None:
    taken = chain.take_up(person(1), "a", want(1))
    assert chain.meter.started(taken.id, NOON - timedelta(hours=1))
    assert chain.meter.ended(taken.id, NOON - timedelta(minutes=50), EndCause.EXITED)
    (interval,) = chain.intervals(taken)
    assert interval.ended_at - interval.started_at == timedelta(minutes=10)


@pytest.mark.parametrize("shown", [EndCause.EXITED, EndCause.CRASHED, EndCause.KILLED])
def test_asked_for_stop_wins_over_what_the_process_shows(chain: Chain, running: Allocation, shown: EndCause) -> None:
    assert chain.meter.request_stop(running.id, "boss", EndCause.STOPPED_BY_ADMIN)
    assert chain.meter.request_stop(running.id, "hub", EndCause.STOPPED) is False
    chain.meter.ended(running.id, NOON, shown)
    found = chain.find(running)
    assert (found.end_cause, found.stop_requested_by) == (EndCause.STOPPED_BY_ADMIN, "boss")
    assert chain.intervals(running)[0].end_cause is EndCause.STOPPED_BY_ADMIN
    assert not chain.meter.request_stop(running.id, "boss", EndCause.STOPPED_BY_ADMIN)


def test_out_of_memory_is_not_explained_away(chain: Chain, running: Allocation) -> None:
    chain.meter.request_stop(running.id, "user1", EndCause.STOPPED_BY_USER)
    chain.meter.ended(running.id, NOON, EndCause.OUT_OF_MEMORY)
    assert chain.find(running).end_cause is EndCause.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("cause", "is_taken", "state"),
    [
        (EndCause.HOLD_EXPIRED, False, AllocationState.EXPIRED),
        (EndCause.STOPPED_BY_USER, False, AllocationState.WITHDRAWN),
        (EndCause.STOPPED_BY_USER, True, AllocationState.ENDED),
        (EndCause.START_FAILED, True, AllocationState.ENDED),
        (EndCause.LOST, True, AllocationState.ENDED),
    ],
)
def test_hold_that_never_started_is_released(chain: Chain, cause: EndCause, is_taken: bool, state: AllocationState) -> None:
    held = chain.hold(person(1), "a", want(1))
    if is_taken:
        chain.take_up(person(1), "a", want(1))
    assert chain.meter.released(held.id, cause, "keeper")
    assert not chain.meter.released(held.id, cause, "keeper")
    found = chain.find(held)
    assert (found.state, found.end_cause) == (state, cause)
    assert chain.intervals(held) == ()
    with chain.database.read() as connection:
        assert chain.allocations.leased(connection) == {}


def test_running_server_is_not_released(chain: Chain, running: Allocation) -> None:
    assert not chain.meter.released(running.id, EndCause.START_FAILED, "keeper")
    assert chain.find(running).is_open


def test_end_of_a_start_that_never_ran_is_a_release(chain: Chain) -> None:
    taken = chain.take_up(person(1), "a", want(1))
    assert chain.meter.ended(taken.id, NOON, EndCause.START_FAILED)
    assert (chain.find(taken).end_cause, chain.intervals(taken)) == (EndCause.START_FAILED, ())


def test_rename_keeps_the_open_rows_right(chain: Chain, running: Allocation) -> None:
    assert chain.meter.renamed(7, "b")
    assert chain.meter.renamed(7, "b")
    assert not chain.meter.renamed(8, "c")
    assert chain.find(running).server_name == "b"


def test_events_come_in_order_and_resume(chain: Chain, running: Allocation) -> None:
    from aiplatform_hub.storage.events import EventStore

    store = EventStore()
    with chain.database.read() as connection:
        latest = store.latest_id(connection)
    chain.meter.ready(running.id, NOON)
    chain.meter.ended(running.id, NOON, EndCause.EXITED)
    with chain.database.read() as connection:
        assert [event.cause for event in store.since(connection, latest)] == ["ready", "exited"]
        assert [event.cause for event in store.since(connection, 0, limit=1)] == ["started"]
