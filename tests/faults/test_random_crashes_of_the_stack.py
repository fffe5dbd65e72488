"""Crashes of the whole platform, in an order drawn by the seed.

Everything is real and as delivered: ``aiplatform run`` with its supervisor, configurable-http-proxy, JupyterHub, the
platform service, the keeper in its usual rhythm, session runners and HTTP servers (tiny ones, so that a cycle takes
seconds). Each cycle kills what its name says, with SIGKILL, and has the 30 seconds of the promise. Many more cycles, of
the session level alone, are in ``test_random_crashes_of_sessions.py``.
"""

import random
import signal
import time

import pytest
import requests

from aiplatform_hub.clients.identity import send_signal, wait_for_exit
from aiplatform_hub.clients.launcher import LaunchSpec, launch
from aiplatform_hub.domain.allocations import AllocationState, EndCause, ServerKey
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from tests.support.hub import wait_for
from tests.support.stack import PROGRAMS, Stack

SETTLED_SECONDS = 30
USERS = ("ada", "ben", "cleo")

CYCLES = (
    ("hub",),
    ("proxy",),
    ("platform",),
    ("keeper",),
    ("server",),
    ("runner",),
    ("runner", "server"),
    ("hub", "keeper"),
    ("hub", "server"),
    ("proxy", "keeper"),
    ("keeper", "server"),
    ("platform", "runner"),
    ("suspended server", "hub"),
    ("start", "hub"),
)
RESTARTS = ("SIGTERM", "SIGKILL")


@pytest.fixture(scope="module")
def stack():
    made = Stack()
    try:
        made.start()
        yield made
    finally:
        made.close()


def kill(process):
    """Kill a process and wait for its end: until then it would still pass for a living one."""
    assert send_signal(process, signal.SIGKILL)
    assert wait_for_exit(process, SETTLED_SECONDS)


class Crashes:
    def __init__(self, stack, seed):
        self.stack = stack
        self.random = random.Random(seed)
        self.victims = {}
        self.suspended = []
        self.log = []

    def fill(self):
        """Let every user have a server."""
        with_server = {a.user_name for a in self.stack.open()}
        for user in USERS:
            if user not in with_server:
                self.stack.launch(user, self.random.choice([0, 1]))

    def crash(self, parts):
        self.log.append(f"{time.strftime('%X')} {' + '.join(parts)}")
        chosen = self.random.choice([a for a in self.stack.open() if self.stack.record(a).is_runner_alive])
        for part in parts:
            if part in PROGRAMS:
                program = self.stack.program(part)
                assert program, f"{part} ended by itself\n{self.log}\n{self.stack.log()}"
                kill(program)
            elif part == "start":
                self._cut_off_a_start()
            elif part == "suspended server":
                send_signal(self.stack.record(chosen).process, signal.SIGSTOP)
                self.suspended.append(chosen)
            else:
                record = self.stack.record(chosen)
                self.victims.setdefault(chosen.id, set()).add(part)
                kill(record.process if part == "server" else record.runner)

    def _cut_off_a_start(self):
        """Begin a start that takes three seconds; the hub is killed in the middle of it."""
        answer = self.stack.api("POST", "users/dora/server", "dora", json={"user_options": {"environment_template": "slow", "gpus": 0}}, stream=True)
        assert answer.status_code in {201, 202}, answer.text

    def await_order(self):
        deadline = time.monotonic() + SETTLED_SECONDS
        while (problem := self._disorder()) is not None:
            assert time.monotonic() < deadline, f"not settled: {problem}\n{self.log}\n{self.stack.log()}"
            time.sleep(0.2)
        for allocation in self.suspended:
            send_signal(self.stack.record(allocation).process, signal.SIGCONT)
        self.suspended.clear()

    def _disorder(self):
        missing = [name for name in PROGRAMS if not self.stack.program(name)]
        if missing:
            return f"{missing} not back"
        if not self.stack.is_up():
            return "the hub or the platform service does not answer through the proxy"
        opened = {a.id: a for a in self.stack.open()}
        running = self.stack.running()
        if opened.keys() != running or any(a.state is not AllocationState.ACTIVE or not a.ready_at for a in opened.values()):
            return f"open {opened}, running {running}"
        if sorted(self.stack.leases().items()) != sorted((uuid, id_) for id_, a in opened.items() for uuid in a.devices):
            return "leases differ from the devices of running servers"
        silent = [a.user_name for a in opened.values() if a not in self.suspended and not self.stack.answers(a.user_name)]
        return f"{silent} do not answer through the proxy" if silent else None


def test_after_every_crash_the_ledger_equals_what_runs(stack, seed):
    crashes = Crashes(stack, seed)
    for user in (*USERS, "dora"):
        stack.token(user)
    cycles = list(CYCLES)
    crashes.random.shuffle(cycles)
    for number, parts in enumerate(cycles):
        if number == len(cycles) // 2:
            _restart(stack, crashes)
        crashes.fill()
        before = {a.id for a in stack.open()}
        crashes.crash(parts)
        crashes.await_order()
        gone = before - stack.running()
        assert gone <= {id_ for id_, parts_ in crashes.victims.items() if "server" in parts_}, f"stopped by nobody: {gone}\n{crashes.log}"
    _check_ledger(stack, crashes)


def _restart(stack, crashes):
    """SIGTERM of ``aiplatform run`` and its restart: nothing that ran ends."""
    crashes.fill()
    before = stack.running()
    stack.stop()
    assert stack.running() == before
    assert not any(stack.program(name) for name in PROGRAMS)
    stack.start()
    crashes.log.append("restart")
    crashes.await_order()
    assert stack.running() == before


def _check_ledger(stack, crashes):
    stack.factory.verifier.verify()
    with stack.factory.database.read() as connection:
        closed = tuple(stack.factory.usage_store.chained(connection))
    assert len({i.allocation_id for i in closed}) == len(closed)
    for interval in closed:
        victims = crashes.victims.get(interval.allocation_id, set())
        record = stack.factory.spool.read(interval.allocation_id)
        assert interval.started_at == record.started_at
        assert interval.estimated == ({"runner", "server"} <= victims and record.ended_at is None)
        if not victims:
            assert interval.end_cause is EndCause.START_FAILED
        if not interval.estimated:
            assert interval.ended_at == record.ended_at


def test_a_start_that_no_hub_knows_is_ended_within_30_seconds(stack):
    Crashes(stack, 0).fill()
    factory = stack.factory
    personal = next(p for p in factory.catalog.projects.values() if p.is_personal)
    request = LaunchRequest("trivial", 0, None, GIB, 1, personal.name, personal.cost_centre)
    server = ServerKey(10**6, "cut-off", 10**6)
    allocation = factory.enforcer.take_up(Caller(10**6, "ada"), request, server, door="hub", actor="ada", hub_instance="an earlier life")
    log_path = stack.folder / "cut-off.log"
    spec = LaunchSpec(
        allocation_id=allocation.id, spawner_id=10**6, user_id=10**6, argv=("/bin/sleep", "100"), env={}, cwd=stack.folder, port=0, log_path=log_path
    )
    launch(spec, factory.spool)
    wait_for(lambda: not stack.find(allocation.id).is_open, "the start that was cut off is ended", SETTLED_SECONDS)
    assert stack.find(allocation.id).end_cause is EndCause.START_FAILED
    assert allocation.id not in stack.running()
    assert any(a.user_name == "ada" for a in stack.open())


def test_a_killed_supervisor_leaves_everything_running_and_the_next_one_adopts_it(stack):
    programs = {name: stack.program(name) for name in PROGRAMS}
    stack.stop(signal.SIGKILL)
    assert requests.get(f"{stack.url}/hub/api/", timeout=10).status_code == 200
    stack.start()
    assert {name: stack.program(name) for name in PROGRAMS} == programs
    assert wait_for_exit(stack.program("keeper"), 0) is False
