"""Decide and hold are one transaction: at every committed state no limit is exceeded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from aiplatform_hub.domain.allocations import AllocationState, EndCause, GpuDevice, ServerKey
from aiplatform_hub.domain.quota import Outcome
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.errors import CapacityError, ConflictError, QuotaExceededError, QuotaInUseError, ServerExistsError, ServiceUnavailableError
from aiplatform_hub.storage import schema
from aiplatform_hub.storage.database import Database
from tests.support.chain import NOON, Chain, person, want
from tests.support.hold_worker import PATIENCE, race

ROOT = Path(__file__).parents[2]


def check_race(answers: list[dict]) -> None:
    granted = [device for answer in answers for device in answer.get("devices", ())]
    assert sorted(granted) == ["GPU-0", "GPU-1", "GPU-2", "GPU-3"]
    refused = [answer for answer in answers if "refused" in answer]
    assert len(refused) == len(answers) - 4
    assert {answer["refused"] for answer in refused} <= {"capacity", "quota_in_use"}
    assert all(answer["message"] and answer["reasons"] for answer in refused)


@pytest.fixture
def patient_chain(chain: Chain, database_url: str) -> Iterator[Chain]:
    database = Database(url=database_url, lock_timeout=PATIENCE)
    yield replace(chain, database=database)
    database.close()


def test_fifty_parallel_holds_from_threads_grant_exactly_the_capacity(chain: Chain, patient_chain: Chain) -> None:
    check_race(race(patient_chain, 0, 50))
    assert len(chain.open()) == 4


def test_fifty_parallel_holds_from_five_processes_grant_exactly_the_capacity(chain: Chain, database_url: str) -> None:
    command = [sys.executable, "-m", "tests.support.hold_worker", database_url, str(chain.head_file)]
    workers = [subprocess.Popen([*command, str(number), "10"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for number in range(5)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [answer for worker in workers for answer in json.loads(worker.communicate()[0])]
    assert len(answers) == 50
    check_race(answers)
    assert len(chain.open()) == 4


def test_parallel_holds_never_exceed_a_shared_pool(patient_chain: Chain) -> None:
    def one(number: int) -> bool:
        try:
            patient_chain.hold(person(number, "vision"), "", want(0, project="vision"))
        except QuotaInUseError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(one, range(1, 17))) == 3


def test_hold_leases_its_devices_and_stores_its_decision(chain: Chain) -> None:
    held = chain.hold(person(1), "train", want(2))
    assert held.state is AllocationState.HELD
    assert held.devices == ("GPU-0", "GPU-1")
    assert chain.find(held) == held
    with chain.database.read() as connection:
        assert chain.allocations.leased(connection) == {"GPU-0": held.id, "GPU-1": held.id}
        (first,) = chain.allocations.history(connection, held.id)
    assert (first.from_state, first.to_state, first.cause, first.at) == (None, AllocationState.HELD, "admitted", NOON)


def test_denial_is_stored_with_its_reasons_and_holds_nothing(chain: Chain) -> None:
    with pytest.raises(QuotaExceededError) as refused:
        chain.hold(person(1), "", want(3))
    with chain.database.read() as connection:
        row = connection.execute(select(schema.allocations)).mappings().one()
        (first,) = chain.allocations.history(connection, row["id"])
        assert chain.allocations.leased(connection) == {}
    assert (row["state"], row["held_at"]) == ("denied", None)
    assert (first.to_state, first.cause) == (AllocationState.DENIED, "quota_exceeded")
    record = chain.enforcer.why(row["id"])
    assert record.outcome is Outcome.DENY
    assert record.reasons == refused.value.reasons


def test_why_replays_to_the_same_outcome_after_the_world_has_changed(chain: Chain) -> None:
    first = chain.hold(person(1), "a", want(2))
    held = chain.hold(person(2, "staff"), "b", want(1))
    with pytest.raises(CapacityError):
        chain.hold(person(3), "c", want(2))
    chain.meter.released(first.id, EndCause.STOPPED_BY_USER, "user1")
    chain.register(0)
    with chain.database.read() as connection:
        rows = connection.execute(select(schema.decisions.c.id, schema.decisions.c.outcome)).all()
    assert len(rows) == 3
    assert [chain.enforcer.replay(row.id).outcome.value for row in rows] == [row.outcome for row in rows]
    record = chain.enforcer.why(held.id)
    assert record.is_reproduced
    assert record.replayed.devices == held.devices


def test_second_start_of_the_same_server_is_refused(chain: Chain) -> None:
    chain.hold(person(1), "a", want(0))
    with pytest.raises(ServerExistsError):
        chain.hold(person(1), "a", want(0))
    chain.hold(person(2), "a", want(0))


def test_idempotency_key_returns_the_first_answer(chain: Chain) -> None:
    held = chain.hold(person(1), "a", want(1), idempotency_key="k1")
    assert chain.hold(person(1), "a", want(1), idempotency_key="k1") == held
    assert chain.hold(person(2), "a", want(1), idempotency_key="k1") != held
    with pytest.raises(QuotaExceededError) as first:
        chain.hold(person(1), "b", want(4), idempotency_key="k2")
    with pytest.raises(QuotaExceededError) as again:
        chain.hold(person(1), "b", want(4), idempotency_key="k2")
    assert again.value.reasons == first.value.reasons
    with pytest.raises(ConflictError):
        chain.hold(person(1), "a", want(2), idempotency_key="k1")
    with chain.database.read() as connection:
        assert len(connection.execute(select(schema.allocations.c.id)).all()) == 3


def test_take_up_gives_the_waiting_hold(chain: Chain) -> None:
    held = chain.hold(person(1), "a", want(2))
    chain.clock.move(seconds=3)
    taken = chain.take_up(person(1), "a", want(2), spawner_id=7)
    assert taken.id == held.id
    found = chain.find(held)
    assert (found.starting_at, found.spawner_id, found.hub_instance) == (chain.clock.now, 7, "hub-1")
    with chain.database.read() as connection:
        assert [event.cause for event in chain.allocations.history(connection, held.id)] == ["admitted", "starting"]


def test_take_up_of_a_taken_hold_is_refused(chain: Chain) -> None:
    chain.hold(person(1), "a", want(1))
    chain.take_up(person(1), "a", want(1), spawner_id=7)
    with pytest.raises(ServerExistsError):
        chain.take_up(person(1), "a", want(1), spawner_id=7)


def test_take_up_with_another_request_withdraws_and_decides_anew(chain: Chain) -> None:
    held = chain.hold(person(1), "a", want(2))
    taken = chain.take_up(person(1), "a", want(1), spawner_id=7)
    assert taken.id != held.id
    assert chain.find(held).state is AllocationState.WITHDRAWN
    assert [a.id for a in chain.open()] == [taken.id]
    with chain.database.read() as connection:
        assert chain.allocations.leased(connection) == dict.fromkeys(taken.devices, taken.id)


def test_take_up_with_a_request_that_is_denied_still_withdraws(chain: Chain) -> None:
    chain.hold(person(1), "a", want(1))
    with pytest.raises(QuotaExceededError):
        chain.take_up(person(1), "a", want(4), spawner_id=7)
    assert chain.open() == ()


def test_take_up_without_a_hold_decides_and_starts(chain: Chain) -> None:
    taken = chain.take_up(person(1), "a", want(1), spawner_id=7)
    found = chain.find(taken)
    assert (found.state, found.starting_at, found.spawner_id) == (AllocationState.HELD, NOON, 7)


def test_take_up_does_not_use_the_hold_of_another_server_or_person(chain: Chain) -> None:
    mine = chain.hold(person(1), "a", want(1))
    assert chain.take_up(person(1), "b", want(1)).id != mine.id
    assert chain.take_up(person(2), "a", want(1)).id != mine.id


def test_expired_hold_is_found_only_while_untaken(chain: Chain) -> None:
    waiting = chain.hold(person(1), "a", want(0))
    chain.hold(person(1), "b", want(0))
    taken = chain.take_up(person(1), "b", want(0))
    chain.clock.move(seconds=61)
    young = chain.hold(person(1), "c", want(0))
    with chain.database.read() as connection:
        expired = chain.allocations.expired_holds(connection, NOON.replace(second=1))
        stale = chain.allocations.stale_starts(connection, NOON.replace(second=1))
    assert [a.id for a in expired] == [waiting.id]
    assert [a.id for a in stale] == [taken.id]
    assert chain.meter.released(waiting.id, EndCause.HOLD_EXPIRED, "keeper")
    assert chain.find(waiting).state is AllocationState.EXPIRED
    assert not chain.meter.released(taken.id, EndCause.HOLD_EXPIRED, "keeper")
    assert {a.id for a in chain.open()} == {taken.id, young.id}


def test_vanished_device_is_unhealthy_and_not_given(chain: Chain) -> None:
    held = chain.hold(person(1), "a", want(1))
    chain.register(2)
    (row,) = chain.enforcer.capacity()
    assert (row.total, row.free, row.held, row.unhealthy) == (4, 1, 1, 2)
    with pytest.raises(CapacityError):
        chain.hold(person(2), "b", want(2))
    assert chain.find(held).is_open


def test_hold_before_the_machine_is_known_is_unavailable(database, tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailableError):
        Chain(database, tmp_path / "head").hold(person(1))


def test_two_open_leases_of_one_device_are_impossible(chain: Chain) -> None:
    """Rule: the constraint alone, without the lock, keeps a device from being promised twice."""
    held = chain.hold(person(1), "a", want(1))
    other = chain.hold(person(2), "b", want(0))
    with pytest.raises(IntegrityError), chain.database.write() as connection:
        connection.execute(insert(schema.gpu_leases).values(device_uuid=held.devices[0], allocation_id=other.id))


def test_lost_lease_race_is_a_capacity_refusal(chain: Chain) -> None:
    """A lease that no open allocation explains is what a decision cannot see and the constraint does."""
    held = chain.hold(person(1), "a", want(1))
    with chain.database.write() as connection:
        connection.execute(update(schema.allocations).where(schema.allocations.c.id == held.id).values(state="ended"))
    with pytest.raises(CapacityError) as refused:
        chain.hold(person(2), "b", want(1))
    assert refused.value.retry_after_seconds
    with chain.database.read() as connection:
        assert len(connection.execute(select(schema.decisions.c.id)).all()) == 1


def test_gpu_hours_window_counts_clipped_and_running_intervals(chain: Chain) -> None:
    caller = person(1, "metered")
    chain.clock.now = NOON.replace(day=16)
    old = chain.take_up(caller, "old", want(2))
    chain.meter.started(old.id, chain.clock.now)
    chain.clock.move(days=1, hours=2)
    chain.meter.ended(old.id, chain.clock.now, EndCause.EXITED)
    chain.clock.now = NOON.replace(hour=11)
    running = chain.take_up(caller, "new", want(1))
    chain.meter.started(running.id, chain.clock.now)
    chain.clock.move(hours=1)
    (row,) = [row for row in chain.enforcer.quota_of(caller) if row.limit.dimension == "gpu_hours"]
    assert row.used == 2 * 2 + 1
    chain.clock.move(hours=9)
    with pytest.raises(QuotaInUseError):
        chain.hold(caller, "more", want(1))
    chain.hold(caller, "cpu", want(0))


def test_gpu_hours_apply_through_a_grant(chain: Chain) -> None:
    values = {"user_name": "user1", "tier": "metered", "reason": "", "granted_by": "boss", "granted_at": NOON}
    with chain.database.write() as connection:
        connection.execute(insert(schema.grants).values(id=uuid4(), expires_at=NOON.replace(hour=13), **values))
    rows = {row.limit.dimension: row for row in chain.enforcer.quota_of(person(1))}
    assert rows["gpu_hours"].used == 0
    assert rows["gpus"].limit.amount == 4
    assert chain.enforcer.tier_name(person(1)) == "metered"
    chain.clock.move(hours=1)
    assert chain.enforcer.tier_name(person(1)) == "default"


def test_full_storage_refuses_gpus_but_not_cleaning_up(chain: Chain) -> None:
    with chain.database.write() as connection:
        connection.execute(insert(schema.storage_usage).values(user_name="user1", storage_bytes=101 * GIB, measured_at=NOON))
    with pytest.raises(QuotaInUseError):
        chain.hold(person(1), "a", want(1))
    chain.hold(person(1), "b", want(0))


def test_dry_run_decides_and_changes_nothing(chain: Chain) -> None:
    assert chain.enforcer.dry_run(person(1), want(2)).devices == ("GPU-0", "GPU-1")
    assert chain.enforcer.dry_run(person(1), want(3)).error_code == "quota_exceeded"
    with chain.database.read() as connection:
        assert connection.execute(select(schema.decisions)).all() == []


def test_register_devices_twice_changes_one_row_each(chain: Chain) -> None:
    chain.enforcer.register_devices([GpuDevice("GPU-0", "h100", 80 * GIB, is_healthy=False)], 128 * GIB, 16)
    with chain.database.read() as connection:
        pool = chain.devices.pool(connection)
    assert pool is not None
    assert (pool.memory_bytes, pool.cpu_cores, len(pool.devices)) == (128 * GIB, 16, 4)
    assert not any(device.is_healthy for device in pool.devices)


def test_server_is_known_by_its_spawner_after_a_rename(chain: Chain) -> None:
    chain.take_up(person(1), "a", want(0), spawner_id=7)
    assert chain.meter.renamed(7, "b")
    with pytest.raises(ServerExistsError):
        chain.enforcer.hold(person(1), want(0), ServerKey(1, "zzz", 7), door="hub", actor="user1")
    chain.hold(person(1), "a", want(0))
    with pytest.raises(ServerExistsError):
        chain.meter.renamed(7, "a")


@pytest.mark.parametrize(("gpus", "outcome"), [(1, "allowed"), (4, "denied")])
def test_start_for_somebody_else_is_audited_in_the_same_transaction(chain: Chain, gpus: int, outcome: str) -> None:
    owner = person(1)
    try:
        chain.enforcer.hold(owner, want(gpus), ServerKey(1, "a"), door="rest", actor="boss")
    except QuotaExceededError:
        assert outcome == "denied"
    with chain.database.read() as connection:
        rows = connection.execute(select(schema.audit_events)).mappings().all()
    assert [(row["actor"], row["action"], row["outcome"], row["detail"]["user"]) for row in rows] == [("boss", "launch_session", outcome, "user1")]


def test_start_for_oneself_is_not_audited(chain: Chain) -> None:
    chain.hold(person(1))
    with chain.database.read() as connection:
        assert connection.execute(select(schema.audit_events)).first() is None
