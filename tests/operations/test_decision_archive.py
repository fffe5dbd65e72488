"""What many decisions saw alike is stored once, and each of them is replayed from it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import func, select

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.quota import Outcome
from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.operations.decision_archive import FEW
from aiplatform_hub.storage.schema import decision_parts, decisions
from tests.support.chain import Chain, person

GPUS = FEW
"""So many that one session more than none makes the inputs large."""


@pytest.fixture
def large(chain: Chain) -> Chain:
    chain.register(GPUS)
    for number in range(3):
        chain.hold(person(100 + number), is_starting=True)
    return chain


def parts(chain: Chain) -> int:
    with chain.database.read() as connection:
        return connection.execute(select(func.count()).select_from(decision_parts)).scalar_one()


def stored(chain: Chain, allocation: Allocation) -> dict:
    with chain.database.read() as connection:
        return connection.execute(select(decisions.c.inputs).where(decisions.c.allocation_id == allocation.id)).scalar_one()


def test_beside_few_the_decision_holds_everything(chain):
    held = [chain.hold(person(number)) for number in range(1, 4)]
    assert len(stored(chain, held[-1])["open_allocations"]) == 2
    assert parts(chain) == 0


def test_beside_many_it_names_what_it_saw_and_is_replayed(large):
    held = large.hold(person(1))
    seen = stored(large, held)["seen"]
    assert len(seen["open_allocations"]) == 3
    assert "open_allocations" not in stored(large, held)
    record = large.enforcer.why(held.id)
    assert record.is_reproduced
    assert record.replayed.devices == held.devices
    assert len(record.decision.inputs["open_allocations"]) == 3
    holders = {device["uuid"]: device["held_by"] for device in record.decision.inputs["capacity"]["devices"] if device["held_by"]}
    assert {str(a.id) for a in large.open() if a.id != held.id} == set(holders.values())


def test_a_refusal_names_who_holds_as_it_was_then(large):
    mine = [large.hold(person(1), f"train-{number}") for number in range(2)]
    with pytest.raises(AIPlatformError):
        large.hold(person(1), "train-3")
    with large.database.read() as connection:
        denied = connection.execute(select(decisions.c.allocation_id).where(decisions.c.outcome == "deny")).scalar_one()
    large.end(mine[0])
    record = large.enforcer.why(denied)
    assert record.outcome is Outcome.DENY
    assert record.is_reproduced
    assert any("train-0" in name for reason in record.replayed.reasons for name in reason.held_by)


def test_what_is_as_it_was_is_not_stored_again(large):
    large.hold(person(1))
    before = parts(large)
    others = [large.hold(person(number)) for number in range(2, 6)]
    assert parts(large) == before + len(others)  # the one before each; the GPUs and the other sessions are known


def test_what_has_changed_is_stored_as_it_is_now(large):
    first = large.hold(person(1), is_starting=True)
    second = large.hold(person(2))
    large.meter.started(first.id, large.clock())
    third = large.hold(person(3))
    state = {
        name: next(each["state"] for each in large.enforcer.why(one.id).decision.inputs["open_allocations"] if each["id"] == str(first.id))
        for name, one in (("second", second), ("third", third))
    }
    assert state == {"second": "held", "third": "active"}


def test_another_process_stores_its_own(large):
    other = Chain(large.database, large.head_file, clock=large.clock)
    held = other.hold(person(1))
    assert other.enforcer.why(held.id).is_reproduced
    assert large.enforcer.why(large.hold(person(2)).id).is_reproduced


@contextmanager
def failing_insert(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(chain.allocations, "insert", lambda *_args, **_values: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            yield


def test_what_was_rolled_back_is_not_named_later(large, monkeypatch):
    with failing_insert(large, monkeypatch):
        large.hold(person(1))
    held = large.hold(person(1))
    assert large.enforcer.why(held.id).is_reproduced


def test_threads_that_decide_at_once_name_what_is_stored(large):
    held: list[Allocation] = []
    threads = [threading.Thread(target=lambda number=number: held.append(large.hold(person(number)))) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 8
    assert all(large.enforcer.why(one.id).is_reproduced for one in held)
