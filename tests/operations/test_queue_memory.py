"""A pass of the dispatcher is remembered with all that it depended on, and gives the same plan again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.domain.queue_values import ReasonCode
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.operations import queue_memory
from aiplatform_hub.storage.schema import queue_snapshots
from tests.support.chain import NOON, Chain, person, want


@pytest.fixture
def full(chain: Chain) -> Chain:
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(2))
    return chain


def rows(chain: Chain) -> int:
    with chain.database.read() as connection:
        return connection.execute(select(func.count()).select_from(queue_snapshots)).scalar_one()


def test_pass_replays_with_the_same_decisions(full: Chain) -> None:
    queued = [full.queue(person(number), "c", want(gpus)) for number, gpus in ((3, 2), (4, 1))]
    full.dispatch()
    assert full.memory.store() == 1
    full.clock.move(minutes=5)
    for held in full.open():
        full.end(held)
    full.dispatch()
    full.memory.store()
    then, now = full.memory.replay(NOON + timedelta(minutes=4)), full.memory.replay(full.clock())
    assert then.agrees
    assert now.agrees
    assert [each.code for each in then.found.decisions] == [ReasonCode.TAKEN, ReasonCode.TAKEN]
    assert {start.request_id for start in now.found.starts} == {str(each.id) for each in queued}
    assert now.line.ranks == full.memory.replay(full.clock()).line.ranks
    assert set(then.allocations) == {each.id for each in then.line.running} | {each.id for each in then.line.waiting}


def test_pass_that_finds_the_same_is_not_stored_again(full: Chain) -> None:
    full.queue(person(3), "c", want(2))
    for _ in range(3):
        full.dispatch()
        full.clock.move(seconds=1)
    assert full.memory.store() == 1
    assert full.memory.store() == 0
    full.queue(person(4), "c", want(1))
    full.dispatch()
    assert full.memory.store() == 1


def test_other_rules_are_seen_as_another_plan(full: Chain) -> None:
    for number, gpus in ((3, 2), (4, 2)):
        full.queue(person(number), "c", want(gpus))
        full.clock.move(minutes=1)
    full.dispatch()
    full.memory.store()
    with full.database.write() as connection:
        row = connection.execute(select(queue_snapshots.c.id, queue_snapshots.c.entries)).one()
        decisions = list(reversed(row.entries["plan"]["decisions"]))
        changed = {"plan": {**row.entries["plan"], "decisions": decisions}}
        connection.execute(update(queue_snapshots).where(queue_snapshots.c.id == row.id).values(entries=changed))
    assert not full.memory.replay(full.clock()).agrees


def test_time_before_the_first_pass_is_refused_with_what_is_known(full: Chain) -> None:
    with pytest.raises(NotFoundError, match="no pass over the queue is remembered yet"):
        full.memory.replay(NOON)
    full.queue(person(3), "c", want(2))
    full.dispatch()
    full.memory.store()
    with pytest.raises(NotFoundError, match=r"the first pass that is remembered was at 2026-11-24 12:00:00 UTC"):
        full.memory.replay(NOON - timedelta(seconds=1))


def test_old_passes_are_forgotten(full: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_memory, "PRUNED_EVERY", 1)
    full.queue(person(3), "c", want(2))
    full.dispatch()
    full.memory.store()
    full.clock.move(days=31)
    chain = Chain(full.database, full.head_file, full.clock, policy=FIFO)
    chain.dispatch(person(3))
    chain.memory.store()
    assert rows(full) == 1


def test_memory_that_is_not_stored_never_grows_without_end(full: Chain) -> None:
    for number in range(queue_memory.MOST_PENDING + 5):
        queued = full.queue(person(3 + number % 5), f"c{number}", want(1))
        full.dispatch()
        full.desk.withdraw(queued.id, by="x")
    assert full.memory.store() == queue_memory.MOST_PENDING
