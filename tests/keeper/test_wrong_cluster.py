"""A keeper that is pointed at another cluster than its database's ends nothing, says why, and goes on when it is told that the platform moved."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import requests
from fake_api_server import NAMESPACE, FakeApiServer

from aiplatform_hub.config import Place, Settings, arguments_of
from aiplatform_hub.domain.allocations import EndCause, ServerKey
from aiplatform_hub.domain.clusters import ClusterIdentity
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.heartbeats import Heartbeat
from aiplatform_hub.storage.migrate import upgrade
from tests.support.machine import free_port

COMMAND = Path(sys.executable).with_name("aiplatform")


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


class Installation:
    """A database, two clusters, and keepers."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="aiplatform-wrong-"))
        self.settings = Settings(data_dir=self.folder / "data", place=Place.CLUSTER, namespace=NAMESPACE, keeper_port=free_port())
        self.settings.data_dir.mkdir()
        upgrade(self.settings.resolved_database_url)
        self.factory = Factory(self.settings)
        self.home, self.other = FakeApiServer("uid-home"), FakeApiServer("uid-other")
        self.keepers: list[subprocess.Popen[bytes]] = []

    def start_keeper(self, cluster=None, settings=None):
        environment = {**os.environ, "KUBECONFIG": str((cluster or self.home).kubeconfig(self.folder))}
        command = [sys.executable, "-m", "aiplatform_hub.services.keeper", *arguments_of(settings or self.settings)]
        with (self.folder / f"keeper{len(self.keepers)}.log").open("ab") as log:
            keeper = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.keepers.append(keeper)
        return keeper

    def stop_keepers(self):
        for keeper in self.keepers:
            if keeper.poll() is None:
                keeper.send_signal(signal.SIGTERM)
                assert keeper.wait(15) == 0

    def log(self, number=-1):
        return (self.folder / f"keeper{number % len(self.keepers)}.log").read_text()

    def health(self):
        try:
            answer = requests.get(f"http://127.0.0.1:{self.settings.keeper_port}/health", timeout=5)
        except requests.ConnectionError:
            return 0, ""
        return answer.status_code, answer.text.strip()

    def is_well(self):
        return self.health()[0] == 200

    def is_refusing(self):
        return self.health()[0] == 503 and "does nothing" in self.health()[1]

    def start_session(self):
        """Have a session that runs at home."""
        catalog, now = self.factory.catalog, self.factory.clock()
        wait_for(lambda: self.factory.enforcer.whole_capacity().memory_bytes)
        project = next(p for p in catalog.projects.values() if p.is_personal)
        request = LaunchRequest("jupyterlab", 0, None, GIB, 1, project.name, project.cost_centre)
        caller = Caller(1, "ann", frozenset({"premium"}))
        allocation = self.factory.enforcer.take_up(caller, request, ServerKey(1, "", 1), door="hub", actor="ann", hub_instance="h")
        self.home.run_pod(allocation.id, now.isoformat(timespec="seconds"))
        self.factory.meter.started(allocation.id, now)
        self.factory.meter.ready(allocation.id, now)
        return allocation

    def find(self, allocation):
        with self.factory.database.read() as connection:
            return self.factory.allocations.find(connection, allocation.id)

    def silence(self):
        """Let the keeper that ended have been silent for a minute."""
        with self.factory.database.write() as connection:
            beat = self.factory.heartbeats.find(connection, "keeper")
            at = beat.at.replace(year=beat.at.year - 1)
            self.factory.heartbeats.beat(connection, Heartbeat("keeper", beat.instance, at, at, beat.detail))

    def detail(self):
        with self.factory.database.read() as connection:
            return self.factory.heartbeats.find(connection, "keeper").detail

    def move(self, *options, given=None):
        command = [COMMAND, "move-cluster", "--data-dir", self.settings.data_dir, *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, input=given)

    def close(self):
        for keeper in self.keepers:
            keeper.kill()
            keeper.wait(5)
        self.home.close()
        self.other.close()
        self.factory.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def place():
    made = Installation()
    yield made
    made.close()


@pytest.fixture
def running(place):
    """A place whose keeper has a session at home, and was stopped."""
    place.start_keeper()
    wait_for(place.is_well)
    allocation = place.start_session()
    place.stop_keepers()
    return place, allocation


def test_the_first_keeper_says_where_the_database_belongs(place):
    place.start_keeper()
    wait_for(place.is_well)
    assert place.factory.cluster_home.home() == ClusterIdentity("uid-home", NAMESPACE, place.home.address)
    place.stop_keepers()
    place.start_keeper()
    wait_for(place.is_well)


def test_in_another_cluster_nothing_is_ended_and_everybody_is_told(running):
    place, allocation = running
    place.silence()
    place.start_keeper(place.other)
    wait_for(place.is_refusing)
    sentence = (
        f"The database belongs to namespace people (UID uid-home) of the cluster at {place.home.address}, but this is namespace people (UID uid-other) "
        f"of the cluster at {place.other.address}. So the keeper does nothing and ends nothing: give it the other cluster's address or a database of its own. "
        "If the platform moved here for good, run `aiplatform move-cluster`; it shows what will end."
    )
    assert place.health() == (503, sentence)
    assert place.log().count(sentence) == 1
    assert "aiplatform_keeper_wrong_cluster 1.0" in requests.get(f"http://127.0.0.1:{place.settings.keeper_port}/metrics", timeout=5).text
    wait_for(lambda: place.detail() == {"refuses": sentence})
    time.sleep(3)  # a keeper at work scans twice in it
    assert place.find(allocation).is_open
    assert place.other.lists == 0  # not even looked at


def test_a_keeper_of_the_right_cluster_is_not_kept_from_its_work(running):
    place, allocation = running
    place.start_keeper(place.other)
    wait_for(place.is_refusing)
    place.start_keeper(place.home)
    wait_for(lambda: "Keeping" in place.log())
    place.home.pods.clear()
    place.home.has_forgotten.set()
    wait_for(lambda: not place.find(allocation).is_open, 30)
    assert "refuses" not in place.detail()


def test_who_really_moved_says_so_and_the_keeper_goes_on_by_itself(running):
    place, allocation = running
    place.silence()
    place.start_keeper(place.other)
    wait_for(place.is_refusing)
    wait_for(place.detail)
    shown = place.move(given="n\n")
    assert (shown.returncode, "UID uid-home" in shown.stdout, "UID uid-other" in shown.stdout, "ann" in shown.stdout) == (0, True, True, True), shown
    assert json.loads(place.move("--json").stdout)["open"][0]["user"] == "ann"
    assert place.find(allocation).is_open
    moved = place.move("--yes")
    assert moved.returncode == 0, moved.stderr
    wait_for(lambda: not place.find(allocation).is_open, 30)
    ended = place.find(allocation)
    assert (ended.end_cause, ended.estimated) == (EndCause.LOST, True)
    assert place.is_well()
    (event,) = [event for event in place.factory.audit_trail.latest() if event.action == "move_cluster"]
    assert "uid-other" in event.target
    assert event.detail["open_allocations"] == [str(allocation.id)]


def test_a_move_needs_a_keeper_that_waits_and_none_that_works(place):
    place.start_keeper()
    wait_for(place.is_well)
    refused = place.move("--yes")
    assert (refused.returncode, "A keeper is at work" in refused.stderr) == (1, True)
    place.stop_keepers()
    place.silence()
    refused = place.move("--yes")
    assert (refused.returncode, "No keeper waits" in refused.stderr) == (1, True)


def test_another_cluster_behind_the_same_address_is_seen_before_its_list_is_taken(place):
    place.start_keeper()
    wait_for(place.is_well)
    allocation = place.start_session()
    place.home.has_forgotten.set()
    wait_for(lambda: place.home.lists > 6)  # the pod was listed
    place.home.namespace_uid, place.home.pods = "uid-other", []
    wait_for(place.is_refusing)
    assert "(UID uid-other)" in place.health()[1]
    time.sleep(3)
    assert place.find(allocation).is_open
    place.silence()
    assert place.move("--yes").returncode == 0
    wait_for(lambda: not place.find(allocation).is_open, 30)  # by the new cluster's list, in the same process
    assert place.find(allocation).end_cause is EndCause.LOST


def test_running_sessions_without_a_pod_here_do_not_make_this_their_cluster(running):
    """As in a database of an earlier version, or of a single machine."""
    place, allocation = running
    with place.factory.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM clusters")
    place.start_keeper(place.other)
    wait_for(place.is_refusing)
    assert "By the database 1 session runs, and none of them has a pod in namespace people (UID uid-other)" in place.health()[1]
    assert place.find(allocation).is_open
    place.start_keeper(place.home)
    wait_for(lambda: "Keeping" in place.log())
    wait_for(lambda: place.factory.cluster_home.home() is not None)
    assert place.factory.cluster_home.home().namespace_uid == "uid-home"


def test_a_hub_in_another_cluster_ends_nothing_either(running):
    """It settles a stop by the same reconciler, and has no right to compare clusters."""

    class NoPods:
        def pods(self, ids):
            return {}

        def nodes(self):
            return {}

    place, allocation = running
    place.factory.pod_source = NoPods()
    place.factory.reconciler.reconcile((allocation.id,))
    assert place.find(allocation).is_open


def test_a_single_machine_refuses_a_clusters_database(running):
    place, allocation = running
    settings = Settings(data_dir=place.settings.data_dir, keeper_port=place.settings.keeper_port)
    place.start_keeper(settings=settings)
    wait_for(place.is_refusing)
    assert "this keeper is of a single machine" in place.health()[1]
    time.sleep(2)
    assert place.find(allocation).is_open


def test_a_namespace_that_is_not_there_is_named(place):
    settings = Settings(data_dir=place.settings.data_dir, place=Place.CLUSTER, namespace="typo", keeper_port=place.settings.keeper_port)
    assert place.start_keeper(settings=settings).wait(20) == 2
    assert f"There is no namespace typo in the cluster at {place.home.address}" in place.log()
