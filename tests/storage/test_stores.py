"""Stores give back what they were given, on both databases."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from aiplatform_hub.domain.allocations import AllocationState, EndCause, ServerKey
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.storage.allocations import AllocationFilter, Cursor
from aiplatform_hub.storage.audit import AuditEvent, AuditStore
from aiplatform_hub.storage.database import Database, TakenError, has_table
from aiplatform_hub.storage.heartbeats import Heartbeat, HeartbeatStore
from aiplatform_hub.storage.storage_usage import StorageUsageStore
from tests.support.chain import NOON, Chain, person, want


def test_pages_go_from_new_to_old_and_lose_nothing(chain: Chain) -> None:
    held = []
    for number in range(7):
        if number % 3 == 0:
            chain.clock.move(seconds=1)
        held.append(chain.hold(person(number), "a", want(0)).id)
    seen, after = [], None
    while True:
        with chain.database.read() as connection:
            page = chain.allocations.page(connection, AllocationFilter(), limit=2, after=after)
        if not page:
            break
        seen += [(a.requested_at, a.id) for a in page]
        after = Cursor(page[-1].requested_at, page[-1].id)
    assert len(seen) == 7
    assert {id_ for _, id_ in seen} == set(held)
    assert [moment for moment, _ in seen] == sorted((moment for moment, _ in seen), reverse=True)


@pytest.mark.parametrize(
    ("narrow", "names"),
    [
        (AllocationFilter(user_id=1), ["c", "a"]),
        (AllocationFilter(user_name="user2"), ["b"]),
        (AllocationFilter(project="vision"), ["b"]),
        (AllocationFilter(states=frozenset({AllocationState.HELD})), ["c", "b"]),
        (AllocationFilter(states=frozenset({AllocationState.WITHDRAWN, AllocationState.HELD})), ["c", "b", "a"]),
        (AllocationFilter(since=NOON + timedelta(seconds=2)), ["c"]),
        (AllocationFilter(user_id=1, states=frozenset({AllocationState.ENDED})), []),
    ],
)
def test_lists_are_narrowed(chain: Chain, narrow: AllocationFilter, names: list[str]) -> None:
    first = chain.hold(person(1), "a", want(0))
    chain.clock.move(seconds=1)
    chain.hold(person(2, "vision"), "b", want(0, project="vision"))
    chain.clock.move(seconds=1)
    chain.hold(person(1), "c", want(0))
    chain.meter.released(first.id, EndCause.STOPPED_BY_USER, "user1")
    with chain.database.read() as connection:
        assert [a.server_name for a in chain.allocations.page(connection, narrow, limit=10)] == names


def test_open_allocations_are_found_by_person_and_by_server(chain: Chain) -> None:
    mine = chain.take_up(person(1), "a", want(0), spawner_id=7)
    other = chain.hold(person(2), "a", want(0))
    with chain.database.read() as connection:
        assert {a.id for a in chain.allocations.open(connection)} == {mine.id, other.id}
        assert [a.id for a in chain.allocations.open_of(connection, 1)] == [mine.id]
        by_id = chain.allocations.open_of_server(connection, ServerKey(1, "renamed", 7))
        by_name = chain.allocations.open_of_server(connection, ServerKey(2, "a", 8))
        assert chain.allocations.open_of_server(connection, ServerKey(3, "a")) is None
    assert (by_id.id, by_name.id) == (mine.id, other.id)


def test_newest_allocation_of_a_server_skips_denials(chain: Chain) -> None:
    first = chain.take_up(person(1), "a", want(0), spawner_id=7)
    chain.meter.started(first.id, NOON)
    chain.meter.ended(first.id, NOON, EndCause.EXITED)
    chain.clock.move(seconds=1)
    with pytest.raises(Exception, match="GPUs"):
        chain.hold(person(1), "a", want(9))
    with chain.database.read() as connection:
        assert chain.allocations.latest_of_server(connection, ServerKey(1, "a", 7)).id == first.id
        assert chain.allocations.latest_of_server(connection, ServerKey(1, "a")).id == first.id
        assert chain.allocations.latest_of_server(connection, ServerKey(1, "a", 8)) is None


def test_transition_from_a_state_that_is_gone_changes_nothing(chain: Chain) -> None:
    held = chain.hold(person(1), "a", want(0))
    chain.meter.released(held.id, EndCause.STOPPED_BY_USER, "user1")
    with chain.database.write() as connection:
        changed = chain.allocations.change(connection, held, to=AllocationState.EXPIRED, at=NOON, cause="hold_expired", actor="keeper")
        assert changed is None
        assert len(chain.allocations.history(connection, held.id)) == 2


def test_hold_that_a_start_took_up_meanwhile_is_not_released(chain: Chain) -> None:
    held = chain.hold(person(1), "a", want(0))
    chain.take_up(person(1), "a", want(0))
    with chain.database.write() as connection:
        changed = chain.allocations.change(connection, held, to=AllocationState.EXPIRED, at=NOON, cause="hold_expired", actor="keeper", is_untaken=True)
        assert changed is None


def test_has_table_looks_and_makes_nothing(database: Database) -> None:
    url = database.url
    assert has_table(url, "allocations")
    assert not has_table(url, "users")


def test_transition_that_does_not_exist_is_an_error(chain: Chain) -> None:
    held = chain.hold(person(1), "a", want(0))
    with pytest.raises(ValueError, match="cannot go"), chain.database.write() as connection:
        chain.allocations.change(connection, held, to=AllocationState.DENIED, at=NOON, cause="x", actor="x")


def test_two_open_intervals_of_one_allocation_are_impossible(chain: Chain) -> None:
    taken = chain.take_up(person(1), "a", want(1))
    chain.meter.started(taken.id, NOON)
    (interval,) = chain.intervals(taken)
    assert isinstance(interval, UsageInterval)
    from dataclasses import replace

    with pytest.raises(TakenError) as caught, chain.database.write() as connection:
        chain.usage.open(connection, replace(interval, id=uuid4()))
    assert "usage_intervals" in caught.value.constraint


def test_error_in_a_transaction_undoes_all_of_it(chain: Chain) -> None:
    held = chain.hold(person(1), "a", want(1))
    with pytest.raises(ZeroDivisionError), chain.database.write() as connection:
        chain.allocations.change(connection, held, to=AllocationState.WITHDRAWN, at=NOON, cause="x", actor="x")
        raise ZeroDivisionError
    assert chain.find(held) == held


def test_heartbeats_replace_each_other(database: Database) -> None:
    store = HeartbeatStore()
    first = Heartbeat("keeper", "k1", NOON, NOON, {"cgroups": True})
    second = Heartbeat("keeper", "k2", NOON, NOON + timedelta(seconds=10), {"cgroups": False})
    for beat in (first, second, Heartbeat("hub", "h1", NOON, NOON)):
        with database.write() as connection:
            store.beat(connection, beat)
    with database.read() as connection:
        assert store.find(connection, "keeper") == second
        assert store.find(connection, "platform") is None
        assert [beat.process for beat in store.all(connection)] == ["hub", "keeper"]


def test_audit_events_come_newest_first(database: Database) -> None:
    store = AuditStore()
    with database.write() as connection:
        for number in range(3):
            store.insert(connection, AuditEvent(NOON, "boss", f"act{number}", "user:a", "done", {"n": number}))
    with database.read() as connection:
        latest = store.latest(connection, limit=2)
        assert [event.action for event in latest] == ["act2", "act1"]
        assert [event.detail for event in store.latest(connection, before_id=latest[-1].id)] == [{"n": 0}]


def test_measured_storage_is_replaced(database: Database) -> None:
    store = StorageUsageStore()
    with database.write() as connection:
        store.record(connection, {"a": 1, "b": 2**50}, NOON)
        store.record(connection, {"a": 3}, NOON)
    with database.read() as connection:
        assert [store.find(connection, name) for name in ("a", "b", "c")] == [3, 2**50, None]
