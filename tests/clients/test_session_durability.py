"""Each line is on the disk before the next step: red when an fsync is taken out of the runner."""

import errno
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from session_support import running_with, until

from aiplatform_hub import session_runner


class Trace:
    """Calls through to the system and keeps their order."""

    def __init__(self, monkeypatch):
        self.calls = []
        for name in ("write", "fsync", "fork", "fdatasync", "pwrite"):
            monkeypatch.setattr(os, name, self._noting(name, getattr(os, name)))

    def _noting(self, name, real):
        def call(*args):
            result = real(*args)
            if name != "fork" or result:
                self.calls.append((name, str(Path(f"/proc/self/fd/{args[0]}").readlink()) if args else "", args[1] if len(args) > 1 else b""))
            return result

        return call

    def steps(self, folder):
        """Name each call by what it touched."""
        for name, path, data in self.calls:
            if path == f"{folder}/record.jsonl":
                yield f"{name} {json.loads(data)['event']}" if data else f"{name} record"
            elif path == str(folder):
                yield f"{name} folder"
            elif path.startswith("pipe:") and name == "write":
                yield "go"
            elif name == "fork":
                yield "fork"


@pytest.fixture
def trace(monkeypatch):
    return Trace(monkeypatch)


def test_a_line_is_on_the_disk_before_append_returns(tmp_path, trace):
    session_runner.Record(str(tmp_path)).append("planned", port=1)
    assert list(trace.steps(tmp_path)) == ["write planned", "fsync record", "fsync folder"]


def test_plan_is_durable_before_the_fork_and_start_before_the_exec(tmp_path, trace):
    # The runner's own steps with a real child; the child execs only when "go" is written.
    record = session_runner.Record(str(tmp_path))
    record.append("planned", port=1)
    spec = {"argv": [sys.executable, "-I", "-S", "-c", "pass"], "env": {}, "cwd": "/", "log_path": str(tmp_path / "log")}
    server = session_runner.Server(spec, record)
    assert server.start() == ""
    os.waitpid(server.pid, 0)
    durable = ["fsync record", "fsync folder"]
    assert list(trace.steps(tmp_path)) == ["write planned", *durable, "fork", "write started", *durable, "go"]


def test_proof_of_life_is_on_the_disk(tmp_path, trace):
    session_runner.Record(str(tmp_path)).touch()
    assert [name for name, path, _ in trace.calls if path == f"{tmp_path}/alive"] == ["pwrite", "fdatasync"]


def test_line_that_did_not_reach_the_disk_leaves_no_trace(tmp_path, monkeypatch):
    record = session_runner.Record(str(tmp_path))
    record.append("planned", port=1)
    before = (tmp_path / "record.jsonl").read_bytes()

    def full(_fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            record.append("started", pid=1)
    assert (tmp_path / "record.jsonl").read_bytes() == before
    record.append("started", pid=1)
    assert [json.loads(line)["event"] for line in (tmp_path / "record.jsonl").read_text().splitlines()] == ["planned", "started"]


def test_runner_killed_before_its_record_is_written_starts_nothing(tmp_path):
    # The runner's death closes the pipe on which the child waits for its order to exec.
    ran = tmp_path / "ran"
    record = session_runner.Record(str(tmp_path))
    spec = {"argv": ["/usr/bin/touch", str(ran)], "env": {}, "cwd": "/", "log_path": str(tmp_path / "log")}
    runner = os.fork()
    if runner == 0:
        record.append = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        session_runner.Server(spec, record).start()
    os.waitpid(runner, 0)
    until(lambda: not running_with(str(tmp_path)))
    time.sleep(0.2)
    assert not ran.exists()
