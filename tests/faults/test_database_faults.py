"""The platform's database locked, away, read-only and on a full disk, while a server runs and the keeper keeps.

Real SQLite, real session runner, the keeper as a process. A start is refused with 503, what runs is untouched, and
everything recovers by itself. Where the tests run as root, the data folder is a small file system of its own.
"""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from aiplatform_hub.clients.identity import send_signal
from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.errors import ServiceUnavailableError
from tests.support.hub import wait_for
from tests.support.machine import Machine, integrity

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def machine():
    folder = Path(tempfile.mkdtemp(prefix="aiplatform-faults-"))
    if IS_ROOT:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "aiplatform-test", str(folder)], check=True)
    made = Machine(folder)
    yield made
    made.close()
    if IS_ROOT:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    shutil.rmtree(folder, ignore_errors=True)


def database_files(machine):
    return [path for path in machine.settings.data_dir.iterdir() if path.name.startswith("aiplatform.sqlite")]


@contextmanager
def locked(machine):
    blocker = sqlite3.connect(machine.settings.data_dir / "aiplatform.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()


@contextmanager
def away(machine):
    folder = machine.settings.data_dir.with_name("elsewhere")
    folder.mkdir()
    moved = [path.rename(folder / path.name) for path in database_files(machine)]
    try:
        yield
    finally:
        assert not (machine.settings.data_dir / "aiplatform.sqlite").exists(), "an empty database appeared in its place"
        for path in moved:
            path.rename(machine.settings.data_dir / path.name)


@contextmanager
def read_only(machine):
    if not IS_ROOT:
        modes = {path: path.stat().st_mode for path in database_files(machine)}
        for path in modes:
            path.chmod(0o444)
        machine.factory.database.close()
        try:
            yield
        finally:
            for path, mode in modes.items():
                path.chmod(mode)
        return
    # What is open for writing would keep the file system writable.
    blocker = sqlite3.connect(f"file:{machine.settings.data_dir}/aiplatform.sqlite?mode=rw", uri=True)
    blocker.execute("PRAGMA journal_mode").fetchall()
    blocker.close()
    subprocess.run(["mount", "-o", "bind", str(machine.settings.data_dir), str(machine.settings.data_dir)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(machine.settings.data_dir)], check=True)
    machine.factory.database.close()
    try:
        yield
    finally:
        machine.factory.database.close()
        subprocess.run(["umount", "--lazy", str(machine.settings.data_dir)], check=True)


@contextmanager
def full(machine):
    if IS_ROOT:
        filler = machine.folder / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(4096))
        try:
            yield
        finally:
            filler.unlink()
        return
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    processes = [os.getpid(), *(keeper.pid for keeper in machine.keepers)]
    for pid in processes:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        for pid in processes:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("fault", [locked, away, read_only, full], ids=lambda fault: fault.__name__)
def test_a_start_is_refused_what_runs_is_untouched_and_all_recovers(machine, fault):
    untouched, ending = machine.start(1), machine.start(2)
    keeper = machine.start_keeper()
    wait_for(lambda: "Keeping" in machine.keeper_log(), "the keeper is at work")
    with fault(machine):
        begun = time.monotonic()
        with pytest.raises(ServiceUnavailableError) as refusal:
            machine.take_up(3)
        assert time.monotonic() - begun < 2
        assert refusal.value.status == 503
        assert refusal.value.retry_after_seconds
        send_signal(machine.record(ending).process, signal.SIGKILL)
        time.sleep(3)  # the keeper meets the fault
        assert keeper.poll() is None
        assert machine.running() == {untouched.id}
    wait_for(lambda: not machine.find(ending.id).is_open, "the end is settled", 20)
    assert machine.find(ending.id).end_cause is EndCause.KILLED
    assert machine.find(untouched.id).is_open
    assert machine.record(untouched).is_alive
    assert machine.start(3).is_open
    assert len(machine.leases()) == 2
    assert integrity(machine) == "ok"
    machine.factory.verifier.verify()


def test_an_end_on_a_full_disk_is_written_when_there_is_room(machine):
    allocation = machine.start(1)
    with full(machine):
        send_signal(machine.record(allocation).process, signal.SIGKILL)
        time.sleep(1)
    wait_for(lambda: machine.record(allocation).ended_at is not None or not machine.record(allocation).is_runner_alive, "the runner is done", 20)
    machine.factory.reconciler.reconcile()
    assert not machine.find(allocation.id).is_open
    assert machine.leases() == {}
