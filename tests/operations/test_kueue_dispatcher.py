"""Where Kueue gives out the GPUs: each allocation has its Workload, whom Kueue admits is held, and Kueue away costs nobody anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.kueue import Phase
from aiplatform_hub.domain.queueing import WaitCode
from aiplatform_hub.domain.quota import Outcome
from aiplatform_hub.errors import CapacityError
from aiplatform_hub.storage.database import Database
from tests.support.chain import person, want
from tests.support.kueue import KueueChain


@pytest.fixture
def chain(database: Database, tmp_path: Path) -> Iterator[KueueChain]:
    made = KueueChain(database, tmp_path / "ledger-head.json")
    made.register()
    yield made


def passes(chain: KueueChain, number: int = 3) -> tuple[Allocation, ...]:
    """Make some passes; return what was held."""
    return tuple(held for _ in range(number) for held in chain.dispatch().held)


def started(chain: KueueChain, number: int, gpus: int = 2) -> Allocation:
    """Return a session that came through the queue and runs."""
    queued = chain.queue(person(number), "s", want(gpus))
    passes(chain)
    chain.take_up(person(number), "s", want(gpus))
    assert chain.meter.started(queued.id, chain.clock())
    return chain.find(queued)


def codes(chain: KueueChain) -> list[WaitCode]:
    return [entry.reason.code for entry in chain.dispatch().entries]


def test_gpus_are_never_given_out_at_a_door(chain: KueueChain) -> None:
    with pytest.raises(CapacityError, match="Kueue gives out"):
        chain.hold(person(1), "a", want(1))
    with pytest.raises(CapacityError, match="Kueue gives out"):
        chain.take_up(person(1), "a", want(1))
    assert chain.queue(person(1), "a", want(1)).is_queued
    assert chain.hold(person(2), "b", want(0)).state is AllocationState.HELD


def test_who_is_admitted_is_held_on_a_node_of_the_flavour(chain: KueueChain) -> None:
    queued = chain.queue(person(1), "a", want(2))
    assert chain.dispatch().goes_on, "a Workload was made: a pass soon finds it admitted"
    (held,) = chain.dispatch().held
    assert (held.id, held.devices) == (queued.id, ("n1/nvidia.com/gpu/0", "n1/nvidia.com/gpu/1"))
    assert chain.kueue.works[queued.id].asked.queue == "hub-personal"
    record = chain.enforcer.why(held.id)
    assert record.outcome is Outcome.ADMIT
    assert record.is_reproduced
    assert not chain.dispatch().goes_on


def test_nobody_is_held_whom_kueue_has_not_admitted(chain: KueueChain) -> None:
    chain.kueue.is_admitting = False
    queued = chain.queue(person(1), "a", want(1))
    assert passes(chain) == ()
    assert chain.find(queued).is_queued
    assert codes(chain) == [WaitCode.KUEUE_QUOTA]


def test_order_is_fair_share_and_submit_time_within_one_second_too(chain: KueueChain) -> None:
    started(chain, 1), started(chain, 2)
    order = [chain.queue(person(number), "q", want(1)) for number in (3, 4, 5, 6)]
    passes(chain)
    priorities = [chain.kueue.works[each.id].priority for each in order]
    assert len(set(priorities)) == 4
    assert [entry.id for entry in chain.dispatch().entries] == [each.id for each in sorted(order, key=lambda a: -chain.kueue.works[a.id].priority)]


def test_workload_goes_with_its_allocation_and_the_next_starts(chain: KueueChain) -> None:
    first, second = started(chain, 1), started(chain, 2)
    waiting = chain.queue(person(3), "q", want(2))
    assert passes(chain) == ()
    chain.meter.ended(first.id, chain.clock.move(seconds=5), EndCause.EXITED)
    (held,) = passes(chain)
    assert held.id == waiting.id
    assert chain.kueue.works.keys() == {second.id, waiting.id}


def test_withdrawn_request_leaves_no_workload(chain: KueueChain) -> None:
    started(chain, 1), started(chain, 2)
    waiting = chain.queue(person(3), "q", want(2))
    passes(chain)
    assert waiting.id in chain.kueue.works
    chain.desk.withdraw(waiting.id, by="user3")
    passes(chain)
    assert waiting.id not in chain.kueue.works


def test_changed_gpu_count_is_told_to_kueue(chain: KueueChain) -> None:
    started(chain, 1), started(chain, 2, 1)
    waiting = chain.queue(person(3), "q", want(2))
    passes(chain)
    chain.desk.change_gpus(waiting.id, person(3), 1, by="user3")
    (held,) = passes(chain)
    assert (held.id, len(held.devices)) == (waiting.id, 1)
    assert chain.kueue.works[waiting.id].asked.gpus == 1


def test_admission_for_another_count_is_given_back(chain: KueueChain) -> None:
    waiting = chain.queue(person(3), "q", want(2))
    chain.dispatch()
    assert chain.kueue.works[waiting.id].phase is Phase.ADMITTED
    chain.desk.change_gpus(waiting.id, person(3), 1, by="user3")
    (held,) = passes(chain, 4)
    assert len(held.devices) == 1
    assert chain.kueue.works[waiting.id].asked.gpus == 1


@pytest.mark.parametrize("is_running", [False, True])
def test_workload_deleted_behind_our_back_is_made_again(chain: KueueChain, is_running: bool) -> None:
    one = started(chain, 1) if is_running else chain.queue(person(1), "s", want(2))
    chain.dispatch()
    del chain.kueue.works[one.id]
    passes(chain)
    assert one.id in chain.kueue.works
    assert chain.find(one).state is (AllocationState.ACTIVE if is_running else AllocationState.HELD)


def test_workload_of_a_running_session_comes_before_all_who_wait(chain: KueueChain) -> None:
    running = started(chain, 1)
    chain.kueue.is_admitting = False
    waiting = chain.queue(person(2), "q", want(2))
    del chain.kueue.works[running.id]
    passes(chain)
    assert chain.kueue.works[running.id].priority > chain.kueue.works[waiting.id].priority


def test_request_over_its_own_limit_keeps_no_quota_from_others(chain: KueueChain) -> None:
    started(chain, 1)
    own = chain.queue(person(1), "second", want(2))
    passes(chain)
    assert (chain.kueue.works[own.id].is_active, chain.kueue.works[own.id].phase) == (False, Phase.PENDING)
    other = chain.queue(person(2), "q", want(2))
    assert [held.id for held in passes(chain)] == [other.id]
    assert codes(chain) == [WaitCode.QUOTA_IN_USE]


def test_kueue_away_touches_nothing_and_says_so_and_comes_back(chain: KueueChain) -> None:
    running = started(chain, 1)
    chain.kueue.is_away = True
    waiting = chain.queue(person(2), "q", want(2))
    without = chain.queue(person(3), "cpu", want(0))
    assert passes(chain) == ()
    assert chain.find(running).state is AllocationState.ACTIVE
    assert chain.find(without).state is AllocationState.HELD
    assert codes(chain) == [WaitCode.KUEUE_AWAY]
    assert [entry.reason.code for entry in chain.desk.entries()] == [WaitCode.KUEUE_AWAY]
    chain.kueue.is_away = False
    assert [held.id for held in passes(chain)] == [waiting.id]


def test_who_stands_behind_the_first_of_a_strict_queue_is_told_so_and_what_is_free(chain: KueueChain) -> None:
    started(chain, 1)
    started(chain, 2, gpus=1)
    first = chain.queue(person(3), "q", want(2))
    passes(chain)
    second = chain.queue(person(4), "q", want(1))
    passes(chain)
    chain.kueue.works[second.id] = replace(chain.kueue.works[second.id], why="")  # as Kueue, which looks at the first alone
    entries = {entry.id: entry for entry in chain.dispatch().entries}
    assert entries[first.id].reason.code is WaitCode.KUEUE_QUOTA
    found = entries[second.id]
    assert (found.position, found.reason.code, found.reason.ahead, found.reason.free) == (2, WaitCode.KUEUE_BEHIND, 1, "1")


def test_admitted_request_waits_for_a_node_that_kueue_knows_nothing_of(chain: KueueChain) -> None:
    chain.register(1)
    chain.kueue.quota = 8
    waiting = chain.queue(person(1), "q", want(1))
    other = chain.queue(person(2), "q", want(1))
    (held,) = passes(chain)
    (left,) = {waiting.id, other.id} - {held.id}
    (entry,) = chain.dispatch().entries
    assert (entry.id, entry.reason.code) == (left, WaitCode.KUEUE_NODE)


def test_gpus_of_another_flavours_nodes_are_not_taken(chain: KueueChain) -> None:
    chain.register(4, node="n2")  # the flavour's node is gone, and one of another quota is there
    waiting = chain.queue(person(1), "q", want(1))
    assert passes(chain) == ()
    assert chain.kueue.works[waiting.id].phase is Phase.ADMITTED
    assert codes(chain) == [WaitCode.KUEUE_NODE]


def test_hold_that_loses_its_quota_waits_again(chain: KueueChain) -> None:
    queued = chain.queue(person(1), "q", want(2))
    assert passes(chain)
    chain.kueue.evict(queued.id)
    chain.kueue.is_admitting = False
    passes(chain)
    assert chain.find(queued).is_queued
    assert chain.kueue.works[queued.id].phase is Phase.PENDING
