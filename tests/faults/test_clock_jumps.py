"""The clock of hub and keeper is set back or forth by hours while servers start, run and end.

The jump is in the clock that the operations read. The runner's record is made from the wall clock once, at the start,
and from the monotonic clock after that, so its part cannot jump.
"""

import shutil
import signal
import time
from datetime import timedelta

import pytest

from aiplatform_hub.clients.identity import send_signal, wait_for_exit
from aiplatform_hub.domain.allocations import EndCause
from tests.support.machine import Machine

JUMPS = [timedelta(days=-400), timedelta(hours=-1), timedelta(0), timedelta(hours=1), timedelta(days=400)]


class JumpingClock:
    def __init__(self):
        self.offset = timedelta(0)

    def __call__(self):
        return Machine.now() + self.offset


@pytest.fixture
def clock():
    return JumpingClock()


@pytest.fixture
def machine(clock):
    made = Machine(clock=clock)
    yield made
    made.close()
    shutil.rmtree(made.folder, ignore_errors=True)


def kill(machine, allocation, *, runner=False):
    record = machine.record(allocation)
    for target in ([record.runner] if runner else []) + [record.process]:
        send_signal(target, signal.SIGKILL)
        wait_for_exit(target, 5)
    wait_for_exit(record.runner, 5)


@pytest.mark.parametrize("at_start", JUMPS, ids=str)
@pytest.mark.parametrize("at_end", JUMPS, ids=str)
def test_no_interval_is_negative_or_longer_than_the_process_lived(machine, clock, at_start, at_end):
    begun = time.monotonic()
    allocation = machine.take_up()
    clock.offset = at_start
    record = machine.launch(allocation)
    machine.factory.meter.started(allocation.id, record.started_at)
    machine.factory.meter.ready(allocation.id, clock())
    machine.factory.reconciler.reconcile()
    clock.offset = at_end
    machine.factory.reconciler.reconcile()
    kill(machine, allocation)
    machine.factory.reconciler.reconcile()
    interval = machine.interval(allocation)
    assert timedelta(0) <= interval.ended_at - interval.started_at <= timedelta(seconds=time.monotonic() - begun)
    assert not machine.find(allocation.id).is_open
    assert machine.leases() == {}
    machine.factory.verifier.verify()


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_an_unseen_end_is_the_last_proof_of_life_whatever_the_clock_says(machine, clock, jump):
    allocation = machine.start()
    clock.offset = jump
    machine.factory.reconciler.prove()
    proof = machine.interval(allocation).last_seen_at
    kill(machine, allocation, runner=True)
    machine.factory.reconciler.reconcile()
    interval = machine.interval(allocation)
    assert (interval.ended_at, interval.end_cause, interval.estimated) == (proof, EndCause.LOST, True)


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_a_hold_is_released_whatever_the_clock_says(machine, clock, jump):
    held = machine.hold()
    clock.offset = jump
    machine.factory.meter.released(held.id, EndCause.HOLD_EXPIRED, "keeper")
    found = machine.find(held.id)
    assert not found.is_open
    assert found.ended_at >= found.held_at
