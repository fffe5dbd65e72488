"""One machine without a hub: real database, real session runners, real keeper. What a hub would do, a test does.

``start`` is the hub's ``start()`` in its four steps, each of which a test can leave out as a crash would.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import select, text

import aiplatform_hub
from aiplatform_hub.clients.cgroups import Cgroups
from aiplatform_hub.clients.gpus import discover
from aiplatform_hub.clients.identity import all_pids, identify, is_alive
from aiplatform_hub.clients.launcher import LaunchSpec, launch
from aiplatform_hub.clients.processes import allocation_of as allocation_of_pid
from aiplatform_hub.clients.processes import stop_session
from aiplatform_hub.clients.spool import SessionRecord
from aiplatform_hub.config import Settings, arguments_of
from aiplatform_hub.domain.allocations import Allocation, EndCause, ServerKey
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.factory import Factory
from aiplatform_hub.hub_factory import utc_now
from aiplatform_hub.storage.allocations import allocation_of
from aiplatform_hub.storage.heartbeats import Heartbeat
from aiplatform_hub.storage.migrate import upgrade
from aiplatform_hub.storage.schema import allocations, usage_intervals
from aiplatform_hub.storage.usage import interval_of

NO_CGROUPS = Cgroups.none("The test leaves limits out.")
SERVER = ("/bin/sleep", "1000")
REPOSITORY = Path(aiplatform_hub.__file__).parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Machine:
    """A data folder with its processes."""

    def __init__(self, folder: Path | None = None, *, gpus: int = 4, clock=utc_now, database_url: str = "") -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="aiplatform-machine-"))
        self.settings = Settings(data_dir=self.folder / "data", database_url=database_url, simulated_gpus=gpus, is_demo=True, keeper_port=free_port())
        self.settings.spool_dir.mkdir(parents=True, exist_ok=True)
        self.factory = Factory(self.settings, clock)
        upgrade(self.settings.resolved_database_url)
        self.factory.enforcer.register_devices(discover(gpus, self.factory.catalog.gpu_types), 512 * GIB, 256)
        self.instance = ""
        self.keepers: list[subprocess.Popen[bytes]] = []
        self.restart_hub()

    # The hub's part

    def restart_hub(self) -> None:
        """Be another life of the hub."""
        self.instance = uuid4().hex
        now = self.factory.clock()
        with self.factory.database.write() as connection:
            self.factory.heartbeats.beat(connection, Heartbeat(process="hub", instance=self.instance, started_at=now, at=now))

    def request(self, gpus: int = 1) -> LaunchRequest:
        project = next(p for p in self.factory.catalog.projects.values() if p.is_personal)
        return LaunchRequest("jupyterlab", gpus, "simulated" if gpus else None, GIB, 1, project.name, project.cost_centre)

    @staticmethod
    def now():
        return utc_now()

    def hold(self, user: int = 1, name: str = "", gpus: int = 1) -> Allocation:
        """Hold for a launch page; no start takes it up."""
        caller = Caller(user, f"user{user}", frozenset({"premium"}))
        return self.factory.enforcer.hold(caller, self.request(gpus), ServerKey(user, name), door="page", actor=caller.user_name)

    def take_up(self, user: int = 1, name: str = "", gpus: int = 1) -> Allocation:
        caller = Caller(user, f"user{user}", frozenset({"premium"}))
        server = ServerKey(user, name, user * 100 + hash(name) % 100)
        return self.factory.enforcer.take_up(caller, self.request(gpus), server, door="hub", actor=caller.user_name, hub_instance=self.instance)

    def launch(self, allocation: Allocation, *argv: str) -> SessionRecord:
        spec = LaunchSpec(
            allocation_id=allocation.id,
            spawner_id=allocation.spawner_id or 0,
            user_id=allocation.user_id,
            argv=argv or SERVER,
            env={"PATH": "/usr/bin:/bin"},
            cwd=self.folder,
            port=0,
            log_path=self.settings.logs_dir / "sessions" / f"{allocation.id}.log",
            stop_grace_seconds=2,
        )
        return launch(spec, self.factory.spool, cgroups=NO_CGROUPS)

    def start(self, user: int = 1, name: str = "", gpus: int = 1, *argv: str) -> Allocation:
        """Start a server and see it ready."""
        allocation = self.take_up(user, name, gpus)
        record = self.launch(allocation, *argv)
        assert record.started_at is not None
        assert self.factory.meter.started(allocation.id, record.started_at)
        self.factory.meter.ready(allocation.id, self.factory.clock())
        return self.find(allocation.id)

    def stop(self, allocation: Allocation) -> None:
        """Stop a server as the hub does, and leave the settling to others."""
        self.factory.meter.request_stop(allocation.id, allocation.user_name, EndCause.STOPPED_BY_USER)
        stop_session(self.factory.spool, allocation.id, 2)

    # The keeper

    def start_keeper(self) -> subprocess.Popen[bytes]:
        return self.start_program([sys.executable, "-m", "aiplatform_hub.services.keeper", *arguments_of(self.settings)])

    def start_program(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "keeper.log").open("ab") as log:
            keeper = subprocess.Popen(command, cwd=self.folder, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdout=log, stderr=log)
        self.keepers.append(keeper)
        return keeper

    def keeper_log(self) -> str:
        return (self.folder / "keeper.log").read_text()

    # Looking

    def record(self, allocation: Allocation) -> SessionRecord:
        record = self.factory.spool.read(allocation.id)
        assert record is not None
        return record

    def find(self, allocation_id: UUID) -> Allocation:
        with self.factory.database.read() as connection:
            found = self.factory.allocations.find(connection, allocation_id)
        assert found is not None
        return found

    def open(self) -> tuple[Allocation, ...]:
        with self.factory.database.read() as connection:
            return self.factory.allocations.open(connection)

    def ended(self) -> list[Allocation]:
        """Return the allocations that were held once and are closed."""
        statement = select(allocations).where(allocations.c.ended_at.is_not(None), allocations.c.held_at.is_not(None))
        with self.factory.database.read() as connection:
            return [allocation_of(row) for row in connection.execute(statement).mappings()]

    def leases(self) -> dict[str, UUID]:
        with self.factory.database.read() as connection:
            return self.factory.allocations.leased(connection)

    def intervals(self) -> list[UsageInterval]:
        with self.factory.database.read() as connection:
            return [interval_of(row) for row in connection.execute(select(usage_intervals).order_by(usage_intervals.c.started_at)).mappings()]

    def interval(self, allocation: Allocation) -> UsageInterval:
        with self.factory.database.read() as connection:
            (interval,) = self.factory.usage_store.of_allocation(connection, allocation.id)
        return interval

    def running(self) -> frozenset[UUID]:
        """Return the allocations of which a process really runs, by looking at every process of the machine."""
        mine = set(self.factory.spool.allocation_ids())
        found = ((pid, allocation_of_pid(pid)) for pid in all_pids())
        return frozenset(id_ for pid, id_ in found if id_ in mine and (identity := identify(pid)) and is_alive(identity))

    def close(self) -> None:
        for keeper in self.keepers:
            with suppress(ProcessLookupError):
                keeper.send_signal(signal.SIGCONT)
                keeper.kill()
            keeper.wait(10)
        for id_ in self.factory.spool.allocation_ids():
            stop_session(self.factory.spool, id_, 0.1)
        self.factory.close()


def integrity(machine: Machine) -> str:
    """Return SQLite's own opinion of the database file."""
    with machine.factory.database.read() as connection:
        return str(connection.execute(text("PRAGMA integrity_check")).scalar_one())
