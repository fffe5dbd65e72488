"""A pool whose nodes an autoscaler may start: shown apart, promised last, and the promise moves to the node that comes.

The node is an object that the test makes and keeps alive, as an autoscaler's new machine would; the scheduler is real.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any
from uuid import UUID

import pytest
import requests

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.cluster import slot_of
from tests.cluster.machinery.client import ClusterError
from tests.cluster.platform_stack import ClusterStack
from tests.cluster.stack_fixtures import StackMaker
from tests.support.hub import wait_for

POOL = f"spot-{os.getpid()}"
NODE = f"{POOL}-node"
KIND = "h100"
LABELS = {"pool": POOL, "kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
POOLS = {
    POOL: {
        "display_name": "Spot H100",
        "gpu_type": KIND,
        "gpus_per_node": 2,
        "memory_gib": 64,
        "cpu_cores": 16,
        "max_nodes": 2,
        "minutes_to_start": 6,
        "node_selector": {"pool": POOL},
    }
}
CONFIG = """
c.KubeSpawner.delete_grace_period = 1
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 3}
"""


class ComingNode:
    """A node without a machine: its lease is renewed all the time, as its kubelet would."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._gone = Event()
        self._living = Thread(target=self._live, daemon=True)

    def arrive(self) -> None:
        """Join the cluster with two GPUs, Ready; a second time changes nothing."""
        if self._living.is_alive():
            return
        now, amounts = stamp(), {"cpu": "16", "memory": "64Gi", "pods": "20", "nvidia.com/gpu": "2"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now}
        status = {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}
        self._cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": LABELS}, "status": status})
        self._renew()
        self._living.start()

    def _live(self) -> None:
        while not self._gone.wait(1.5):
            with suppress(ClusterError):
                self._renew()

    def _renew(self) -> None:
        spec = {"holderIdentity": NODE, "leaseDurationSeconds": 40, "renewTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")}
        metadata = {"name": NODE, "namespace": "kube-node-lease"}
        self._cluster.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})

    def leave(self) -> None:
        """Go, and take the lease along."""
        self._gone.set()
        if self._living.is_alive():
            self._living.join()
        for words in (("node", NODE), ("lease", NODE, "-n", "kube-node-lease")):
            self._cluster.kubectl("delete", *words, "--ignore-not-found", "--wait=false")


def stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@pytest.fixture(scope="module")
def node(cluster: Any) -> Iterator[ComingNode]:
    made = ComingNode(cluster)
    yield made
    made.leave()


@pytest.fixture(scope="module")
def stack(make_stack: StackMaker, node: ComingNode) -> ClusterStack:
    return make_stack(node_pools=POOLS, extra_config=CONFIG)


def capacity(stack: ClusterStack) -> dict[str, Any]:
    """Return what the REST API says of the pool's GPU type."""
    headers = {"Authorization": f"token {stack.tokens['user0']}"}
    answer = requests.get(f"{stack.url}/services/platform/api/v1/capacity", headers=headers, timeout=10).json()
    found: dict[str, Any] = next(row for row in answer["gpu_types"] if row["name"] == KIND)
    return {key: found[key] for key in ("total", "free", "held", "startable", "minutes_to_start")}


def start(stack: ClusterStack, user: str, gpus: int = 2) -> int:
    return stack.start_server(user, "", {"environment_template": "trivial", "gpus": gpus, "gpu_type": KIND}).status_code


def session_of(stack: ClusterStack, user: str) -> Allocation:
    found: Allocation = wait_for(lambda: next((a for a in stack.open_allocations() if a.user_name == user), None), f"{user} has a session")
    return found


def progress(stack: ClusterStack, user: str) -> str:
    """Return what the hub says of a start just now; the first words of each answer are always the hub's own."""
    headers = {"Authorization": f"token {stack.tokens[user]}"}
    with requests.get(f"{stack.url}/hub/api/users/{user}/server/progress", headers=headers, stream=True, timeout=10) as answer:
        told = (json.loads(line.removeprefix(b"data: ")) for line in answer.iter_lines() if line.startswith(b"data: "))
        return str(next(event["message"] for event in told if event["progress"]))


def hosts(allocation: Allocation) -> set[str]:
    return {slot.host for uuid in allocation.devices if (slot := slot_of(uuid)) is not None}


def let_run(stack: ClusterStack, pod: dict[str, Any], **state: Any) -> None:
    """Say of a pod what a kubelet would."""
    container = {"name": "notebook", "image": "x", "imageID": "x", "ready": "running" in state, "restartCount": 0, "state": state}
    status = {"phase": "Running" if "running" in state else "Succeeded", "podIP": "127.0.0.1", "containerStatuses": [container]}
    name, body = pod["metadata"]["name"], json.dumps({"status": status})
    stack.kubectl("patch", "pod", name, "-n", stack.namespace, "--subresource=status", "--type=merge", "-p", body)


@pytest.fixture
def arrived(node: ComingNode) -> None:
    """The node is there, also where this test runs alone."""
    node.arrive()


def test_a_session_waits_for_a_node_and_its_gpus_are_promised_there_when_it_comes(stack: ClusterStack, node: ComingNode) -> None:
    assert capacity(stack) == {"total": 0, "free": 0, "held": 0, "startable": 4, "minutes_to_start": 6}
    assert "0 of 0 free, 4 more in about 6 min" in stack.browser("user0").session.get(f"{stack.url}/services/platform/", timeout=30).text.replace(
        "\N{NO-BREAK SPACE}", " "
    )

    assert start(stack, "user0") in {201, 202}
    allocation = session_of(stack, "user0")
    assert hosts(allocation) == {f"{POOL}+0"}
    pod = wait_for(lambda: stack.pods().get(allocation.id), "the pod is made")
    wait_for(lambda: "Unschedulable" in json.dumps(stack.pods()[allocation.id]["status"]), "the scheduler has looked")
    assert stack.pods()[allocation.id]["status"]["phase"] == "Pending"
    wait_for(lambda: progress(stack, "user0").startswith("Waiting for a node with 2 × NVIDIA H100 ("), "the words say so", 10, 0.5)
    assert capacity(stack) == {"total": 2, "free": 0, "held": 2, "startable": 2, "minutes_to_start": 6}

    node.arrive()
    moved = wait_for(lambda: _moved(stack, allocation.id), f"its GPUs are promised on the node\n{stack.log('keeper')}", 30, 1)
    assert len(moved.devices) == 2
    assert stack.pods()[allocation.id]["spec"]["nodeName"] == NODE
    assert capacity(stack) == {"total": 2, "free": 0, "held": 2, "startable": 2, "minutes_to_start": 6}

    begun = datetime.now(UTC).replace(microsecond=0)
    let_run(stack, pod, running={"startedAt": stamp()})
    wait_for(lambda: stack.find(allocation.id).state is AllocationState.ACTIVE, "it is metered", 20, 0.5)
    ended = begun + timedelta(seconds=2)
    let_run(
        stack, pod, terminated={"exitCode": 0, "startedAt": begun.isoformat().replace("+00:00", "Z"), "finishedAt": ended.isoformat().replace("+00:00", "Z")}
    )
    wait_for(lambda: not stack.find(allocation.id).is_open, "the ledger has the end", 20, 0.5)
    (interval,) = stack.intervals()[allocation.id]
    assert (interval.gpus, interval.gpu_type, interval.estimated, interval.ended_at) == (2, KIND, False, ended)
    wait_for(lambda: capacity(stack)["free"] == 2, "the node's GPUs are free", 20, 1)
    assert capacity(stack) == {"total": 2, "free": 2, "held": 0, "startable": 2, "minutes_to_start": 6}


@pytest.mark.usefixtures("arrived")
def test_no_more_than_the_pool_can_give_is_promised_and_the_running_node_comes_first(stack: ClusterStack) -> None:
    wait_for(lambda: capacity(stack)["free"] == 2, "the node is known", 30, 1)
    for user in ("user1", "user2"):
        assert start(stack, user) in {201, 202}
    assert hosts(session_of(stack, "user1")) == {NODE}
    (host,) = hosts(session_of(stack, "user2"))
    assert host.startswith(f"{POOL}+")
    assert start(stack, "user3") == 429
    for user in ("user1", "user2"):
        name = wait_for(lambda u=user: stack.pods().get(session_of(stack, u).id), "its pod is made")["metadata"]["name"]
        stack.kubectl("delete", "pod", name, "-n", stack.namespace, "--force", "--grace-period=0", "--wait=false")
    wait_for(lambda: not stack.open_allocations(), "nothing is held", 30, 1)
    assert not any(stack.intervals().get(a.id) for user in ("user1", "user2") for a in stack.allocations_of(user))


def _moved(stack: ClusterStack, allocation_id: UUID) -> Allocation | None:
    allocation = stack.find(allocation_id)
    return allocation if hosts(allocation) == {NODE} else None
