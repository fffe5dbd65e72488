"""No descendant survives the end of a session, whoever ends it."""

import os
import signal
import time
from uuid import uuid4

import pytest
from session_support import running_with, until

from aiplatform_hub.clients.processes import descendants, processes_of_allocation, stop_session
from aiplatform_hub.clients.spool import SessionState


def _family(seconds: str) -> str:
    # Below the server: a child, a daemon (double fork, setsid) and a leader of its own session that ignores SIGTERM.
    return f"""
import os, subprocess, signal
argv = ["sleep", "{seconds}"]
subprocess.Popen(argv)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", argv)
    os._exit(0)
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(argv).wait()
    os._exit(0)
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture
def family(sessions):
    marker = f"6{uuid4().int % 10**6:06}.5"
    record = sessions.python(_family(marker))
    until(lambda: "ready" in sessions.log(record) and len([pid for pid in running_with(marker) if pid != record.process.pid]) >= 4)
    return record, marker


def test_stop_leaves_no_descendant(sessions, family):
    record, marker = family
    ended = stop_session(sessions.spool, record.allocation_id, 5)
    assert running_with(marker) == []
    assert (ended.state, ended.exit_signal, ended.is_stopped) == (SessionState.EXITED, signal.SIGTERM, True)


def test_stop_leaves_no_descendant_when_the_runner_was_killed(sessions, family):
    record, marker = family
    sessions.kill_runner(record)
    ended = stop_session(sessions.spool, record.allocation_id, 5)
    assert running_with(marker) == []
    assert ended.state is SessionState.EXITED
    assert ended.ended_at is not None
    assert ended.is_stopped
    assert (ended.exit_code, ended.exit_signal) == (None, None)


def test_stop_leaves_no_descendant_when_runner_and_server_were_killed(sessions, family):
    record, marker = family
    sessions.kill_runner(record)
    os.kill(record.process.pid, signal.SIGKILL)
    until(lambda: not sessions.read(record.allocation_id).is_alive)
    assert running_with(marker)
    ended = stop_session(sessions.spool, record.allocation_id, 5)
    assert running_with(marker) == []
    assert ended.state is SessionState.LOST


def test_server_that_ends_by_itself_leaves_no_descendant(sessions, family):
    record, marker = family
    os.kill(record.process.pid, signal.SIGKILL)
    ended = sessions.wait(record.allocation_id)
    assert running_with(marker) == []
    assert (ended.exit_signal, ended.is_stopped) == (signal.SIGKILL, False)


@pytest.mark.parametrize("is_runner_alive", [True, False])
def test_server_that_ignores_the_request_is_killed_after_the_grace(sessions, is_runner_alive):
    record = sessions.python(
        "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); [signal.pause() for _ in iter(int, 1)]", stop_grace_seconds=1.0
    )
    until(lambda: "ready" in sessions.log(record))
    if not is_runner_alive:
        sessions.kill_runner(record)
    begin = time.monotonic()
    ended = stop_session(sessions.spool, record.allocation_id, 1)
    assert 0.9 <= time.monotonic() - begin < 4
    assert ended.state is SessionState.EXITED
    assert ended.exit_signal == (signal.SIGKILL if is_runner_alive else None)


def test_server_may_finish_its_work_within_the_grace(sessions):
    script = "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(0.4), sys.exit(12))); print('ready', flush=True); signal.pause()"
    record = sessions.python(script)
    until(lambda: "ready" in sessions.log(record))
    assert stop_session(sessions.spool, record.allocation_id, 5).exit_code == 12


def test_stop_may_be_repeated_and_knows_no_strangers(sessions):
    record = sessions.start("sleep", "60")
    first = stop_session(sessions.spool, record.allocation_id, 5)
    assert stop_session(sessions.spool, record.allocation_id, 5) == first
    assert stop_session(sessions.spool, uuid4(), 5) is None


def test_stop_ends_one_session_and_no_other(sessions):
    one, other = sessions.start("sleep", "60"), sessions.start("sleep", "60")
    stop_session(sessions.spool, one.allocation_id, 5)
    assert sessions.read(other.allocation_id).is_alive


def test_orphans_are_found_by_environment(sessions, family):
    record, _ = family
    below = {record.process, *descendants(record.runner.pid)}
    assert set(processes_of_allocation(record.allocation_id)) == below
    assert len(below) >= 5
