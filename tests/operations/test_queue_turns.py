"""People who are equal take turns, and what is in use counts, also of sessions that have just begun."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.policy import SHIPPED
from aiplatform_hub.errors import CapacityError
from aiplatform_hub.storage.allocations import AllocationFilter
from tests.support.chain import NOON, Chain, person, want

STAFF = (person(3, "staff"), person(4, "staff"))


@pytest.fixture
def full(chain: Chain) -> Chain:
    for number in range(4):
        chain.hold(person(10 + number), "a", want(1))
    return chain


def ask(chain: Chain, *users: int) -> list[Allocation]:
    """Queue a 1-GPU request of each, a second apart."""
    asked = []
    for number, user in enumerate(users):
        chain.clock.move(seconds=1)
        asked.append(chain.queue(person(user, "staff"), f"s{number}", want(1)))
    return asked


def next_ones(chain: Chain) -> list[int]:
    return [held.user_id for held in chain.dispatch(*STAFF).held]


def test_two_equal_people_take_turns_as_gpus_come_free_one_by_one(full: Chain) -> None:
    ask(full, 3, 3, 3, 4, 4, 4)
    order = []
    for holder in list(full.open()):
        full.end(holder)
        order += next_ones(full)
    assert order in ([3, 4, 3, 4], [4, 3, 4, 3])


def test_two_equal_people_take_turns_in_one_pass(full: Chain) -> None:
    ask(full, 3, 3, 3, 3, 4, 4, 4, 4)
    for holder in list(full.open()):
        full.end(holder)
    assert sorted(next_ones(full)) == [3, 3, 4, 4]


def test_holds_and_sessions_that_have_just_begun_count(chain: Chain) -> None:
    held = chain.take_up(person(3, "staff"), "x", want(2))
    chain.meter.started(held.id, chain.clock())
    chain.hold(person(11), "a", want(1))
    last = chain.hold(person(12), "b", want(1))
    ask(chain, 3, 3, 4, 4)
    chain.end(last)
    assert next_ones(chain) == [4]


def test_use_of_sessions_that_still_run_counts(chain: Chain) -> None:
    heavy = chain.take_up(person(3, "staff"), "x", want(2))
    chain.meter.started(heavy.id, NOON)
    last = chain.hold(person(12), "b", want(2))
    chain.clock.move(hours=30)
    chain.end(last)
    chain.hold(person(4, "staff"), "y", want(2))
    light = [a for a in chain.open() if a.user_id == 4]
    ask(chain, 3, 4)
    chain.end(light[0])
    assert next_ones(chain)[0] == 4, "both hold two GPUs, or did; 3 has had them for longer"


def test_order_by_submit_time_alone_knows_no_turns(full: Chain) -> None:
    fifo = Chain(full.database, full.head_file, full.clock, policy=replace(SHIPPED, is_fair=False))
    ask(fifo, 3, 3, 4)
    for holder in list(fifo.open())[:2]:
        fifo.end(holder)
    assert next_ones(fifo) == [3, 3]


def test_a_decision_stores_only_who_had_a_say_in_it_and_replays(full: Chain) -> None:
    """Beside a thousand who wait each start would else write them all down, while everybody waits for its lock."""
    asked = ask(full, *([3, 4] * 8))
    newcomer = asked[-1]
    for holder in list(full.open())[:2]:
        full.end(holder)
    started = full.dispatch(*STAFF).held
    assert len(started) == 2
    stored = {a.id: full.enforcer.why(a.id) for a in (*started, newcomer)}
    assert all(record.is_reproduced for record in stored.values())
    lines = [record.decision.inputs["standing"]["line"] for record in stored.values()]
    assert [len(line["waiting"]["rows"]) for line in lines] == [1, 2, 1]
    assert lines[0]["left_out"] == {"like_it": 15, "gpus": 15}


def test_a_newcomer_is_told_of_all_who_wait_though_few_are_stored(full: Chain) -> None:
    asked = ask(full, *([3, 4] * 8))
    full.dispatch(*STAFF)
    full.end(full.open()[0])
    with pytest.raises(CapacityError, match="16 requests wait"):
        full.hold(person(7, "staff"), "n", want(1))
    with full.database.read() as connection:
        denied = full.allocations.page(connection, AllocationFilter(user_id=7), limit=1)[0]
    record = full.enforcer.why(denied.id)
    assert record.is_reproduced
    assert "16 requests wait" in record.replayed.reasons[0].message
    assert len(record.decision.inputs["standing"]["line"]["waiting"]["rows"]) == 2 < len(asked)
