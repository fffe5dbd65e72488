"""What the hub's watches keep of the cluster's objects, and that nothing a hub reads is lost."""

import asyncio
import copy
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aiplatform_hub.clients.kubernetes.nodes import NodeState
from aiplatform_hub.clients.kubernetes.pods import node_of, record_of
from aiplatform_hub.domain.pods import ALLOCATION_LABEL, COMPONENT, CONTAINER
from aiplatform_hub.hub.lean_watches import LEAN_WATCHES, LeanPodReflector, make_lean
from aiplatform_hub.hub.pod_progress import exit_status, is_running

ID = UUID("7f0c8a4e-3a52-4e0e-9d0a-111111111111")
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
STARTED = "2026-11-30T11:00:00Z"
POD: dict[str, Any] = {
    "metadata": {
        "name": "jupyter-ana",
        "namespace": "lab",
        "uid": "1",
        "resourceVersion": "7",
        "creationTimestamp": STARTED,
        "labels": {"component": COMPONENT, ALLOCATION_LABEL: str(ID)},
        "managedFields": [{"manager": "hub", "fieldsV1": {"f:metadata": {}}}],
    },
    "spec": {
        "nodeName": "node-1",
        "restartPolicy": "Never",
        "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "claim-ana"}}],
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "containers": [
            {
                "name": CONTAINER,
                "image": "lab/pytorch:1",
                "ports": [{"name": "notebook-port", "containerPort": 8888}],
                "env": [{"name": "A", "value": "b"}],
                "resources": {"limits": {"nvidia.com/gpu": "1"}},
            }
        ],
    },
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.7",
        "containerStatuses": [{"name": CONTAINER, "ready": True, "state": {"running": {"startedAt": STARTED}}}],
    },
}


async def _watch() -> LeanPodReflector:
    found = LEAN_WATCHES["pods"](namespace="lab")
    assert isinstance(found, LeanPodReflector)
    return found


def test_a_list_and_what_comes_after_it_are_kept_lean() -> None:
    watch = asyncio.run(_watch())
    watch.resources = {"lab/jupyter-ana": copy.deepcopy(POD)}
    watch.resources["lab/jupyter-ben"] = copy.deepcopy(POD)
    for pod in watch.pods.values():
        assert "managedFields" not in pod["metadata"]
        assert "tolerations" not in pod["spec"]
        assert pod["spec"]["containers"] == [{"name": CONTAINER, "image": "lab/pytorch:1", "ports": [{"name": "notebook-port", "containerPort": 8888}]}]
    assert len(watch.pods) == 2
    assert watch.resources.pop("lab/jupyter-ben", None) is not None


def test_nothing_that_a_hub_reads_is_lost() -> None:
    pod = make_lean(copy.deepcopy(POD))
    state = NodeState()
    assert record_of(ID, pod, state, NOW) == record_of(ID, POD, state, NOW)
    assert (node_of(pod), exit_status(pod, NOW), is_running(pod)) == ("node-1", None, True)
    assert pod["status"] == POD["status"]
    assert {key: pod["metadata"][key] for key in pod["metadata"]} == {key: value for key, value in POD["metadata"].items() if key != "managedFields"}


def test_an_event_keeps_all_but_who_wrote_it() -> None:
    event = {"metadata": {"name": "e", "namespace": "lab", "managedFields": []}, "reason": "Pulled", "message": "m", "lastTimestamp": STARTED}
    assert make_lean(copy.deepcopy(event)) == {**event, "metadata": {"name": "e", "namespace": "lab"}}
