"""Restart is normal: what runs goes on, and the database's troubles are nobody's failure."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from aiplatform_hub.domain.allocations import AllocationState
from tests.hub.conftest import stop_everything
from tests.support.hub import SLOW, TRIVIAL, RealHub, real_hub, wait_for

CONFIG = """
c.LocalSpawner.http_timeout = 3
c.Spawner.consecutive_failure_limit = 2

# The hub's own check waits for one request for 5 min; here it gives up as soon as http_timeout says so.
import aiohttp
aiohttp.client.DEFAULT_TIMEOUT = aiohttp.ClientTimeout(total=2)
"""


@pytest.fixture(scope="module")
def shared_hub() -> Iterator[RealHub]:
    with real_hub(extra_config=CONFIG) as hub:
        yield hub


@pytest.fixture
def hub(shared_hub: RealHub) -> Iterator[RealHub]:
    yield shared_hub
    stop_everything(shared_hub)


def test_killed_hub_adopts_its_servers(hub: RealHub) -> None:
    hub.start_server("user0", "kept", {"environment_template": TRIVIAL, "gpus": 2}).raise_for_status()
    before = hub.ask("user0", "kept")
    hub.restart_hub(signal.SIGKILL)
    hub.wait_ready("user0", "kept")
    after = hub.ask("user0", "kept")
    assert (after["pid"], after["environment"]) == (before["pid"], before["environment"])
    assert "invalid url" not in hub.log(), "the hub finds each server where it stored it: it would write every one anew"
    assert len(hub.open_allocations()) == 1


def test_start_cut_off_by_a_kill_is_adopted(hub: RealHub) -> None:
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(hub.start_server, "user2", "cut", {"environment_template": SLOW, "gpus": 1})
        allocation = wait_for(lambda: [a for a in hub.open_allocations() if a.state is AllocationState.ACTIVE], "its process has begun")[0]
        hub.kill_hub()
        starting.exception()
    hub.start_hub()
    hub.wait_ready("user2", "cut")
    assert [a.id for a in hub.open_allocations()] == [allocation.id]
    assert hub.ask("user2", "cut")["environment"]["AIPLATFORM_ALLOCATION_ID"] == str(allocation.id)
    assert hub.stop_server("user2", "cut").status_code == 204


def test_terminated_hub_leaves_servers_running(hub: RealHub) -> None:
    hub.start_server("user0", "kept", {"environment_template": TRIVIAL}).raise_for_status()
    pid = hub.ask("user0", "kept")["pid"]
    hub.restart_hub(signal.SIGTERM)
    hub.wait_ready("user0", "kept")
    assert hub.ask("user0", "kept")["pid"] == pid


def test_server_stopped_by_a_signal_across_a_restart_is_never_ended(hub: RealHub) -> None:
    hub.start_server("user0", "frozen", {"environment_template": TRIVIAL, "gpus": 1}).raise_for_status()
    pid = hub.ask("user0", "frozen")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        hub.restart_hub(signal.SIGKILL)
        time.sleep(6)  # twice the time after which the hub's own check gives up
        assert len(hub.open_allocations()) == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    hub.wait_ready("user0", "frozen")
    assert hub.ask("user0", "frozen")["pid"] == pid


def test_server_that_died_with_the_hub_is_settled_after_the_restart(hub: RealHub) -> None:
    hub.start_server("user0", "gone", {"environment_template": TRIVIAL, "gpus": 1}).raise_for_status()
    pid = hub.ask("user0", "gone")["pid"]
    hub.kill_hub()
    os.kill(pid, signal.SIGKILL)
    hub.start_hub()
    wait_for(lambda: not hub.open_allocations(), "the end is settled", seconds=20)


def test_locked_database_gives_503_and_counts_no_failure(hub: RealHub) -> None:
    with sqlite3.connect(hub.settings.data_dir / "aiplatform.sqlite", isolation_level=None) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        try:
            for number in range(3):
                begun = time.monotonic()
                answer = hub.start_server("user1", f"locked{number}", {"environment_template": TRIVIAL, "gpus": 1})
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["Retry-After"]) > 0
                assert time.monotonic() - begun < 2
        finally:
            blocker.execute("ROLLBACK")
    blocker.close()
    time.sleep(2.5)  # a hub that counted these as failures would have ended by now
    assert not hub.open_allocations()
    assert hub.start_server("user1", "locked0").status_code == 201


def test_running_server_can_be_stopped_while_the_database_is_locked(hub: RealHub) -> None:
    hub.start_server("user1", "stopped", {"environment_template": TRIVIAL, "gpus": 1}).raise_for_status()
    (allocation,) = hub.open_allocations()
    blocker = sqlite3.connect(hub.settings.data_dir / "aiplatform.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    assert hub.stop_server("user1", "stopped").status_code in {202, 204}
    wait_for(lambda: not hub.factory.spool.read(allocation.id).is_alive, "the server has ended")  # type: ignore[union-attr]
    blocker.execute("ROLLBACK")
    blocker.close()
    hub.factory.reconciler.reconcile()  # as the keeper does
    assert not hub.open_allocations()


def test_missing_database_gives_503_and_recovers(hub: RealHub) -> None:
    database = hub.settings.data_dir / "aiplatform.sqlite"
    hub.kill_hub(signal.SIGTERM)
    hub.factory.database.close()
    away = database.with_name("away.sqlite")
    for suffix in ("", "-wal", "-shm"):
        if (path := database.with_name(database.name + suffix)).exists():
            path.rename(away.with_name(away.name + suffix))
    hub.start_hub()
    answer = hub.start_server("user1", "away", {"environment_template": TRIVIAL})
    assert answer.status_code == 503, answer.text
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
        if (path := away.with_name(away.name + suffix)).exists():
            path.rename(database.with_name(database.name + suffix))
    wait_for(lambda: hub.start_server("user1", "away").status_code == 201, "it recovers by itself", seconds=30, interval=1)
