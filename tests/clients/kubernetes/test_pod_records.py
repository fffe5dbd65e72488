"""What pods say about their sessions; the pods are as a real cluster showed them (``tests/data/kubernetes/pods.json``)."""

import copy
import json
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from aiplatform_hub.clients.kubernetes.nodes import UNKNOWN, NodeState, node_state
from aiplatform_hub.clients.kubernetes.pods import allocation_of, has_finalizer, is_ours, record_of
from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.reconciliation import cause_of, is_lost

PODS = json.loads((Path(__file__).parents[2] / "data" / "kubernetes" / "pods.json").read_text())
ID = UUID("00000000-0000-4000-8000-000000000001")
NOW = datetime.fromisoformat("2026-11-24T18:00:00Z")
LEASE = NOW - timedelta(seconds=70)


def at(text):
    return datetime.fromisoformat(f"2026-11-24T{text}Z")


def record(name, node=UNKNOWN, now=NOW):
    return record_of(ID, PODS[name], node, now)


@pytest.mark.parametrize(
    ("name", "ended_at", "cause"),
    [
        ("quick", "17:27:36", EndCause.EXITED),
        ("crash", "17:27:37", EndCause.CRASHED),
        ("oom", "17:27:36", EndCause.OUT_OF_MEMORY),
        ("deleted", "17:27:43", EndCause.DELETED),
        ("deaf", "17:27:45", EndCause.DELETED),
        ("forced", "17:27:45", EndCause.DELETED),
        ("evicted", "17:28:05", EndCause.EVICTED),
        ("drained", "17:30:52", EndCause.EVICTED),
        ("preempted", "17:30:54", EndCause.PREEMPTED),
    ],
)
def test_an_ended_container_tells_when_and_why(name, ended_at, cause):
    found = record(name)
    assert (found.ended_at, found.is_alive, found.is_runner_alive, found.is_kept) == (at(ended_at), False, False, True)
    assert found.started_at == at("17:30:48" if ended_at >= "17:30" else "17:27:36")
    assert cause_of(found, was_ready=True) is cause


def test_a_running_container_is_alive_until_now():
    found = record("running")
    assert (found.started_at, found.ended_at, found.is_alive, found.last_seen_at) == (at("17:27:36"), None, True, NOW)


def test_a_container_that_restarts_is_one_session_from_its_first_start():
    found = record("restart")
    assert (found.started_at, found.ended_at, found.is_alive) == (at("17:27:36"), None, True)


def test_between_two_runs_it_is_alive():
    pod = copy.deepcopy(PODS["restart"])
    status = pod["status"]["containerStatuses"][0]
    status["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    found = record_of(ID, pod, UNKNOWN, NOW)
    assert (found.started_at, found.is_alive) == (at("17:27:36"), True)


def test_a_container_that_may_start_again_has_not_ended():
    pod = copy.deepcopy(PODS["restart"])
    status = pod["status"]["containerStatuses"][0]
    status["state"] = status.pop("lastState")
    assert record_of(ID, pod, UNKNOWN, NOW).is_alive
    status["state"]["terminated"]["exitCode"] = 0
    assert record_of(ID, pod, UNKNOWN, NOW).ended_at == at("17:27:37")


def test_image_pull_and_queue_are_no_usage():
    found = record("image")
    assert (found.started_at, found.is_alive, found.is_runner_alive, found.failure) == (None, False, True, None)


@pytest.mark.parametrize(
    ("name", "words"),
    [("image-deleted", "ContainerStatusUnknown"), ("pending-deleted", "Insufficient nvidia.com/gpu"), ("badcmd", "StartError: failed to create")],
)
def test_what_never_began_and_never_will_has_failed(name, words):
    found = record(name)
    assert (found.started_at, found.ended_at, found.is_alive, found.is_runner_alive) == (None, None, False, False)
    assert words in found.failure


def test_a_crash_before_its_deletion_is_a_crash():
    pod = copy.deepcopy(PODS["crash"])
    pod["metadata"] |= {"deletionTimestamp": "2026-11-24T17:27:39Z", "deletionGracePeriodSeconds": 0}
    assert cause_of(record_of(ID, pod, UNKNOWN, NOW), was_ready=True) is EndCause.CRASHED


def test_an_exit_long_before_its_deletion_is_an_exit():
    pod = copy.deepcopy(PODS["quick"])
    pod["metadata"] |= {"deletionTimestamp": "2026-11-24T17:31:39Z", "deletionGracePeriodSeconds": 0}
    assert cause_of(record_of(ID, pod, UNKNOWN, NOW), was_ready=True) is EndCause.EXITED


@pytest.mark.parametrize(("later", "cause"), [(0, EndCause.DELETED), (1, EndCause.EXITED)])
def test_a_second_that_was_cut_off_does_not_make_a_deletion_an_exit(later, cause):
    pod = copy.deepcopy(PODS["quick"])
    [status] = pod["status"]["containerStatuses"]
    finished_at = datetime.fromisoformat(status["state"]["terminated"]["finishedAt"])
    pod["metadata"] |= {"deletionTimestamp": (finished_at + timedelta(seconds=2.9 + later)).isoformat(), "deletionGracePeriodSeconds": 2}
    assert cause_of(record_of(ID, pod, UNKNOWN, NOW), was_ready=True) is cause


def deleting(name, ago):
    pod = copy.deepcopy(PODS[name])
    pod["metadata"] |= {"deletionTimestamp": (NOW - timedelta(seconds=ago)).isoformat(), "deletionGracePeriodSeconds": 30}
    return pod


def test_a_deleted_container_runs_until_it_has_ended():
    found = record_of(ID, deleting("running", -20), UNKNOWN, NOW)
    assert (found.is_alive, found.ended_at) == (True, None)


SILENT = NodeState(is_ready=False, last_seen_at=LEASE)
LOST = NodeState(is_ready=False, is_lost=True, last_seen_at=LEASE)


def test_a_silent_node_proves_life_until_its_last_lease_only():
    found = record("running", SILENT)
    assert (found.is_alive, found.last_seen_at) == (True, LEASE)


def test_on_a_lost_node_it_ended_at_the_last_lease():
    found = record("running", LOST)
    assert (found.is_alive, found.is_runner_alive, found.last_seen_at, found.cause) == (False, False, LEASE, EndCause.NODE_LOST)
    assert is_lost(found)


def test_a_deleted_pod_stuck_on_a_silent_node_is_lost():
    assert record_of(ID, deleting("running", 29), SILENT, NOW).is_alive
    assert is_lost(record_of(ID, deleting("running", 31), SILENT, NOW))
    assert record_of(ID, deleting("running", 31), UNKNOWN, NOW).is_alive


def test_a_node_that_was_seen_just_now_may_yet_end_a_deleted_pod():
    seen = NodeState(is_ready=False, last_seen_at=NOW - timedelta(seconds=29))
    assert record_of(ID, deleting("running", 100), seen, NOW).is_alive


def test_a_pod_that_waits_on_a_lost_node_has_failed():
    assert record("image", LOST).failure
    assert record("image", SILENT).failure is None


def test_an_end_of_which_the_kubelet_found_no_trace_is_estimated():
    pod = copy.deepcopy(PODS["image-deleted"])
    pod["status"]["containerStatuses"][0]["lastState"] = PODS["restart"]["status"]["containerStatuses"][0]["lastState"]
    found = record_of(ID, pod, UNKNOWN, NOW)
    assert is_lost(found)


def test_whose_pod_it_is():
    pod = PODS["running"]
    assert (is_ours(pod), allocation_of(pod), has_finalizer(pod)) == (True, ID, True)
    bare = {"metadata": {"name": "x"}}
    assert (is_ours(bare), allocation_of(bare), has_finalizer(bare)) == (False, None, False)
    assert allocation_of({"metadata": {"labels": {"aiplatform-hub/allocation": "none"}}}) is None


def node(status, since):
    return {"status": {"conditions": [{"type": "Ready", "status": status, "lastTransitionTime": since.isoformat(), "lastHeartbeatTime": LEASE.isoformat()}]}}


@pytest.mark.parametrize(
    ("given", "renewed_at", "expected"),
    [
        (node("True", NOW), LEASE, UNKNOWN),
        (node("Unknown", NOW - timedelta(seconds=299)), LEASE, SILENT),
        (
            node("Unknown", NOW - timedelta(seconds=300)),
            NOW - timedelta(seconds=301),
            NodeState(is_ready=False, is_lost=True, last_seen_at=NOW - timedelta(seconds=301)),
        ),
        (node("False", NOW - timedelta(seconds=300)), None, LOST),
        (node("Unknown", NOW - timedelta(seconds=300)), LEASE, SILENT),  # its lease says that it lives
        (None, LEASE, SILENT),
        ({"status": {}}, None, UNKNOWN),
    ],
)
def test_a_node_is_lost_after_a_time_of_silence(given, renewed_at, expected):
    assert node_state(given, renewed_at=renewed_at, now=NOW, lost_after=timedelta(seconds=300)) == expected
