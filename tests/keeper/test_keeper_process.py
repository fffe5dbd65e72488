"""The keeper as a process of its own."""

import re
import shutil
import signal
import subprocess
import sys
import time

import requests

from aiplatform_hub.clients.identity import send_signal
from aiplatform_hub.config import arguments_of
from aiplatform_hub.domain.allocations import AllocationState, EndCause


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def metric(machine, name):
    text = requests.get(f"http://127.0.0.1:{machine.settings.keeper_port}/metrics", timeout=5).text
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)[1])


def is_beating(machine):
    with machine.factory.database.read() as connection:
        return machine.factory.heartbeats.find(connection, "keeper") is not None


def test_an_end_is_settled_within_seconds_and_counted(machine):
    machine.start_keeper()
    wait_for(lambda: is_beating(machine))
    allocation = machine.start(gpus=2)
    time.sleep(0.5)
    send_signal(machine.record(allocation).process, signal.SIGTERM)
    killed = time.monotonic()
    wait_for(lambda: not machine.find(allocation.id).is_open)
    assert time.monotonic() - killed < 3
    assert machine.find(allocation.id).end_cause is EndCause.KILLED
    assert metric(machine, 'aiplatform_reconcile_corrections_total{kind="ended"}') == 1
    assert metric(machine, 'aiplatform_gpu_seconds_metered_total{gpu_type="simulated"}') > 0.5
    assert metric(machine, 'aiplatform_heartbeat_age_seconds{process="keeper"}') < 60
    assert metric(machine, 'aiplatform_gpus{gpu_type="simulated",state="free"}') >= 2


def test_a_second_keeper_waits_for_the_first_to_end(machine):
    first = machine.start_keeper()
    wait_for(lambda: is_beating(machine))
    second = machine.start_keeper()
    wait_for(lambda: "Another keeper" in machine.keeper_log())
    first.kill()
    first.wait(5)
    wait_for(lambda: machine.keeper_log().count("Keeping") == 2)
    second.send_signal(signal.SIGTERM)
    assert second.wait(10) == 0


def test_sigterm_ends_the_keeper_and_nothing_else(machine):
    allocation = machine.start()
    keeper = machine.start_keeper()
    wait_for(lambda: is_beating(machine))
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(10) == 0
    assert machine.running() == {allocation.id}
    assert machine.find(allocation.id).state is AllocationState.ACTIVE


def test_a_database_that_is_away_is_told_once_and_waited_for(machine):
    allocation = machine.start()
    machine.start_keeper()
    wait_for(lambda: is_beating(machine))
    database = machine.settings.data_dir / "aiplatform.sqlite"
    lock = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sqlite3,time; c=sqlite3.connect({str(database)!r}, isolation_level=None); c.execute('BEGIN EXCLUSIVE'); print(1, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    lock.stdout.readline()
    send_signal(machine.record(allocation).process, signal.SIGKILL)
    wait_for(lambda: "does not answer" in machine.keeper_log())
    time.sleep(2.5)
    assert machine.keeper_log().count("does not answer") == 1
    lock.kill()
    lock.wait(5)
    wait_for(lambda: not machine.find(allocation.id).is_open)
    wait_for(lambda: "answers again" in machine.keeper_log())
    assert metric(machine, "aiplatform_database_errors_total") > 0


def test_tables_of_another_version_stop_the_start_with_the_fix(machine):
    other = machine.folder / "other"
    other.mkdir()
    shutil.copytree(machine.settings.data_dir, other / "data", ignore=shutil.ignore_patterns("*.sqlite-*"))
    (other / "data" / "aiplatform.sqlite").write_bytes(b"")
    arguments = [a.replace(str(machine.settings.data_dir), str(other / "data")) for a in arguments_of(machine.settings)]
    done = subprocess.run([sys.executable, "-m", "aiplatform_hub.services.keeper", *arguments], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "aiplatform migrate" in done.stderr


def test_homes_of_people_with_open_servers_are_measured(machine):
    machine.start(1)
    home = machine.settings.homes_dir / "user1"
    home.mkdir(parents=True)
    (home / "big").write_bytes(b"x" * 2_000_000)
    machine.start_keeper()

    def size():
        with machine.factory.database.read() as connection:
            return machine.factory.storage_usage.find(connection, "user1") or 0

    wait_for(lambda: size() >= 2_000_000)
