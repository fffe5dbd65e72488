"""The keeper is killed at every step of a dispatch, again and again: nothing is granted twice, nothing lost, the order kept.

Real keeper, real ledger, real session runners; the hub is a stand-in, because only that can stop at an exact step.
"""

import os
import random
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from aiplatform_hub.config import arguments_of
from aiplatform_hub.domain.allocations import AllocationState, ServerKey
from aiplatform_hub.domain.requests import Caller
from tests.support.hub_stand_in import STEPS, HubStandIn

CYCLES = int(os.environ.get("AIPLATFORM_FAULT_CYCLES") or 60)
GPUS = 8
SETTLED_SECONDS = 30
QUICK_DISPATCHER = Path(__file__).with_name("quick_dispatcher.py")


class Crashes:
    """A queue that never runs dry, and a keeper that dies in it."""

    def __init__(self, machine, hub, seed):
        self.machine, self.hub = machine, hub
        self.random = random.Random(seed)
        self.keeper = None
        self.user = 0
        self.asked = []
        """Allocations in the order of their submit times."""
        self.stopped = set()
        self.log = []

    def start_keeper(self):
        settings = replace(self.machine.settings, hub_api_url=self.hub.api_url)
        self.keeper = self.machine.start_program([sys.executable, str(QUICK_DISPATCHER), *arguments_of(settings)])

    def ask(self):
        self.user += 1
        caller = Caller(self.user, f"user{self.user}")
        made = self.machine.factory.enforcer.hold(
            caller, self.machine.request(1), ServerKey(self.user, "s"), door="rest", actor=caller.user_name, may_wait=True
        )
        assert made.is_queued
        self.asked.append(made.id)

    def free_some(self):
        active = sorted((a for a in self.machine.open() if a.state is AllocationState.ACTIVE), key=lambda a: a.id)
        for allocation in self.random.sample(active, min(len(active), self.random.choice([1, 2, 3]))):
            self.machine.stop(allocation)
            self.machine.factory.reconciler.reconcile((allocation.id,))
            self.stopped.add(allocation.id)
            self.ask()

    def crash(self):
        """Kill the keeper at a step of a dispatch, or after a random moment."""
        step = self.random.choice([*STEPS, "held", "moment"])
        self.log.append(step)
        killed = threading.Event()

        def kill(at):
            if at == step and not killed.is_set():
                self.keeper.kill()
                self.keeper.wait(5)
                killed.set()
            elif step == "held" and at == "before take_up":
                killed.wait(2)

        self.hub.at = kill
        self.free_some()
        if step == "held":
            deadline = time.monotonic() + 5
            while not self.machine.factory.dispatcher.unstarted() and time.monotonic() < deadline:
                time.sleep(0.002)
            kill("held")
        elif step == "moment":
            killed.wait(self.random.uniform(0, 0.5))
            kill("moment")
        elif not killed.wait(10):
            self.log.append(f"{step} did not come")
            kill(step)
        self.hub.at = lambda _step: None

    # What must be true

    def check_now(self):
        """What holds at every moment, also while the keeper is dead."""
        with self.machine.factory.database.read() as connection:
            live = self.machine.factory.allocations.live(connection)
            leased = self.machine.factory.allocations.leased(connection)
        assert leased == {device: a.id for a in live.open for device in a.devices}
        assert len(leased) <= GPUS
        here = {a.id for a in (*live.open, *live.queued)}
        assert here == set(self.asked) - self.stopped, "nobody is lost, nobody came twice"

    def await_order(self):
        deadline = time.monotonic() + SETTLED_SECONDS
        while (problem := self._disorder()) is not None:
            assert time.monotonic() < deadline, f"not settled within {SETTLED_SECONDS} s: {problem}\n" + "\n".join(self.log) + self.machine.keeper_log()
            time.sleep(0.05)

    def _disorder(self):
        opened = self.machine.open()
        waiting = [a for a in opened if a.state is not AllocationState.ACTIVE]
        if len(opened) < GPUS or waiting:
            return f"{len(opened)} open, of them {len(waiting)} not started"
        return None

    def check_grants(self):
        found = [self.machine.find(id_) for id_ in self.asked]
        held = [a for a in found if a.held_at is not None]
        assert [a.id for a in held] == self.asked[: len(held)], "who came first was served first"
        moments = [a.held_at for a in held]
        assert moments == sorted(moments)
        assert self.machine.running() == {a.id for a in self.machine.open()}
        assert len({i.allocation_id for i in self.machine.intervals()}) == len(self.machine.intervals()) == len(held)
        assert all(a.requeued == 0 and a.succeeds is None for a in found), "a dead keeper is no failed start"


@pytest.fixture
def crashes(machine, seed):
    hub = HubStandIn(machine)
    yield Crashes(machine, hub, seed)
    hub.close()


def test_keeper_killed_at_each_step_of_a_dispatch_grants_once_loses_nothing_and_keeps_the_order(crashes):
    for number in range(GPUS):
        caller = Caller(1000 + number, f"user{1000 + number}")
        crashes.machine.factory.enforcer.hold(caller, crashes.machine.request(1), ServerKey(caller.user_id, ""), door="rest", actor="x")
    for _ in range(GPUS + 4):
        crashes.ask()
    for allocation in crashes.machine.open():
        crashes.machine.factory.queue_desk.withdraw(allocation.id, by="x")
    crashes.start_keeper()
    crashes.await_order()
    for _ in range(CYCLES):
        crashes.crash()
        crashes.check_now()
        crashes.start_keeper()
        crashes.await_order()
        crashes.check_now()
    crashes.check_grants()
    assert len(set(crashes.log)) >= 7, "every step was hit"
    with suppress(ProcessLookupError):
        crashes.keeper.kill()
