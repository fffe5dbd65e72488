"""The keeper on a real cluster: each fault ends in the right ledger."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from aiplatform_hub.domain.allocations import AllocationState, EndCause
from aiplatform_hub.domain.cluster import slot_of
from tests.cluster.keeper_place import KeeperPlace
from tests.cluster.machinery.client import wait_for
from tests.support.database import _execute

_numbers = count(1)


@pytest.fixture
def database_url(postgresql):
    name = f"keeper_{os.getpid()}_{next(_numbers)}"
    _execute(postgresql.format(name="postgres"), f"CREATE DATABASE {name} TEMPLATE migrated")
    yield postgresql.format(name=name)
    _execute(postgresql.format(name="postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def place(cluster, namespace, database_url):
    made = KeeperPlace(cluster, namespace, database_url, node_lost_seconds=8)
    yield made
    made.close()


@pytest.fixture
def kept(place):
    """A place whose keeper is at work."""
    place.start_keeper()
    place.await_devices()
    return place


def test_usage_is_what_the_kubelet_says_and_the_pod_is_let_go(kept):
    allocation, name = kept.start(command="sleep 3")
    state = wait_for(lambda: kept.pods()[name]["status"]["containerStatuses"][0]["state"].get("terminated"), 20)
    interval = kept.await_end(allocation, 5)
    assert [interval.started_at.isoformat(), interval.ended_at.isoformat()] == [state[k].replace("Z", "+00:00") for k in ("startedAt", "finishedAt")]
    assert (interval.end_cause, interval.estimated) == (EndCause.EXITED, False)
    wait_for(lambda: "finalizers" not in kept.pods()[name]["metadata"], 5, "the finalizer is gone")


@pytest.mark.parametrize(("options", "cause"), [((), EndCause.DELETED), (("--force", "--grace-period=0"), EndCause.DELETED)], ids=["grace", "force"])
def test_a_pod_deleted_behind_our_back_is_exact_and_gone(kept, options, cause):
    allocation, name = kept.start()
    kept.delete(name, *options)
    interval = kept.await_end(allocation)
    assert (interval.end_cause, interval.estimated) == (cause, False)
    wait_for(lambda: name not in kept.pods(), 10, "the pod is gone")


def test_a_stop_that_was_asked_for_explains_the_deletion(kept):
    allocation, name = kept.start()
    kept.factory.meter.request_stop(allocation.id, "user1", EndCause.STOPPED_BY_USER)
    kept.delete(name)
    assert kept.await_end(allocation).end_cause is EndCause.STOPPED_BY_USER


def test_out_of_memory_is_told(kept):
    allocation, _ = kept.start(command="sleep 3; python3 -c 'x = bytearray(400 * 2**20)'", memory="64Mi")
    assert kept.await_end(allocation).end_cause is EndCause.OUT_OF_MEMORY


def test_a_bad_image_is_never_metered(kept):
    allocation = kept.take_up()
    name = kept.pod(allocation.id, "true", image="localhost/there-is-no-such-image:1")
    wait_for(lambda: kept.pods()[name]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImageNeverPull", 20)
    assert kept.find(allocation.id).state is AllocationState.HELD
    kept.delete(name)  # as the hub does when it gives up
    assert kept.await_end(allocation) is None
    assert kept.find(allocation.id).end_cause is EndCause.START_FAILED
    wait_for(lambda: name not in kept.pods(), 10, "the pod is gone")


def test_what_happened_while_no_keeper_was_there_is_exact(kept):
    place = kept
    place.keepers[0].kill()
    allocation = place.take_up()
    name = place.pod(allocation.id, "sleep 1")
    state = wait_for(lambda: place.pods()[name]["status"]["containerStatuses"][0]["state"].get("terminated"), 20)
    place.delete(name)
    place.start_keeper()
    interval = place.await_end(allocation)
    assert interval.ended_at.isoformat() == state["finishedAt"].replace("Z", "+00:00")
    wait_for(lambda: name not in place.pods(), 10, "the pod is gone")


def test_orphans_are_adopted_stopped_or_left_alone(kept):
    adopted = kept.take_up(1)
    kept.pod(adopted.id, "sleep 1000")
    closed = kept.take_up(2)
    kept.factory.meter.released(closed.id, EndCause.START_FAILED, "hub")
    gone = kept.pod(closed.id, "sleep 1000")
    unknown = uuid4()
    stranger, nameless = kept.pod(unknown, "sleep 1000"), kept.pod(uuid4(), "sleep 1000", name="nameless")
    kept.cluster.kubectl("label", "pod", nameless, "-n", kept.namespace, "aiplatform-hub/allocation-")
    wait_for(lambda: kept.find(adopted.id).state is AllocationState.ACTIVE, 30, "adopted")
    wait_for(lambda: gone not in kept.pods(), 30, "the orphan is gone")
    told = f"Session {unknown} runs, but this database does not know it"
    wait_for(lambda: told in kept.log() and "names no allocation" in kept.log(), 30, "told")
    assert {stranger, nameless} <= kept.pods().keys()
    time.sleep(4)
    assert kept.log().count(told) == 1


def test_an_allocation_without_pod_is_closed(kept):
    allocation, name = kept.start()
    kept.cluster.kubectl("patch", "pod", name, "-n", kept.namespace, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    os.kill(kept.keepers[0].pid, signal.SIGSTOP)  # so that it sees nothing of the end
    kept.delete(name, "--force", "--grace-period=0")
    wait_for(lambda: name not in kept.pods(), 10)
    os.kill(kept.keepers[0].pid, signal.SIGCONT)
    kept.keepers[0].kill()
    kept.start_keeper()
    interval = kept.await_end(allocation)
    assert (interval.end_cause, interval.estimated) == (EndCause.LOST, True)
    assert interval.started_at <= interval.ended_at <= kept.factory.clock()


def test_gpus_are_slots_of_the_node_and_follow_the_pod(kept):
    (capacity,) = [one for one in kept.factory.enforcer.capacity() if one.total]
    assert capacity.total == 4
    allocation = kept.take_up(gpus=2)
    assert {slot_of(uuid).node for uuid in allocation.devices} == {kept.cluster.node}


def test_two_keepers_never_act_at_once_and_the_other_takes_over(place):
    first = place.start_keeper()
    place.await_devices()
    place.start_keeper()
    wait_for(lambda: "Another keeper" in place.log(1), 20, "the second waits")
    assert "Keeping" not in place.log(1)
    allocation, name = place.start()
    first.kill()
    place.delete(name)
    assert place.await_end(allocation).end_cause is EndCause.DELETED
    assert "Keeping" in place.log(1)


def test_a_keeper_whose_lock_is_lost_ends(place, postgresql):
    keeper = place.start_keeper()
    place.await_devices()
    _execute(place.settings.database_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'aiplatform-lock'")
    assert keeper.wait(20) == 3
    assert "lock is lost" in place.log()


def test_homes_are_measured_in_their_pods(kept):
    allocation, _ = kept.start(
        command="mkdir /tmp/home; dd if=/dev/zero of=/tmp/home/x bs=1M count=5; sleep 1000", env=[{"name": "HOME", "value": "/tmp/home"}]
    )
    time.sleep(1)
    kept.keepers[0].kill()
    kept.start_keeper()  # the first look is at the start

    def size():
        with kept.factory.database.read() as connection:
            return kept.factory.storage_usage.find(connection, allocation.user_name) or 0

    assert wait_for(size, 20, "the home is measured") >= 5 * 2**20


def test_rights_that_are_too_small_are_named(place, cluster, namespace, tmp_path):
    token = cluster.kubectl("create", "token", "default", "-n", namespace).strip()
    config = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json"))
    config["users"] = [{"name": "small", "user": {"token": token}}]
    config["contexts"] = [{"name": "small", "context": {"cluster": config["clusters"][0]["name"], "user": "small"}}]
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config | {"current-context": "small"}))
    rule = f"to the Role in namespace {namespace} that is bound to {namespace}/default."
    assert place.start_keeper(kubeconfig=path).wait(30) == 2
    assert f"The keeper may not get namespaces in namespace {namespace}: add get on namespaces {rule}" in place.log()
    cluster.kubectl("create", "role", "own", "--verb=get", "--resource=namespaces", "-n", namespace)
    cluster.kubectl("create", "rolebinding", "own", "--role=own", f"--serviceaccount={namespace}:default", "-n", namespace)
    time.sleep(1)  # the API server takes a moment to know
    assert place.start_keeper(kubeconfig=path).wait(30) == 2
    assert f"The keeper may not list pods in namespace {namespace}: add get, list, watch on pods {rule}" in place.log(1)


@pytest.fixture
def other_namespace(cluster, namespace):
    name = f"{namespace}-other"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def uid_of(cluster, namespace):
    return cluster.get("namespace", namespace)["metadata"]["uid"]


def health(place):
    with suppress(requests.ConnectionError):
        answer = requests.get(f"http://127.0.0.1:{place.settings.keeper_port}/health", timeout=5)
        return answer.status_code, answer.text.strip()
    return 0, ""


def test_a_keeper_in_another_namespace_ends_nothing_until_it_is_told(kept, cluster, namespace, other_namespace):
    home = kept.settings
    allocation, name = kept.start()
    kept.keepers[0].kill()
    kept.settings = replace(home, namespace=other_namespace)
    kept.start_keeper()
    wait_for(lambda: health(kept)[0] == 503, 20, "it refuses")
    sentence = f"belongs to namespace {namespace} (UID {uid_of(cluster, namespace)}) of the cluster at"
    here = f"this is namespace {other_namespace} (UID {uid_of(cluster, other_namespace)})"
    assert all(part in health(kept)[1] and part in kept.log(1) for part in (sentence, here, "aiplatform move-cluster"))
    time.sleep(20)  # longer than any of its rhythms
    assert kept.find(allocation.id).is_open
    assert name in kept.pods()

    command = [Path(sys.executable).with_name("aiplatform"), "move-cluster", "--yes", "--data-dir", home.data_dir, "--database-url", home.database_url]
    early = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if early.returncode:  # the keeper that was killed may have lived until just now
        assert "A keeper is at work" in early.stderr
        time.sleep(31)
        subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    interval = kept.await_end(allocation)
    assert (interval.end_cause, interval.estimated) == (EndCause.LOST, True)
    assert interval.started_at <= interval.ended_at <= kept.factory.clock()
    assert health(kept)[0] == 200
    assert [event.action for event in kept.factory.audit_trail.latest()] == ["move_cluster"]


def test_a_namespace_of_the_same_name_made_anew_is_another_one(kept, cluster, namespace):
    allocation, name = kept.start()
    kept.keepers[0].kill()
    with kept.factory.database.write() as connection:  # as if the namespace had had another UID when the keeper first started
        connection.exec_driver_sql("UPDATE clusters SET namespace_uid = 'another'")
    kept.start_keeper()
    wait_for(lambda: health(kept)[0] == 503, 20, "it refuses")
    time.sleep(5)
    assert kept.find(allocation.id).is_open
    assert name in kept.pods()


@pytest.mark.faults
def test_on_a_lost_node_it_ends_with_the_last_lease(kept):
    allocation, name = kept.start()
    kept.cluster.kill("kubelet")
    try:
        interval = kept.await_end(allocation, 60)
        lease = kept.cluster.get("lease", kept.cluster.node, "-n", "kube-node-lease")["spec"]["renewTime"]
        assert (interval.end_cause, interval.estimated) == (EndCause.NODE_LOST, True)
        assert interval.ended_at.isoformat() == lease.replace("Z", "+00:00")
    finally:
        kept.cluster.heal()
    wait_for(lambda: name not in kept.pods(), 40, "the returning node ends the pod")


@pytest.mark.faults
def test_an_api_server_that_is_away_ends_nothing(kept):
    allocation, name = kept.start()
    kept.cluster.kill("apiserver")
    time.sleep(3)
    kept.cluster.heal()
    time.sleep(5)
    assert kept.find(allocation.id).is_open
    kept.delete(name)
    interval = kept.await_end(allocation)
    assert interval.end_cause is EndCause.DELETED
    assert interval.ended_at - interval.started_at > timedelta(seconds=3)
