"""Real sessions for the tests of spool, processes and launcher. Nothing here is faked."""

import sys
import time
from pathlib import Path
from uuid import UUID, uuid4

from aiplatform_hub.clients.cgroups import Cgroups
from aiplatform_hub.clients.identity import send_signal, wait_for_exit
from aiplatform_hub.clients.launcher import LaunchSpec, launch
from aiplatform_hub.clients.processes import stop_session
from aiplatform_hub.clients.spool import SessionRecord, Spool

NO_CGROUPS = Cgroups.none("The test leaves limits out.")
ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


class Sessions:
    """Starts sessions in a folder and leaves none behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = Spool(folder / "spool")

    def start(self, *argv: str, cgroups: Cgroups = NO_CGROUPS, **values) -> SessionRecord:
        given = {"env": ENV, "cwd": self.folder, "port": 4711, "spawner_id": 1, "user_id": 1, "stop_grace_seconds": 5.0, **values}
        given.setdefault("allocation_id", uuid4())
        given.setdefault("log_path", self.folder / "logs" / f"{given['allocation_id']}.log")
        return launch(LaunchSpec(argv=argv, **given), self.spool, cgroups=cgroups)

    def shell(self, script: str, **values) -> SessionRecord:
        return self.start("/bin/sh", "-c", script, **values)

    def python(self, script: str, **values) -> SessionRecord:
        return self.start("/usr/bin/python3" if values.get("uid") else sys.executable, "-c", script, **values)

    def read(self, allocation_id: UUID) -> SessionRecord:
        record = self.spool.read(allocation_id)
        assert record is not None
        return record

    def wait(self, allocation_id: UUID, seconds: float = 10) -> SessionRecord:
        """Wait until nothing of the session runs and its record is final."""
        record = self.read(allocation_id)
        for identity in (record.process, record.runner):
            assert identity is None or wait_for_exit(identity, seconds)
        return self.read(allocation_id)

    def kill_runner(self, record: SessionRecord) -> None:
        assert record.runner is not None
        assert send_signal(record.runner, 9)
        assert wait_for_exit(record.runner, 5)
        until(lambda: not self.read(record.allocation_id).is_runner_alive)

    def log(self, record: SessionRecord) -> str:
        return (self.folder / "logs" / f"{record.allocation_id}.log").read_text()

    def lines(self, record: SessionRecord) -> str:
        return (self.spool.folder(record.allocation_id) / "record.jsonl").read_text()

    def close(self) -> None:
        for allocation_id in self.spool.allocation_ids():
            stop_session(self.spool, allocation_id, 0)


def until(condition, seconds: float = 10):
    """Wait for a condition that becomes true soon; its last value is returned."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


def running_with(marker: str) -> list[int]:
    """Return the pids whose command line holds a text that only this test uses."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace")
                if marker in words and state_of(int(folder.name)) != "Z":
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def state_of(pid: int) -> str:
    """Return the kernel's letter for what a process does."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
