"""A hundred cycles of random kills at the level of session runner, keeper and ledger.

Real processes, a real SQLite file and the real keeper (its rhythms a tenth as long); killed are keeper, runner and
server, one or two at once and always by SIGKILL. There is no JupyterHub here: the test takes the hub's part and *dies*
by leaving out the rest of a start and coming back as another life. Crashes of the hub, the proxy, the platform service
and the supervisor themselves are in ``test_random_crashes_of_the_stack.py``.
"""

import itertools
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from aiplatform_hub.clients.identity import send_signal
from aiplatform_hub.config import arguments_of
from aiplatform_hub.domain.allocations import AllocationState, EndCause
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import AIPlatformError

CYCLES = int(os.environ.get("AIPLATFORM_FAULT_CYCLES") or 100)
SETTLED_SECONDS = 30
QUICK_KEEPER = Path(__file__).with_name("quick_keeper.py")


class Crashes:
    """Random crashes of one machine, and what must be true after each."""

    def __init__(self, machine, seed):
        self.machine = machine
        self.random = random.Random(seed)
        self.keeper = None
        self.killed = {}
        """What was killed of each allocation: ``server``, ``runner``."""
        self.proofs = {}
        self.log = []

    def start_keeper(self):
        if self.keeper is None or self.keeper.poll() is not None:
            self.keeper = self.machine.start_program([sys.executable, str(QUICK_KEEPER), *arguments_of(self.machine.settings)])

    # What happens

    def start_some(self):
        user = self.random.randint(1, 8)
        how = self.random.choices(["whole", "cut off before exec", "cut off before the meter"], [12, 1, 3])[0]
        gpus = self.random.choice([0, 1, 1, 2])
        try:
            if how == "whole":
                self.machine.start(user, "", gpus)
            else:
                allocation = self.machine.take_up(user, "", gpus)
                if how == "cut off before the meter":
                    self.machine.launch(allocation)
                self.machine.restart_hub()
        except AIPlatformError as error:
            how = f"{how}: {error.code}"
        self.log.append(f"start of user{user} with {gpus} GPUs, {how}")

    def crash(self):
        alive = self.machine.running()
        running = sorted((a for a in self.machine.open() if a.id in alive), key=lambda a: a.user_id)
        victims = [(allocation, part) for allocation in running for part in ("server", "runner")]
        victims += ["keeper"] * (1 + len(victims) // 4)
        for victim in self.random.sample(victims, min(len(victims), self.random.choice([1, 2]))):
            self._kill(victim)
        if running and self.random.random() < 0.2:
            self._stop(self.random.choice(running))
        if running and self.random.random() < 0.2:
            send_signal(self.machine.record(self.random.choice(running)).process, signal.SIGSTOP)

    def _kill(self, victim):
        if victim == "keeper":
            if self.keeper.poll() is not None:
                return
            self.log.append("kill -9 of the keeper")
            self.keeper.kill()
            self.keeper.wait(5)
            return
        allocation, part = victim
        record = self.machine.record(allocation)
        self.proofs[allocation.id] = self._proof(allocation)
        if send_signal(record.process if part == "server" else record.runner, signal.SIGKILL):
            self.killed.setdefault(allocation.id, set()).add(part)
            self.log.append(f"kill -9 of the {part} of {allocation.user_name}")

    def _stop(self, allocation):
        with suppress(AIPlatformError):
            self.machine.stop(allocation)
            self.killed.setdefault(allocation.id, set()).add("stop")
            self.log.append(f"stop of {allocation.user_name}")

    def _proof(self, allocation):
        with self.machine.factory.database.read() as connection:
            interval = self.machine.factory.usage_store.open_of(connection, allocation.id)
        return interval.last_seen_at if interval else None

    # What must be true

    def await_order(self):
        deadline = time.monotonic() + SETTLED_SECONDS
        while (problem := self._disorder()) is not None:
            assert time.monotonic() < deadline, f"not settled within {SETTLED_SECONDS} s: {problem}\n" + "\n".join(self.log)
            time.sleep(0.05)

    def _disorder(self):
        """Return how the ledger differs from what runs; starts that may still be taken up count as neither."""
        opened = {a.id: a for a in self.machine.open()}
        running = self.machine.running()
        beginning = {id_ for id_, a in opened.items() if self._is_beginning(a)}
        metered = {id_ for id_, a in opened.items() if a.state is AllocationState.ACTIVE}
        if opened.keys() - beginning != running or metered != running:
            return f"open {sorted(map(str, opened))}, running {sorted(map(str, running))}"
        leased = sorted(self.machine.leases().items())
        held = sorted((uuid, id_) for id_, a in opened.items() for uuid in a.devices)
        return None if leased == held else f"leased {leased}, held {held}"

    def _is_beginning(self, allocation):
        """Whether a start may still launch it: a keeper waits some seconds before it believes in a crash."""
        age = (self.machine.factory.clock() - allocation.starting_at).total_seconds()
        return allocation.state is AllocationState.HELD and age < 8 and self.machine.factory.spool.meta(allocation.id) is None

    def check_ends(self):
        for allocation in self.machine.ended():
            victims = self.killed.get(allocation.id, set())
            started = allocation.started_at is not None
            assert not started or victims, f"{allocation.id} was stopped by nobody\n" + "\n".join(self.log)
            if not started:
                assert allocation.end_cause in {EndCause.START_FAILED, EndCause.HOLD_EXPIRED}
            elif "server" not in victims and "stop" not in victims:
                raise AssertionError(f"{allocation.id} ended though only its runner was killed")

    def check_ledger(self):
        intervals = self.machine.intervals()
        assert len({i.allocation_id for i in intervals}) == len(intervals), "an allocation was metered twice"
        for interval in intervals:
            assert interval.ended_at is None or interval.ended_at >= interval.started_at
            record = self.machine.factory.spool.read(interval.allocation_id)
            assert interval.started_at == record.started_at
            if interval.ended_at and not interval.estimated:
                assert interval.ended_at == record.ended_at
            elif interval.ended_at:
                assert "runner" in self.killed[interval.allocation_id], "an end that its runner saw was estimated"
                proof = self.proofs.get(interval.allocation_id)
                assert proof is None or interval.ended_at >= proof
                assert interval.ended_at <= self.machine.factory.clock()
        self._check_devices_disjoint()
        self.machine.factory.verifier.verify()

    def _check_devices_disjoint(self):
        spans = {}
        for allocation in (*self.machine.ended(), *self.machine.open()):
            for device in allocation.devices if allocation.started_at else ():
                spans.setdefault(device, []).append((allocation.started_at, allocation.ended_at or self.machine.factory.clock()))
        for device, used in spans.items():
            used.sort()
            for (_, end), (start, _) in itertools.pairwise(used):
                assert end <= start, f"{device} was used twice at {isoformat(start)}"


def test_after_every_random_crash_the_ledger_equals_what_runs(machine, seed):
    crashes = Crashes(machine, seed)
    crashes.start_keeper()
    for _ in range(CYCLES):
        crashes.log.append("--")
        for _ in range(crashes.random.choice([1, 2, 2])):
            crashes.start_some()
        crashes.crash()
        crashes.start_keeper()
        crashes.await_order()
    crashes.check_ends()
    crashes.check_ledger()
    assert len(machine.ended()) > CYCLES / 2, "the crashes hit too little"
