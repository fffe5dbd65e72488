"""(e) One pass of the dispatcher and one decision beside a thousand queued requests.

A pass reads the queue and the running sessions, orders, plans, and stores what it found; then one that
also gives freed GPUs to who is next. The floor is the same rows read by the database's own driver, with
no SQLAlchemy and no thought. The decision's domain part is timed within the decision; where GPUs are free, the planner is part of it.
Beside the clock stands the CPU of this process, for a machine on which other work runs.

Run: python benchmarks/dispatch.py [--queued 1000] [--people 100] [--turns 40] [--only sqlite|postgresql] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
from pairs import in_turns, machine
from servers import postgresql
from sqlalchemy.engine import make_url

from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause, GpuDevice, ServerKey
from aiplatform_hub.domain.quota import Decision
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.factory import Factory
from aiplatform_hub.garbage import look_seldom
from aiplatform_hub.operations.decision_inputs import DecisionInputs
from aiplatform_hub.storage.migrate import upgrade

PASS_TARGET_MS = 50.0
DECISION_TARGET_MS = 1.0
GPUS = 64
PER_SESSION = 2


class Stopwatch:
    """Times calls by the clock and by the CPU of this process. In seconds."""

    def __init__(self) -> None:
        self.clock: list[float] = []
        self.cpu: list[float] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        began, used = time.perf_counter(), time.process_time()
        yield
        self.cpu.append(time.process_time() - used)
        self.clock.append(time.perf_counter() - began)


class Queue:
    """A place whose GPUs are all taken, and many who wait for them."""

    def __init__(self, url: str, folder: Path, *, queued: int, people: int) -> None:
        upgrade(url)
        self.factory = Factory(Settings(data_dir=folder, database_url=url, max_queued_per_user=queued))
        self.people = {f"user{number}": Caller(number, f"user{number}") for number in range(1, people + 1)}
        gpus = [GpuDevice(f"GPU-{number}", "h100", 80 * GIB, index=number) for number in range(GPUS)]
        self.factory.enforcer.register_devices(gpus, 4096 * GIB, 1024)
        self.holders = [self.hold(number) for number in range(GPUS // PER_SESSION)]
        self._queue(queued)
        self.factory.dispatcher.dispatch(self.people)
        look_seldom()  # as the keeper does when it begins

    def hold(self, number: int) -> Allocation:
        caller = Caller(10_000 + number, f"holder{number}")
        return self.factory.enforcer.hold(caller, request(PER_SESSION), ServerKey(caller.user_id, "s"), door="rest", actor=caller.user_name)

    def _queue(self, count: int) -> None:
        factory, now, callers = self.factory, datetime.now(UTC), list(self.people.values())
        with factory.database.write() as connection:
            for number in range(count):
                caller, at = callers[number % len(callers)], now - timedelta(seconds=count - number)
                row = Allocation(
                    id=uuid4(),
                    user_id=caller.user_id,
                    user_name=caller.user_name,
                    server_name=f"s{number}",
                    spawner_id=None,
                    request=request(1 + number % 2),
                    state=AllocationState.QUEUED,
                    devices=(),
                    door="rest",
                    actor=caller.user_name,
                    requested_at=at,
                    queued_at=at,
                    confirmed_at=at,
                )
                factory.allocations.insert(connection, row)

    def look(self) -> None:
        """One pass that starts nobody."""
        assert not self.factory.dispatcher.dispatch(self.people).held

    def free(self) -> None:
        self.factory.meter.released(self.holders.pop().id, EndCause.STOPPED_BY_USER, "bench")

    def serve(self) -> None:
        """One pass that gives two freed GPUs to who is next."""
        held = self.factory.dispatcher.dispatch(self.people).held
        assert 1 <= len(held) <= PER_SESSION
        self.holders += held


def request(gpus: int) -> LaunchRequest:
    return LaunchRequest("pytorch", gpus, "h100", 16 * GIB, 4, "personal", "university")


@contextmanager
def bare_read(url: str) -> Iterator[Callable[[], object]]:
    """Read the same rows by the driver alone."""
    address = make_url(url)
    connection: sqlite3.Connection | psycopg.Connection
    if address.get_backend_name() == "sqlite":
        connection = sqlite3.connect(str(address.database), isolation_level=None)
    else:
        connection = psycopg.connect(host=str(address.query["host"]), user=address.username, dbname=address.database, autocommit=True)
    statement = "SELECT * FROM allocations WHERE state IN ('queued', 'held', 'active')"
    yield lambda: connection.execute(statement).fetchall()
    connection.close()


def compare(url: str, folder: Path, arguments: argparse.Namespace) -> None:
    name = make_url(url).get_backend_name()
    queue = Queue(url, folder, queued=arguments.queued, people=arguments.people)
    with bare_read(url) as floor:
        pair = in_turns(queue.look, floor, arguments.turns, warm_up=3)
    _tell(f"{name}, a pass over {arguments.queued} queued that starts nobody", pair.ours, PASS_TARGET_MS, floor=pair.floor)
    looks, serves = Stopwatch(), Stopwatch()
    for _ in range(arguments.turns):
        with looks.running():
            queue.look()
        queue.free()
        with serves.running():
            queue.serve()
    print(f"{name}, CPU of the pass that starts nobody: median {statistics.median(looks.cpu) * 1000:.2f} ms")
    _tell(f"{name}, a pass that gives {PER_SESSION} freed GPUs to who is next", serves.clock, PASS_TARGET_MS, cpu=serves.cpu)
    _decisions(queue, f"{name}, nothing free", arguments)
    queue.free()
    _decisions(queue, f"{name}, {PER_SESSION} GPUs free that belong to who waits", arguments)
    queue.serve()
    if arguments.profile:
        _profile(queue)
    queue.factory.close()


def _decisions(queue: Queue, name: str, arguments: argparse.Namespace) -> None:
    """Time a decision of somebody new: whole, and its domain part alone."""
    whole, thought = Stopwatch(), Stopwatch()
    decide = DecisionInputs.decide

    def timed(inputs: DecisionInputs) -> Decision:
        with thought.running():
            return decide(inputs)

    DecisionInputs.decide = timed  # type: ignore[method-assign]  # inside the decision: what is stored afterwards is less than what it saw
    for number in range(arguments.turns):
        caller = Caller(20_000 + number, f"new{number}")
        with whole.running():
            made = queue.factory.enforcer.hold(caller, request(1), ServerKey(caller.user_id, "s"), door="rest", actor=caller.user_name, may_wait=True)
        queue.factory.queue_desk.withdraw(made.id, by=caller.user_name)
    DecisionInputs.decide = decide  # type: ignore[method-assign]
    _tell(f"{name}, a decision beside {arguments.queued} queued, whole", whole.clock, PASS_TARGET_MS, cpu=whole.cpu)
    _tell(f"{name}, its domain part", thought.clock, DECISION_TARGET_MS, cpu=thought.cpu)


def _tell(name: str, seconds: list[float], target_ms: float, *, floor: list[float] | None = None, cpu: list[float] | None = None) -> None:
    ours = statistics.median(seconds) * 1000
    beside = f", floor {statistics.median(floor) * 1000:.2f} ms" if floor else ""
    beside += f", CPU {statistics.median(cpu) * 1000:.2f} ms" if cpu else ""
    verdict = "met" if ours <= target_ms else "missed"
    print(f"{name}: median {ours:.2f} ms, worst {max(seconds) * 1000:.2f} ms{beside} (target {target_ms:.0f} ms, {verdict}; {len(seconds)} turns)", flush=True)


def _profile(queue: Queue) -> None:
    profile = cProfile.Profile()
    for number in range(30):
        if number % 2:
            queue.free()
        profile.runcall(queue.serve if number % 2 else queue.look)
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queued", type=int, default=1000)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--profile", action="store_true", help="show where the time of a pass goes")
    arguments = parser.parse_args()
    print(f"{machine()}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.only != "postgresql":
            compare(f"sqlite:///{folder / 'platform.sqlite'}", folder, arguments)
        if arguments.only != "sqlite":
            with postgresql() as url:
                compare(url, folder, arguments)


if __name__ == "__main__":
    main()
