"""(c) Memory of an idle installation, and of the runner of a session.

Starts ``aiplatform run --demo`` on a data directory of its own, starts a few JupyterLabs, stops them again,
waits, and reads what each process takes. RSS counts shared pages in each process; PSS counts them once.

Run: python benchmarks/memory.py [--sessions 4] [--idle 30]
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import requests
from pairs import machine

from aiplatform_hub.clients.spool import Spool
from aiplatform_hub.supervisor.data_directory import is_free

AIPLATFORM = str(Path(sys.executable).with_name("aiplatform"))
TARGET_MIB = 400
RUNNER_TARGET_MIB = 15
COUNTED = ("hub", "platform", "keeper")
APART = ("proxy",)


def kib(path: str, key: str) -> int:
    """Return one value of a file of ``/proc`` in KiB."""
    return next(int(line.split()[1]) for line in Path(path).read_text().splitlines() if line.startswith(key + ":"))


def memory(pid: int) -> tuple[float, float]:
    """Return RSS and PSS in MiB."""
    return kib(f"/proc/{pid}/status", "VmRSS") / 1024, kib(f"/proc/{pid}/smaps_rollup", "Pss") / 1024


@contextmanager
def installation(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a trial; yields its supervisor and its address."""
    port = next(port for port in range(18000, 20000) if is_free("127.0.0.1", port))
    command = [AIPLATFORM, "run", "--demo", "--data-dir", str(folder / "data"), "--port", str(port)]
    with (folder / "run.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        until = time.monotonic() + 120
        while "Ready:" not in (folder / "run.log").read_text():
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit((folder / "run.log").read_text())
            time.sleep(0.2)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        _aiplatform(folder, "stop-sessions")


def _aiplatform(folder: Path, *arguments: str) -> str:
    command = [AIPLATFORM, *arguments, "--data-dir", str(folder / "data")]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout.strip()


def sessions(address: str, token: str, count: int, folder: Path) -> list[tuple[float, float]]:
    """Start JupyterLabs, read their runners' memory, and stop them."""
    base, headers = f"{address}/services/platform/api/v1", {"Authorization": f"Bearer {token}"}

    def call(method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        answer = requests.request(method, f"{base}/{path}", json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    started = [call("POST", "allocations", {"environment_template": "jupyterlab", "gpus": 0, "server_name": f"idle-{n}"})["id"] for n in range(count)]
    until = time.monotonic() + 120
    while not all(call("GET", f"allocations/{id_}")["is_ready"] for id_ in started) and time.monotonic() < until:
        time.sleep(0.5)
    figures = [memory(_runner(folder, id_)) for id_ in started]
    for id_ in started:
        call("DELETE", f"allocations/{id_}")
    while any(call("GET", f"allocations/{id_}")["state"] == "active" for id_ in started) and time.monotonic() < until:
        time.sleep(0.5)
    return figures


def _runner(folder: Path, allocation_id: str) -> int:
    record = Spool(folder / "data" / "spool").read(UUID(allocation_id))
    assert record is not None
    assert record.runner is not None
    return record.runner.pid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=4, help="sessions that came and went before")
    parser.add_argument("--idle", type=float, default=30, help="seconds of rest before the reading")
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with installation(folder) as (supervisor, address):
            time.sleep(arguments.idle)
            fresh = _figures(folder, supervisor.pid)
            runners = sessions(address, _aiplatform(folder, "token", "researcher"), arguments.sessions, folder)
            time.sleep(arguments.idle)
            _report("after the start", fresh)
            _report(f"after {arguments.sessions} sessions", _figures(folder, supervisor.pid))
    worst = max(rss for rss, _ in runners)
    print(f"runner of a session: highest RSS {worst:.1f} MiB, highest PSS {max(pss for _, pss in runners):.1f} MiB (target {RUNNER_TARGET_MIB} RSS, {_verdict(worst, RUNNER_TARGET_MIB)})")  # fmt: skip


def _figures(folder: Path, supervisor: int) -> dict[str, tuple[float, float]]:
    pids = {name: json.loads((folder / "data" / "run" / f"{name}.json").read_text())["pid"] for name in COUNTED + APART}
    return {name: memory(pid) for name, pid in {**pids, "supervisor": supervisor}.items() if Path(f"/proc/{pid}").exists()}


def _report(when: str, figures: Mapping[str, tuple[float, float]]) -> None:
    print(f"idle, {when}:  " + "  ".join(f"{name} {rss:.0f} (PSS {pss:.0f})" for name, (rss, pss) in figures.items()))
    rss, pss = (sum(figures[name][column] for name in COUNTED) for column in (0, 1))
    print(f"idle, {when}: hub + platform + keeper RSS {rss:.0f} MiB, PSS {pss:.0f} MiB (target {TARGET_MIB} RSS, {_verdict(rss, TARGET_MIB)})", flush=True)


def _verdict(value: float, target: float) -> str:
    return "met" if value <= target else "missed"


if __name__ == "__main__":
    main()
