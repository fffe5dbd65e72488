"""Programs that outlive us, found again by a record of their process id and start time."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


def started_at(pid: int) -> str | None:
    """Return the kernel's start time of a process; with the id it names a process for as long as the machine is up.

    A process whose first thread has ended may still hold its sockets: it is gone when the others have ended too.
    """
    folder = Path(f"/proc/{pid}")
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        is_gone = fields[0] in "ZX" and len(list((folder / "task").iterdir())) <= 1
    except OSError:
        return None
    return None if is_gone else fields[19]


@dataclass(frozen=True, slots=True)
class Program:
    """One program with the files that record and log it."""

    name: str
    record: Path
    log: Path

    def start(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start it in a session of its own, unless it runs."""
        if self.pid is not None:
            return
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **(environment or {})}
            )
        self.record.write_text(json.dumps({"pid": process.pid, "started_at": started_at(process.pid), "argv": list(argv)}))

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        try:
            recorded = json.loads(self.record.read_text())
        except (OSError, ValueError):
            return None
        reap(recorded["pid"])
        return recorded["pid"] if recorded["started_at"] is not None and started_at(recorded["pid"]) == recorded["started_at"] else None

    def send(self, number: signal.Signals) -> None:
        """Send a signal if it runs."""
        if (pid := self.pid) is not None:
            os.kill(pid, number)

    def end(self, timeout_seconds: float = 10) -> None:
        """Ask it to end, then kill it."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if not self.wait(timeout_seconds):
            self.kill()

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        self.send(signal.SIGKILL)
        if not self.wait(10):
            raise RuntimeError(f"{self.name} survived SIGKILL")

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until it is gone and say whether it is."""
        deadline = time.monotonic() + timeout_seconds
        while self.pid is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def reap(pid: int) -> None:
    """Collect a child of ours that has ended; other processes are not our children."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
