"""(b) One decision with its hold, against a bare BEGIN; INSERT; COMMIT of one allocation.

Both write into the same database, which holds 10^6 ended allocations with their decisions,
leases and intervals, and a few open ones. The floor is the database's own driver with one
prepared row and no SQLAlchemy. What ends the hold again is not timed.

With ``--sessions 1000`` they stand beside a thousand sessions of one GPU on a cluster of twice as many, and the size of what a decision stores is said, too.

Run: python benchmarks/decision.py [--allocations 1000000] [--turns 40] [--only sqlite|postgresql] [--sessions N] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from filling import fill
from pairs import in_turns, machine
from servers import postgresql
from sqlalchemy import select
from sqlalchemy.engine import make_url

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.domain.allocations import Allocation, EndCause, GpuDevice, ServerKey
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB, to_microseconds
from aiplatform_hub.operations.quota_enforcer import QuotaEnforcer
from aiplatform_hub.operations.usage_meter import UsageMeter
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.decisions import DecisionStore
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.facts import FactStore
from aiplatform_hub.storage.ledger_head import LedgerHead
from aiplatform_hub.storage.migrate import upgrade
from aiplatform_hub.storage.schema import decisions
from aiplatform_hub.storage.usage import UsageStore

TARGET = Decimal("2.5")
OTHERS = 8
"""Environments of other people that are open meanwhile; two of them hold a GPU each, of four."""
CALLS = 10
"""Calls of each side in one turn."""
COLUMNS = (
    "id", "user_id", "user_name", "server_name", "environment_template", "gpus", "gpu_type", "memory_bytes", "cpu_cores", "project", "cost_centre",
    "state", "devices", "door", "actor", "requested_at", "held_at", "starting_at", "ended_at", "end_cause",
)  # fmt: skip


class Chain:
    """Decides and holds as hub and platform do, and releases."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.devices = database, DeviceStore()
        allocations, devices = AllocationStore(), self.devices
        catalog = load_catalog()
        self.enforcer = QuotaEnforcer(
            database=database,
            catalog=catalog,
            allocations=allocations,
            decisions=DecisionStore(),
            devices=devices,
            facts=FactStore(),
            audit=AuditStore(),
            budgets=BudgetStore(),
            cards=lambda: catalog.rate_cards,
            clock=_now,
        )
        head = LedgerHead(folder / "ledger-head.json")
        self.meter = UsageMeter(database=database, allocations=allocations, devices=devices, usage=UsageStore(), ledger_head=head, clock=_now)
        self.held: list[Allocation] = []

    def register(self) -> None:
        gpus = [GpuDevice(f"GPU-{number}", "h100", 80 * GIB, index=number) for number in range(4)]
        self.enforcer.register_devices(gpus, 512 * GIB, 64)

    def register_cluster(self, gpus: int) -> None:
        """Nodes of 8 GPUs."""
        slots = [GpuDevice(f"node-{number // 8}/{number % 8}", "h100", 80 * GIB, index=number % 8, node=f"node-{number // 8}") for number in range(gpus)]
        with self.database.write() as connection:
            self.devices.lock(connection)
            self.devices.register_cluster(connection, slots, (), memory_bytes=gpus * 64 * GIB, cpu_cores=gpus * 8, at=_now())

    def hold(self, user_id: int = 17, gpus: int = 1) -> None:
        caller = Caller(user_id=user_id, user_name=f"user{user_id}", groups=frozenset())
        request = LaunchRequest("pytorch", gpus, "h100" if gpus else None, 16 * GIB, 4, "personal", "university")
        self.held.append(self.enforcer.hold(caller, request, ServerKey(user_id, "bench"), door="rest", actor=caller.user_name, is_starting=True))

    def release(self) -> None:
        while self.held:
            self.meter.released(self.held.pop().id, EndCause.STOPPED_BY_USER, "user17")


def _now() -> datetime:
    return datetime.now(UTC)


def _row(id_: object) -> tuple[object, ...]:
    now = to_microseconds(_now())
    return (id_, 17, "user17", "bench", "pytorch", 1, "h100", 16 * GIB, 4, "personal", "university", "ended", "[]", "rest", "user17", now, now, now, now, "exited")  # fmt: skip


@contextmanager
def bare_insert(database: Database) -> Iterator[Callable[[], None]]:
    """One allocation's row by the driver alone, in a transaction of its own, as durable as ours."""
    address = make_url(database.url)
    if database.is_sqlite:
        connection: Any = sqlite3.connect(str(address.database), isolation_level=None)
        for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {setting}")
        mark, begin, new_id = "?", "BEGIN IMMEDIATE", lambda: uuid.uuid4().hex
    else:
        connection = psycopg.connect(host=str(address.query["host"]), user=address.username, dbname=address.database, autocommit=True)
        mark, begin, new_id = "%s", "BEGIN", lambda: str(uuid.uuid4())
    statement = f"INSERT INTO allocations ({', '.join(COLUMNS)}) VALUES ({', '.join([mark] * len(COLUMNS))})"

    def insert() -> None:
        connection.execute(begin)
        connection.execute(statement, _row(new_id()))
        connection.execute("COMMIT")

    yield insert
    connection.close()


def compare(url: str, folder: Path, arguments: argparse.Namespace) -> None:
    name = make_url(url).get_backend_name()
    upgrade(url)
    database = Database(url=url)
    chain = Chain(database, folder)
    sessions = arguments.sessions or OTHERS
    if arguments.sessions:
        chain.register_cluster(2 * sessions)
    else:
        chain.register()
    began = time.perf_counter()
    fill(database, arguments.allocations)
    print(f"{name}: filled with {arguments.allocations} ended allocations in {time.perf_counter() - began:.0f} s", flush=True)
    for number in range(sessions):
        chain.hold(100 + number, gpus=int(number < 2 or sessions > OTHERS))
    chain.held.clear()
    with bare_insert(database) as insert:
        pair = in_turns(chain.hold, insert, arguments.turns, warm_up=20, calls=CALLS, after=chain.release)
    print(pair.line(f"{name}, decision and hold beside {sessions} open allocations", float(TARGET)), flush=True)
    print(f"  stored of the last decision: {_stored_bytes(chain) / 1000:.1f} kB", flush=True)
    if arguments.profile:
        _profile(chain)
    database.close()


def _stored_bytes(chain: Chain) -> int:
    """Return how long the inputs of the newest decision are."""
    chain.hold()
    with chain.database.read() as connection:
        inputs = connection.execute(select(decisions.c.inputs).where(decisions.c.allocation_id == chain.held[-1].id)).scalar_one()
    chain.release()
    return len(json.dumps(inputs))


def _profile(chain: Chain) -> None:
    profile = cProfile.Profile()
    for _ in range(200):
        profile.runcall(chain.hold)
        chain.release()
    pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--allocations", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--sessions", type=int, default=0, help="open sessions of one GPU, on a cluster; else 8 environments on a machine of 4 GPUs")
    parser.add_argument("--profile", action="store_true", help="show where the time of a hold goes")
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.only != "postgresql":
            compare(f"sqlite:///{folder / 'platform.sqlite'}", folder, arguments)
        if arguments.only != "sqlite":
            with postgresql() as url:
                compare(url, folder, arguments)


if __name__ == "__main__":
    main()
