"""The reconciler with real database and real session runners; each test is one crash."""

import signal
import threading
import time
from datetime import timedelta

from aiplatform_hub.clients.identity import send_signal, wait_for_exit
from aiplatform_hub.clients.processes import processes_of_allocation
from aiplatform_hub.clients.spool import boot_id
from aiplatform_hub.domain.allocations import AllocationState, EndCause
from tests.support.machine import Machine


def kill(record, *, runner=False):
    target = record.runner if runner else record.process
    assert send_signal(target, signal.SIGKILL)
    assert wait_for_exit(target, 5)


def await_end(machine, allocation):
    record = machine.record(allocation)
    if record.runner:
        assert wait_for_exit(record.runner, 5)
    return machine.record(allocation)


def test_running_servers_stay_as_they_are(machine):
    allocation = machine.start(gpus=2)
    corrections = machine.factory.reconciler.reconcile()
    assert corrections.counts == {}
    assert machine.find(allocation.id) == allocation
    assert machine.interval(allocation).last_seen_at > allocation.started_at


def test_a_killed_server_ends_when_its_runner_says(machine):
    allocation = machine.start()
    kill(machine.record(allocation))
    record = await_end(machine, allocation)
    assert machine.factory.reconciler.reconcile().counts == {"ended": 1}
    interval = machine.interval(allocation)
    assert (interval.ended_at, interval.end_cause, interval.estimated) == (record.ended_at, EndCause.KILLED, False)
    assert machine.leases() == {}


def test_an_end_that_nobody_saw_is_the_last_proof_of_life(machine):
    allocation = machine.start()
    record = machine.record(allocation)
    kill(record, runner=True)
    machine.factory.reconciler.prove()
    proof = machine.interval(allocation).last_seen_at
    time.sleep(0.3)
    kill(record)
    assert machine.factory.reconciler.reconcile().counts == {"lost": 1}
    interval = machine.interval(allocation)
    assert (interval.ended_at, interval.end_cause, interval.estimated) == (proof, EndCause.LOST, True)
    assert machine.find(allocation.id).estimated


def test_what_a_lost_server_left_behind_is_killed_before_its_gpus_are_free(machine):
    allocation = machine.start(1, "", 1, "/bin/sh", "-c", "setsid sleep 1000 & setsid sleep 1000 & wait")
    record = machine.record(allocation)
    deadline = time.monotonic() + 5
    while len(processes_of_allocation(allocation.id)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kill(record, runner=True)
    kill(record)
    assert len(processes_of_allocation(allocation.id)) == 2
    machine.factory.reconciler.reconcile()
    assert processes_of_allocation(allocation.id) == ()
    assert machine.leases() == {}


def test_a_killed_runner_stops_nothing(machine):
    allocation = machine.start()
    kill(machine.record(allocation), runner=True)
    assert machine.factory.reconciler.reconcile().counts == {}
    assert machine.find(allocation.id).state is AllocationState.ACTIVE
    assert machine.running() == {allocation.id}


def test_a_server_that_the_meter_does_not_know_is_metered_from_its_start(machine):
    allocation = machine.take_up()
    record = machine.launch(allocation)  # and here the hub died
    machine.restart_hub()
    assert machine.factory.reconciler.reconcile().counts == {"started": 1}
    assert machine.interval(allocation).started_at == record.started_at


def test_a_start_that_no_hub_knows_any_more_is_stopped_and_priced_as_failed(machine):
    allocation = machine.take_up()
    machine.launch(allocation)
    machine.restart_hub()
    reconciler = machine.factory.reconciler
    reconciler.reconcile()
    reconciler.abandon([allocation.id])
    assert machine.running() == frozenset()
    assert machine.find(allocation.id).end_cause is EndCause.START_FAILED
    assert machine.interval(allocation).end_cause is EndCause.START_FAILED


def test_starts_that_were_cut_off_are_stopped_side_by_side(machine, monkeypatch):
    allocations = [machine.take_up(user, gpus=0) for user in (1, 2)]
    together = threading.Barrier(len(allocations), timeout=10)
    monkeypatch.setattr(machine.factory.runtime, "stop", lambda _id, _grace: together.wait())
    machine.factory.reconciler.abandon([allocation.id for allocation in allocations])
    assert [machine.find(allocation.id).end_cause for allocation in allocations] == [EndCause.START_FAILED] * 2


def test_a_hold_is_released_after_a_minute_and_not_before():
    now = [Machine.now()]
    machine = Machine(clock=lambda: now[0])
    try:
        allocation = machine.hold()
        now[0] += timedelta(seconds=60)
        assert machine.factory.reconciler.reconcile().counts == {}
        now[0] += timedelta(seconds=1)
        assert machine.factory.reconciler.reconcile().counts == {"hold_expired": 1}
        assert machine.find(allocation.id).state is AllocationState.EXPIRED
        assert machine.leases() == {}
    finally:
        machine.close()


def test_a_server_of_a_released_allocation_is_stopped(machine):
    allocation = machine.take_up()
    machine.factory.meter.released(allocation.id, EndCause.START_FAILED, "keeper")
    machine.launch(allocation)  # a start that came late
    assert machine.factory.reconciler.reconcile().counts == {"orphan_stopped": 1}
    assert machine.running() == frozenset()


def test_a_suspended_server_is_alive(machine):
    allocation = machine.start()
    record = machine.record(allocation)
    send_signal(record.process, signal.SIGSTOP)
    assert machine.factory.reconciler.reconcile().counts == {}
    assert machine.find(allocation.id).is_open


def test_an_unreadable_spool_ends_nothing(machine):
    allocation = machine.start()
    taken = machine.take_up(2)
    machine.launch(taken)
    machine.restart_hub()
    away = machine.settings.spool_dir.with_name("away")
    machine.settings.spool_dir.rename(away)
    assert machine.factory.reconciler.reconcile().counts == {"unreadable": 2}
    away.rename(machine.settings.spool_dir)
    for one in (allocation, taken):
        path = machine.factory.spool.folder(one.id) / "record.jsonl"
        path.rename(path.with_suffix(".away"))
        path.write_bytes(b"\0" * 100)
    assert machine.factory.reconciler.reconcile().counts == {"unreadable": 2}
    for one in (allocation, taken):
        path = machine.factory.spool.folder(one.id) / "record.jsonl"
        path.with_suffix(".away").rename(path)
    assert machine.factory.reconciler.reconcile().counts == {"started": 1}
    assert machine.running() == {allocation.id, taken.id}


def test_a_session_of_another_boot_is_lost(machine):
    allocation = machine.start()
    record = machine.record(allocation)
    path = machine.factory.spool.folder(allocation.id) / "record.jsonl"
    boot = boot_id()
    path.write_text(path.read_text().replace(boot, "00000000-0000-0000-0000-000000000000"))
    assert machine.factory.reconciler.reconcile().counts == {"lost": 1}
    interval = machine.interval(allocation)
    assert interval.estimated
    assert interval.started_at <= interval.ended_at <= machine.factory.clock()
    assert record.process


def test_several_reconcilers_at_once_correct_once(machine):
    allocations = [machine.start(user, gpus=1) for user in range(1, 5)]
    for allocation in allocations:
        kill(machine.record(allocation))
        await_end(machine, allocation)
    found = []
    threads = [threading.Thread(target=lambda: found.append(reconcile_patiently(machine))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found) == 4
    assert len(machine.intervals()) == 4
    assert all(i.ended_at for i in machine.intervals())
    machine.factory.verifier.verify()


def reconcile_patiently(machine):
    return machine.factory.reconciler.reconcile().counts["ended"]


def test_one_poisoned_allocation_does_not_keep_the_others_from_their_end(machine, monkeypatch):
    first, second = machine.start(1), machine.start(2)
    for allocation in (first, second):
        kill(machine.record(allocation))
        await_end(machine, allocation)
    ended = machine.factory.meter.ended

    def fails_for_first(allocation_id, *args, **kwargs):
        if allocation_id == first.id:
            raise ValueError("poisoned")
        return ended(allocation_id, *args, **kwargs)

    monkeypatch.setattr(machine.factory.meter, "ended", fails_for_first)
    assert machine.factory.reconciler.reconcile().counts == {"ended": 1, "failed": 1}


def test_changed_names_what_was_written_since_the_last_look(machine):
    reconciler = machine.factory.reconciler
    allocation = machine.start()
    assert reconciler.changed() == {allocation.id}
    assert reconciler.changed() == frozenset()
    kill(machine.record(allocation))
    await_end(machine, allocation)
    assert reconciler.changed() == {allocation.id}
    reconciler.forget([allocation.id])
    assert reconciler.changed() == {allocation.id}
