"""An installation with real processes on free ports, started by the real command."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import requests

AIPLATFORM = str(Path(sys.executable).with_name("aiplatform"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], seconds: float, what: str) -> object:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


def aiplatform(*arguments: object, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run([AIPLATFORM, *map(str, arguments)], capture_output=True, text=True, timeout=seconds, check=False)


class Installation:
    """One data directory and the `aiplatform run --demo` on it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="aiplatform-setup-"))
        self.folder.chmod(0o755)  # as root, servers run under an account that must reach its home
        self.data_dir = self.folder / "data"
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.output = self.folder / "output"

    def command(self, *more: str) -> list[str]:
        return [AIPLATFORM, "run", "--demo", "--data-dir", str(self.data_dir), "--port", str(self.port), "--simulated-gpus", "4", *more]

    def start(self, *more: str) -> str:
        with self.output.open("wb") as output:
            self.supervisor = subprocess.Popen(self.command(*more), stdout=output, stderr=output, cwd=self.folder)
        until(lambda: "Ctrl-C stops" in self.said() or self.supervisor.poll() is not None, 100, "the start")
        assert self.supervisor.poll() is None, self.said()
        return self.said()

    def said(self) -> str:
        return self.output.read_text()

    def end(self, number: int = signal.SIGTERM) -> str:
        self.supervisor.send_signal(number)
        self.supervisor.wait(60)
        return self.said()

    def pid(self, name: str) -> int | None:
        try:
            pid = int(json.loads((self.data_dir / "run" / f"{name}.json").read_text())["pid"])
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return None
        return None if state == "Z" else pid

    def pids(self) -> dict[str, int | None]:
        return {name: self.pid(name) for name in ("proxy", "hub", "platform", "keeper", "culler")}

    def answers(self, path: str) -> bool:
        try:
            return requests.get(self.address + path, timeout=2).ok
        except requests.RequestException:
            return False

    def is_whole(self) -> bool:
        return self.answers("hub/login") and self.answers("services/platform/api/v1/openapi.json")

    def password(self, name: str) -> str:
        return re.search(rf"^.*?\s{name}\s+(\S+)", self.said(), re.MULTILINE).group(1)

    def token(self, user: str, *more: str) -> str:
        done = aiplatform("token", user, "--data-dir", self.data_dir, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def remove(self) -> None:
        if self.supervisor and self.supervisor.poll() is None:
            self.end()
        aiplatform("stop-sessions", "--data-dir", self.data_dir)
        for pid in filter(None, self.pids().values()):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
