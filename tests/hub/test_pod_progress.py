"""Pods and events as a real cluster showed them, in plain words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aiplatform_hub.errors import ConflictError, ServiceUnavailableError, StartFailedError
from aiplatform_hub.hub.api_refusals import api_refusal
from aiplatform_hub.hub.pod_progress import IMAGE_TRIES, exit_status, failure_of, image_bytes_of, step_of

STATES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "pod_states.json").read_text())
"""``kubectl get pods,events`` of a real cluster, ten seconds after the pods were made."""
LATE = 60.0


def failure(name: str, seconds: float = 5.0) -> Any:
    return failure_of(STATES[name]["pod"], STATES[name]["events"], seconds)


@pytest.mark.parametrize(
    ("name", "words", "raw", "hopeless_at_once", "hopeless_later"),
    [
        ("gpus", "No node has room", "Insufficient nvidia.com/gpu", False, False),
        ("never", "image is not on the node", "ErrImageNeverPull", True, True),
        ("pull", "image could not be pulled", "no such host", False, False),
        ("config", "refers to is missing", 'configmap "none" not found', False, True),
        ("pvc", "storage of your home folder is not ready", 'persistentvolumeclaim "none" not found', False, True),
        ("unbound", "storage of your home folder is not ready", "unbound immediate", False, False),
        ("mount", "could not be mounted", 'secret "none" not found', False, False),
    ],
)
def test_each_reason_has_a_sentence_and_its_own_words(name: str, words: str, raw: str, hopeless_at_once: bool, hopeless_later: bool) -> None:
    found = failure(name)
    assert words in found.sentence
    assert raw in found.raw
    assert raw not in found.sentence
    assert (found.is_hopeless, failure(name, LATE).is_hopeless) == (hopeless_at_once, hopeless_later)


def test_an_image_that_does_not_come_is_given_up_after_some_tries() -> None:
    state = STATES["pull"]
    events = [event | {"count": IMAGE_TRIES} if "Failed to pull" in event["message"] else event for event in state["events"]]
    assert failure_of(state["pod"], events, 5).is_hopeless  # type: ignore[union-attr]


def running(**status: Any) -> dict[str, Any]:
    container = {"name": "notebook", "state": status.pop("state", {})}
    return {"metadata": status.pop("metadata", {}), "spec": {"nodeName": "n", "restartPolicy": "Never"}, "status": {"containerStatuses": [container], **status}}


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (running(phase="Failed", state={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}), "more memory than it has"),
        (running(phase="Failed", state={"terminated": {"exitCode": 128, "reason": "StartError", "message": "no such file"}}), "does not have the program"),
        (running(phase="Failed", state={"terminated": {"exitCode": 3, "reason": "Error"}}), "exit code 3"),
        (running(phase="Failed", reason="Evicted", message="low on memory"), "put the session out"),
        (running(phase="Failed", reason="NodeLost"), "stopped answering"),
        (running(phase="Failed", reason="UnexpectedAdmissionError"), "no room for the session any more"),
        (running(phase="Failed", reason="TopologyAffinityError"), "close enough to each other"),
        (running(phase="Running", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), "Somebody deleted"),
        (running(phase="Failed"), "ended before it began"),
        (running(phase="Running", state={"waiting": {"reason": "CrashLoopBackOff"}}), "again and again"),
    ],
)
def test_ends_are_hopeless_and_say_why(pod: dict[str, Any], words: str) -> None:
    found = failure_of(pod, (), 1)
    assert found is not None
    assert found.is_hopeless
    assert words in found.sentence


PINNED = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]}
NO_CLASS = {"involvedObject": {"kind": "PersistentVolumeClaim"}, "message": 'storageclass.storage.k8s.io "fast" not found'}


def unplaced(message: str, *, is_pinned: bool = False) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": PINNED}} if is_pinned else None
    return {"metadata": {}, "spec": {"affinity": affinity}, "status": {"phase": "Pending", "conditions": [condition]}}


@pytest.mark.parametrize(
    ("pod", "events", "words", "hopeless_from"),
    [
        (unplaced("1 Insufficient cpu, 3 node(s) didn't satisfy plugin(s) [NodeAffinity].", is_pinned=True), [], "too little free of: CPU cores.", 60),
        (unplaced("1 Insufficient cpu, 1 Insufficient memory.", is_pinned=True), [], "CPU cores and memory.", 60),
        (unplaced("4 Insufficient cpu."), [], "No node has room", None),
        (unplaced("1 Insufficient nvidia.com/gpu.", is_pinned=True), [], "No node has room", None),
        (unplaced("pod has unbound immediate PersistentVolumeClaims. not found"), [], "storage of your home folder is not ready", None),
        (unplaced("pod has unbound immediate PersistentVolumeClaims. not found"), [NO_CLASS], "The storage class fast for home folders does not exist", 15),
        (unplaced("1 node(s) didn't find available persistent volumes to bind."), [], "storage of your home folder is not ready", None),
        (unplaced("1 node(s) had volume node affinity conflict."), [], "cannot be reached from the node", None),
    ],
)
def test_a_pod_without_node_says_what_it_lacks_and_ends_where_waiting_is_of_no_use(pod: Any, events: Any, words: str, hopeless_from: float | None) -> None:
    found = failure_of(pod, events, 1)
    assert found is not None
    assert words in found.sentence
    assert not found.is_hopeless
    late = {seconds: failure_of(pod, events, seconds).is_hopeless for seconds in (16, 61, 599)}  # type: ignore[union-attr]
    assert late == {seconds: hopeless_from is not None and seconds > hopeless_from for seconds in late}
    assert all(event["message"] in found.raw for event in events)


def step(pod: Any, *reasons: str, seconds: float = 4.4, **more: Any) -> str:
    return step_of(pod, [{"reason": reason, "message": ""} for reason in reasons], seconds=seconds, wanted="2 × A100", program="JupyterLab", **more).words


def test_progress_says_what_goes_on_and_for_how_long() -> None:
    placed = {"metadata": {}, "spec": {"nodeName": "n", "volumes": [{"persistentVolumeClaim": {}}]}, "status": {"phase": "Pending"}}
    assert step(None) == "Asking the cluster for a place (4 s so far)"
    assert step({"metadata": {}, "spec": {}, "status": {}}) == "Waiting for a node with 2 × A100 (4 s so far)"
    assert step(unplaced("pod has unbound immediate PersistentVolumeClaims.")) == "Waiting for the storage of your home folder (4 s so far)"
    assert step(placed, "Scheduled") == "Mounting your home folder (4 s so far)"
    assert step(placed, "Scheduled", "Pulling") == "Pulling the image (4 s so far)"
    assert step(placed, "Scheduled", "Pulling", image_bytes=3 * 1024**3) == "Pulling the image (3 GiB, 4 s so far)"
    assert step(placed, "Scheduled", "Pulling", "Pulled") == "Starting JupyterLab (4 s so far)"
    assert step(running(phase="Running", state={"running": {}})) == "Starting JupyterLab (4 s so far)"


def test_size_of_the_image_is_read_from_the_event() -> None:
    assert image_bytes_of([{"message": 'Successfully pulled image "x" in 1s (1s including waiting). Image size: 355000000 bytes.'}]) == 355000000
    assert image_bytes_of([]) is None


@pytest.mark.parametrize(
    ("pod", "status"),
    [
        (None, 1),
        (running(phase="Pending"), None),
        (running(phase="Running", state={"running": {}}), None),
        (running(phase="Unknown", state={"running": {}}), None),
        (running(phase="Running", state={"terminated": {"exitCode": 0}}), 0),
        (running(phase="Failed", state={"terminated": {"exitCode": 137}}), 137),
        (running(phase="Failed", reason="Evicted"), 1),
        (running(phase="Running", metadata={"deletionTimestamp": "2026-01-01T11:59:55Z"}, state={"running": {}}), None),
        (running(phase="Running", metadata={"deletionTimestamp": "2026-01-01T11:59:00Z"}, state={"running": {}}), 1),
    ],
)
def test_poll_says_ended_only_of_what_has_ended(pod: Any, status: int | None) -> None:
    assert exit_status(pod, datetime(2026, 1, 1, 12, tzinfo=UTC)) == status


QUOTA = 'pods "x" is forbidden: exceeded quota: q, requested: requests.memory=4Gi, used: requests.memory=0, limited: requests.memory=1Gi'
SECURITY = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "notebook" must set …)'
RIGHTS = 'pods is forbidden: User "system:serviceaccount:h:hub" cannot create resource "pods" in API group "" in the namespace "h"'


@pytest.mark.parametrize(
    ("status", "message", "kind", "words"),
    [
        (403, QUOTA, ConflictError, "resource quota of the namespace"),
        (403, SECURITY, StartFailedError, "Pod Security"),
        (403, RIGHTS, StartFailedError, 'add the rule: apiGroups [""], resources ["pods"], verbs ["create"]'),
        (403, "something else", StartFailedError, "A rule of the cluster refused"),
        (404, 'namespaces "none" not found', StartFailedError, "namespace for the session does not exist"),
        (422, "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", StartFailedError, "A rule of the cluster refused"),
        (422, "invalid", StartFailedError, "not valid"),
        (500, "etcdserver: request timed out", ServiceUnavailableError, "does not answer"),
        (None, "", ServiceUnavailableError, "does not answer"),
    ],
)
def test_answers_of_the_api_are_sentences(status: int | None, message: str, kind: type[Exception], words: str) -> None:
    error = api_refusal(status, json.dumps({"kind": "Status", "message": message}))
    assert type(error) is kind
    assert words in error.message
    assert "limited:" not in error.message
