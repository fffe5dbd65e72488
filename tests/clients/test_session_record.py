"""What stands in the spool is what happened, through every kind of end."""

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from session_support import running_with, state_of, until

from aiplatform_hub.clients.identity import Identity, identify, send_signal, start_ticks
from aiplatform_hub.clients.processes import is_alive, stop_session
from aiplatform_hub.clients.spool import SessionMeta, SessionState
from aiplatform_hub.errors import ServiceUnavailableError


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exact_exit_code_is_recorded(sessions, code):
    record = sessions.wait(sessions.shell(f"exit {code}").allocation_id)
    assert (record.state, record.exit_code, record.exit_signal, record.is_stopped) == (SessionState.EXITED, code, None, False)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_exact_signal_is_recorded(sessions, number):
    record = sessions.start("sleep", "60")
    assert send_signal(record.process, number)
    record = sessions.wait(record.allocation_id)
    assert (record.state, record.exit_code, record.exit_signal) == (SessionState.EXITED, None, number)
    assert not record.is_stopped
    assert not record.is_out_of_memory


def test_start_and_end_are_the_process_own_to_the_tenth(sessions):
    before = datetime.now(UTC)
    record = sessions.start("sleep", "0.5")
    after = datetime.now(UTC)
    record = sessions.wait(record.allocation_id)
    assert before <= record.started_at <= after
    assert timedelta(seconds=0.5) <= record.ended_at - record.started_at <= timedelta(seconds=0.7)


def test_record_says_pid_start_and_port_before_exec(sessions):
    # The server itself reads its record: it finds itself there, so the lines were written before its exec.
    record = sessions.python(
        "import os, pathlib, sys; print(next(pathlib.Path('spool').glob('*/record.jsonl')).read_text()); print(os.getpid())",
    )
    sessions.wait(record.allocation_id)
    planned, started, _, pid = sessions.log(record).splitlines()
    assert json.loads(planned)["port"] == 4711
    assert json.loads(started)["pid"] == int(pid) == record.process.pid


def test_runner_leaves_the_launcher_and_its_session(sessions):
    record = sessions.start("sleep", "60")
    fields = Path(f"/proc/{record.runner.pid}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[1]) != os.getpid()
    assert int(fields[3]) == record.runner.pid
    with pytest.raises(ChildProcessError):
        os.waitpid(record.runner.pid, os.WNOHANG)
    assert os.getsid(record.process.pid) == record.process.pid


def test_failed_exec_leaves_a_sentence(sessions):
    record = sessions.start("/nonexistent/server")
    assert record.state is SessionState.FAILED
    assert record.message == "The program /nonexistent/server cannot be started: No such file or directory."
    assert record.has_ended
    assert not record.is_alive


def test_home_that_cannot_be_entered_leaves_a_sentence_and_no_start(sessions):
    record = sessions.start("sleep", "60", cwd=sessions.folder / "nowhere")
    assert record.state is SessionState.FAILED
    assert "nowhere cannot be entered: No such file or directory." in record.message
    assert record.started_at is None


def test_second_launch_of_an_allocation_is_refused(sessions):
    record = sessions.start("sleep", "60")
    with pytest.raises(FileExistsError):
        sessions.start("sleep", "60", allocation_id=record.allocation_id)
    assert sessions.read(record.allocation_id).is_alive


def test_unwritable_spool_starts_nothing(sessions):
    sessions.spool.path.write_text("a file where the folder should be")
    with pytest.raises(ServiceUnavailableError, match="is not a folder"):
        sessions.start("sleep", "61.0625")
    sessions.spool.path.unlink()
    assert running_with("61.0625") == []


def test_killed_runner_does_not_end_the_server(sessions):
    record = sessions.start("sleep", "60")
    sessions.kill_runner(record)
    record = sessions.read(record.allocation_id)
    assert record.state is SessionState.RUNNING
    assert record.is_alive
    assert datetime.now(UTC) - record.last_seen_at < timedelta(seconds=1)


def test_end_that_nobody_saw_is_lost_with_a_fresh_proof_of_life(sessions):
    record = sessions.start("sleep", "60")
    sessions.kill_runner(record)
    time.sleep(1)
    sessions.read(record.allocation_id)
    send_signal(record.process, signal.SIGKILL)
    until(lambda: not is_alive(record.process))
    died_at = datetime.now(UTC)
    record = sessions.read(record.allocation_id)
    assert record.state is SessionState.LOST
    assert record.ended_at is None
    assert timedelta(0) <= died_at - record.last_seen_at <= timedelta(seconds=10)


def test_reader_stands_in_for_a_killed_runner(sessions):
    record = sessions.start("sleep", "60")
    sessions.kill_runner(record)
    alive = sessions.spool.folder(record.allocation_id) / "alive"
    proof = json.loads(alive.read_text())
    alive.write_text(json.dumps({**proof, "boottime": proof["boottime"] - 20_000_000_000}))
    assert sessions.read(record.allocation_id).is_alive
    assert json.loads(alive.read_text())["boottime"] >= proof["boottime"]


def test_runner_and_server_killed_at_once(sessions):
    record = sessions.start("sleep", "60")
    os.kill(record.runner.pid, signal.SIGKILL)
    os.kill(record.process.pid, signal.SIGKILL)
    until(lambda: not is_alive(record.process) and not is_alive(record.runner))
    record = sessions.read(record.allocation_id)
    assert record.state in {SessionState.LOST, SessionState.EXITED}
    assert record.last_seen_at >= record.started_at


def test_stopped_by_signal_is_alive(sessions):
    record = sessions.start("sleep", "60")
    send_signal(record.process, signal.SIGSTOP)
    until(lambda: state_of(record.process.pid) == "T")
    assert sessions.read(record.allocation_id).is_alive
    assert stop_session(sessions.spool, record.allocation_id, 5).exit_signal == signal.SIGTERM


def test_reused_pid_is_dead_and_never_signalled(sessions):
    record = sessions.start("sleep", "60")
    other = Identity(record.process.pid, record.process.start_ticks - 1)
    assert not is_alive(other)
    assert not send_signal(other, signal.SIGKILL)
    assert is_alive(record.process)


def test_zombie_is_dead():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    identity = identify(pid)
    until(lambda: state_of(pid) == "Z")
    assert start_ticks(pid) == identity.start_ticks
    assert not is_alive(identity)
    os.waitpid(pid, 0)


def test_lines_of_another_boot_never_match_a_process(sessions):
    record = sessions.start("sleep", "60")
    path = sessions.spool.folder(record.allocation_id) / "record.jsonl"
    text = path.read_text()
    boot = json.loads(text.splitlines()[0])["boot_id"]
    path.write_text(text.replace(boot, "00000000-0000-0000-0000-000000000000"))
    later = sessions.read(record.allocation_id)
    assert later.state is SessionState.LOST
    assert not later.is_alive
    assert later.last_seen_at == later.started_at  # the proof of life is of this boot, and proves nothing for the other
    path.write_text(text)


def test_line_cut_off_by_a_crash_is_not_read(sessions):
    record = sessions.wait(sessions.shell("exit 3").allocation_id)
    path = sessions.spool.folder(record.allocation_id) / "record.jsonl"
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for cut in range(1, len(last)):
        path.write_bytes(whole[:-cut])
        assert sessions.read(record.allocation_id).state is SessionState.LOST
    path.write_bytes(whole)
    assert sessions.read(record.allocation_id).exit_code == 3


def test_clock_set_back_or_forth_moves_no_duration(sessions):
    record = sessions.wait(sessions.start("sleep", "0.3").allocation_id)
    path = sessions.spool.folder(record.allocation_id) / "record.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["at"] += 7 * 24 * 3600 * 1_000_000
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    moved = sessions.read(record.allocation_id)
    assert moved.ended_at - moved.started_at == record.ended_at - record.started_at
    assert moved.started_at - record.started_at == timedelta(days=7)


def test_newest_of_a_spawner_is_the_latest_also_when_the_clock_goes_back(sessions):
    spool = sessions.spool
    first, second, other = uuid4(), uuid4(), uuid4()
    spool.prepare(first, SessionMeta(user_id=1, spawner_id=5, port=0))
    meta = spool.folder(first) / "meta.json"
    values = json.loads(meta.read_text())
    meta.write_text(json.dumps({**values, "created_at": "2099-01-01T00:00:00.000000Z"}))
    spool.prepare(second, SessionMeta(user_id=1, spawner_id=5, port=0))
    spool.prepare(other, SessionMeta(user_id=1, spawner_id=6, port=0))
    assert spool.newest_for_spawner(5) == second
    assert spool.newest_for_spawner(7) is None


def test_only_ended_sessions_are_archived(sessions):
    ended, running = sessions.shell("exit 0").allocation_id, sessions.start("sleep", "60").allocation_id
    sessions.wait(ended)
    assert sessions.spool.archive(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert sessions.spool.archive(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert sessions.spool.allocation_ids() == (running,)
    assert (sessions.spool.path / "archive" / str(ended) / "record.jsonl").exists()


def test_spool_is_closed_to_others_and_holds_no_secret(sessions):
    record = sessions.start("sleep", "60", env={"PATH": "/bin:/usr/bin", "JUPYTERHUB_API_TOKEN": "very-secret-token"})
    folder = sessions.spool.folder(record.allocation_id)
    assert folder.stat().st_mode & 0o077 == 0
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert b"very-secret-token" not in path.read_bytes()
    assert b"very-secret-token" not in Path(f"/proc/{record.runner.pid}/cmdline").read_bytes()
