"""(i) Server time of each page and of Launch's live call, with 5,000 people and 10^6 ended allocations in the database.

The pages run in this process behind real HTTP; a stand-in for the hub, in a thread, knows everybody. 32 sessions of 2 GPUs run, 40 requests
wait, the dispatcher and the estimates are up to date. Timed is what the server spends from a request's arrival to the end of its answer,
the hub's answers included; CPU is that of the whole process, the asking client's and the stand-in's included, which says more than the
clock where other work fills the machine. Each request is somebody else's, so that no cache of one person's things helps; p95 is over all turns.

Run: PYTHONPATH=. python benchmarks/pages.py [--allocations 1000000] [--turns 40] [--only sqlite|postgresql] [--page NAME] [--keep FILE.sqlite]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from filling import SPACING_MICROSECONDS, fill
from pairs import machine
from servers import postgresql
from sqlalchemy import event, insert, select
from sqlalchemy.engine import make_url

from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import Allocation, AllocationState, GpuDevice, ServerKey
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB, to_microseconds
from aiplatform_hub.factory import Factory
from aiplatform_hub.garbage import look_seldom
from aiplatform_hub.storage.migrate import upgrade
from aiplatform_hub.storage.schema import allocations, storage_usage
from tests.support.page_server import ADMIN, Answer, PageServer, page_server

TARGET_MS = 100.0
PEOPLE = 5000
GPUS, PER_SESSION = 64, 2
QUEUED = 40
ROLLUP_STEPS = 15
"""A week of days each: what pages look at, and what they compare it with, lies in the last three months."""
TEMPLATE = "pytorch"

Ask = Callable[[PageServer, str], Answer]


@dataclass(frozen=True, slots=True)
class Page:
    """One kind of request."""

    name: str
    ask: Ask
    is_admins: bool = False


def at(path: str) -> Ask:
    return lambda server, who: server.get(path, who)


def again(path: str) -> Ask:
    """Ask as an open page does for what moves on it."""
    return lambda server, who: server.get(path, who, is_refresh=True)


def last_session(server: PageServer, who: str) -> Answer:
    return server.get(f"sessions/{_last_of(server, who)}", who)


def last_allocation(server: PageServer, who: str) -> Answer:
    return server.get(f"api/v1/allocations/{_last_of(server, who)}", who)


def _last_of(server: PageServer, who: str) -> UUID:
    newest = select(allocations.c.id).where(allocations.c.user_id == int(who.removeprefix("user"))).order_by(allocations.c.requested_at.desc()).limit(1)
    with server.factory.database.read() as connection:
        return connection.execute(newest).scalar_one()


def decide(server: PageServer, who: str) -> Answer:
    return server.post("api/v1/decisions", who, {"environment_template": TEMPLATE, "gpus": 2, "if_full": "queue"})


PAGES = (
    Page("Home", at("home")),
    Page("Launch", at("launch")),
    Page("Launch, live call", again(f"launch?environment_template={TEMPLATE}&gpus=2")),
    Page("decisions (REST)", decide),
    Page("Session", last_session),
    Page("Usage, this month by day", at("usage")),
    Page("Usage, last month by project", at("usage?period=last-month&group_by=project")),
    Page("Policy", at("policy")),
    Page("allocations (REST)", at("api/v1/allocations")),
    Page("one allocation (REST)", last_allocation),
    Page("quota (REST)", lambda server, who: server.get(f"api/v1/users/{who}/quota", who)),
    Page("usage of a month (REST)", at("api/v1/usage?group_by=project")),
    Page("Admin", at("admin"), is_admins=True),
    Page("Usage of everybody, this month by day", at("usage?who=everybody"), is_admins=True),
    Page("Usage of everybody, last month by project", at("usage?who=everybody&period=last-month&group_by=project"), is_admins=True),
    Page("Usage of everybody, this month by person", at("usage?who=everybody&group_by=user"), is_admins=True),
    Page("allocations of everybody (REST)", at("api/v1/allocations"), is_admins=True),
    Page("queue (REST)", at("api/v1/queue"), is_admins=True),
)
"""A page of yours is one more line."""


class Place:
    """A platform with a long history, full GPUs and a queue."""

    def __init__(self, url: str, folder: Path) -> None:
        self.settings = Settings(data_dir=folder, database_url=url, max_queued_per_user=QUEUED)
        self.factory = Factory(self.settings)

    def furnish(self, count: int) -> None:
        """Write everything."""
        gpus = [GpuDevice(f"GPU-{number}", "h100", 80 * GIB, index=number) for number in range(GPUS)]
        self.factory.enforcer.register_devices(gpus, 4096 * GIB, 1024)
        last = datetime.now(UTC) - timedelta(days=1, minutes=11)
        fill(self.factory.database, count, first=to_microseconds(last) - count * SPACING_MICROSECONDS, is_whole=True)
        sizes = [{"user_name": f"user{number}", "storage_bytes": 30 * GIB, "measured_at": last} for number in range(PEOPLE)]
        with self.factory.database.write() as connection:
            connection.execute(insert(storage_usage), sizes)
        for number in range(GPUS // PER_SESSION):
            self._run(number)
        self._queue()
        self.wake()

    def wake(self) -> None:
        """Let the queue and the sums of days be as a keeper leaves them."""
        people = {f"user{number}": Caller(number, f"user{number}") for number in range(PEOPLE)}
        self.factory.dispatcher.dispatch(people)
        self.factory.wait_forecaster.refresh()
        for _ in range(ROLLUP_STEPS):
            self.factory.charge_rollup.step()

    def _run(self, number: int) -> None:
        caller, at_ = Caller(number, f"user{number}"), datetime.now(UTC)
        held = self.factory.enforcer.hold(
            caller, _request(PER_SESSION), ServerKey(number, "now", number + 1), door="page", actor=caller.user_name, is_starting=True
        )
        self.factory.meter.started(held.id, at_)
        self.factory.meter.ready(held.id, at_)

    def _queue(self) -> None:
        now = datetime.now(UTC)
        with self.factory.database.write() as connection:
            for number in range(QUEUED):
                who, asked = GPUS // PER_SESSION // 2 + number, now - timedelta(seconds=QUEUED - number)
                row = Allocation(
                    id=uuid4(),
                    user_id=who,
                    user_name=f"user{who}",
                    server_name="later",
                    spawner_id=None,
                    request=_request(1 + number % 2),
                    state=AllocationState.QUEUED,
                    devices=(),
                    door="page",
                    actor=f"user{who}",
                    requested_at=asked,
                    queued_at=asked,
                    confirmed_at=asked,
                )
                self.factory.allocations.insert(connection, row)


def _request(gpus: int) -> LaunchRequest:
    return LaunchRequest(TEMPLATE, gpus, "h100", 16 * GIB, 4, "personal", "university")


def somebody(turn: int) -> str:
    """Return whose turn it is: half of them run or wait for something."""
    return f"user{turn // 2 % 56 if turn % 2 else 97 + turn * 41 % (PEOPLE - 97)}"


def measure(server: PageServer, turns: int, only: str) -> None:
    for page in PAGES:
        if only.lower() not in page.name.lower():
            continue
        for turn in range(-3, 0):
            page.ask(server, ADMIN if page.is_admins else somebody(turns - turn))
        seconds, cpu_seconds, statements = [], [], []
        for turn in range(turns):
            who = ADMIN if page.is_admins else somebody(turn)
            before, cpu_before = len(server.statements), time.process_time()
            answer = page.ask(server, who)
            assert answer.status == 200, (page.name, answer.status, answer.body[:500])
            cpu_seconds.append(time.process_time() - cpu_before)
            seconds.append(answer.seconds)
            statements.append(len(server.statements) - before)
        _tell(page.name, seconds, cpu_seconds, statements, len(answer.body))


def _tell(name: str, seconds: list[float], cpu_seconds: list[float], statements: list[int], size: int) -> None:
    (p50, p95), (cpu50, cpu95) = ((statistics.median(each) * 1000, _p95(each) * 1000) for each in (seconds, cpu_seconds))
    verdict = "met" if p95 <= TARGET_MS else "MISSED"
    spent = f"p50 {p50:6.1f}  p95 {p95:6.1f} ms; CPU {cpu50:6.1f}, {cpu95:6.1f} ms"
    print(f"  {name:44} {spent}; {max(statements):3} statements, {size // 1024:4} KiB  {verdict}", flush=True)


def _p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


@contextmanager
def slow_statements(factory: Factory, least_ms: float) -> Iterator[None]:
    """Print what the database takes long for."""
    if least_ms <= 0:
        yield
        return

    def begin(_connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        context.began = time.perf_counter()

    def end(_connection: Any, _cursor: Any, statement: str, parameters: Any, context: Any, _many: bool) -> None:
        spent = (time.perf_counter() - context.began) * 1000
        if spent >= least_ms:
            print(f"    {spent:.0f} ms: {' '.join(statement.split())[:1500]} {str(parameters)[:300]}")

    event.listen(factory.database.engine, "before_cursor_execute", begin)
    event.listen(factory.database.engine, "after_cursor_execute", end)
    try:
        yield
    finally:
        event.remove(factory.database.engine, "before_cursor_execute", begin)
        event.remove(factory.database.engine, "after_cursor_execute", end)


def compare(url: str, folder: Path, arguments: argparse.Namespace, *, is_new: bool) -> None:
    upgrade(url)
    place = Place(url, folder)
    began = time.perf_counter()
    place.furnish(arguments.allocations) if is_new else place.wake()
    print(f"{make_url(url).get_backend_name()}: {arguments.allocations} ended allocations, ready after {time.perf_counter() - began:.0f} s", flush=True)
    with page_server(place.settings, place.factory) as server, slow_statements(place.factory, arguments.slow_ms):
        began = time.perf_counter()
        server.get("launch", "user1")
        print(f"  the first look of a new process: {time.perf_counter() - began:.1f} s")
        look_seldom()  # as the service does
        measure(server, arguments.turns, arguments.page)
    place.factory.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--allocations", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--page", default="", help="only pages with this in their name")
    parser.add_argument("--keep", type=Path, help="an SQLite file that is made, or used again")
    parser.add_argument("--slow-ms", type=float, default=0, help="print statements that take so long")
    arguments = parser.parse_args()
    print(f"{machine()}, load {os.getloadavg()[0]:.1f}")
    with ExitStack() as stack:
        if arguments.only != "postgresql":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            file = arguments.keep or folder / "pages.sqlite"
            compare(f"sqlite:///{file}", folder, arguments, is_new=not file.exists())
        if arguments.only != "sqlite":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            compare(stack.enter_context(postgresql()), folder, arguments, is_new=True)


if __name__ == "__main__":
    main()
