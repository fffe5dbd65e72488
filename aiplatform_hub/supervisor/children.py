"""One program kept running: started, adopted, watched and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import monotonic

from aiplatform_hub.clients import identity as processes
from aiplatform_hub.clients.identity import Identity
from aiplatform_hub.supervisor.data_directory import write_atomically
from aiplatform_hub.supervisor.programs import Program

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
STOP_SECONDS = 15.0
HEALTHY_SECONDS = 60.0
"""After so long a life the next restart waits the first delay again."""


class Child:
    """Keeps one program running.

    The record of its process lies in a file, so that a supervisor started later can adopt it.
    """

    def __init__(self, *, program: Program, run_dir: Path, say: Callable[[str], None]) -> None:
        self.program = program
        self.starts = 0
        """How often this supervisor started it."""
        self._record = run_dir / f"{program.name}.json"
        self._say = say
        self._popen: subprocess.Popen[bytes] | None = None
        self._identity: Identity | None = None
        self._since = monotonic()
        self._delay = FIRST_DELAY_SECONDS
        self._next_start: float | None = None

    @property
    def pid(self) -> int | None:
        """Its process, if it runs."""
        return self._identity.pid if self._identity and self.is_running() else None

    def is_running(self) -> bool:
        """Whether the process lives."""
        if self._popen and self._popen.poll() is not None:
            return False
        return self._identity is not None and processes.is_alive(self._identity)

    def adopt(self) -> bool:
        """Take over what an earlier supervisor left running, if it is the same program; end it if it is out of date."""
        try:
            note = json.loads(self._record.read_text())
            found, fingerprint = Identity(int(note["pid"]), int(note["start_ticks"])), note["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if not processes.is_alive(found):
            return False
        if fingerprint != self.program.fingerprint:
            self._say(f"The {self.program.name} that runs (process {found.pid}) is of another version or configuration: starting it anew")
            _end(found, STOP_SECONDS)
            return False
        self._identity, self._since = found, monotonic()
        return True

    def start(self) -> None:
        """Start it in a session of its own, its output in its log."""
        with self.program.log_file.open("ab") as log:
            self.program.log_file.chmod(0o600)
            self._popen = subprocess.Popen(
                self.program.argv,
                env=_inherited_environment() | self.program.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._record.parent,
            )
        ticks = processes.start_ticks(self._popen.pid)
        self._identity = Identity(self._popen.pid, ticks if ticks is not None else -1)
        write_atomically(self._record, json.dumps(asdict(self._identity) | {"fingerprint": self.program.fingerprint}) + "\n")
        self._since, self._next_start = monotonic(), None
        self.starts += 1

    def tend(self) -> bool:
        """Start it again if it died and its delay is over; True when it was started now."""
        if self.is_running():
            return False
        now = monotonic()
        if self._next_start is None:
            self._plan_restart(now)
            return False
        if now < self._next_start:
            return False
        self.start()
        return True

    def _plan_restart(self, now: float) -> None:
        if now - self._since >= HEALTHY_SECONDS:
            self._delay = FIRST_DELAY_SECONDS
        self._next_start = now + self._delay
        self._say(f"The {self.program.name} ended{self._how()}; starting it again in {self._delay:.0f} s (log: {self.program.log_file})")
        self._delay = min(self._delay * 2, LONGEST_DELAY_SECONDS)

    def _how(self) -> str:
        code = self._popen.returncode if self._popen else None
        if code is None:
            return ""
        return f" by signal {signal.Signals(-code).name}" if code < 0 else f" with exit code {code}"

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self._identity:
            processes.send_signal(self._identity, signal.SIGTERM)

    def wait_until_stopped(self, seconds: float) -> None:
        """Wait for the end, and kill what has not ended by then."""
        if self._identity:
            _end(self._identity, seconds)
        if self._popen:
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(1)
        self._record.unlink(missing_ok=True)

    def last_log_lines(self, count: int = 8) -> str:
        """Return the end of its log, for a start that fails."""
        with suppress(OSError):
            return "\n".join(self.program.log_file.read_text(errors="replace").splitlines()[-count:])
        return ""


def _end(identity: Identity, seconds: float) -> None:
    for number in (signal.SIGTERM, signal.SIGCONT):  # a stopped process hears nothing else
        processes.send_signal(identity, number)
    if not processes.wait_for_exit(identity, seconds):
        processes.send_signal(identity, signal.SIGKILL)
        processes.wait_for_exit(identity, 5)


def _inherited_environment() -> dict[str, str]:
    # Not part of the fingerprint: a shell and systemd have other paths, and that is no reason to restart what runs.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTERHUB_", "AIPLATFORM_", "CONFIGPROXY_"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
