"""Nodes that are not there, for benchmarks at a scale that this machine has no room for: KWOK plays their kubelets."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.machinery.build import KWOK, build
from tests.cluster.machinery.cluster import Cluster, wait_for
from tests.cluster.machinery.components import COMPONENTS
from tests.cluster.machinery.layout import GPU_PRODUCT, cache_folder
from tests.cluster.machinery.toolchain import find_go

ANNOTATION = {"kwok.x-k8s.io/node": "fake"}
PATIENT_SECONDS = 3600
"""How long a node may be silent: KWOK's send no signs of life, which spares the API server a dozen requests a second."""

_IS_DELETED = {"key": ".metadata.deletionTimestamp", "operator": "Exists"}
_HAS_ENDED = ("Succeeded", "Failed")
_ENDED_STATUS = """\
{{ $now := Now }}
{{ $root := . }}
containerStatuses:
{{ range .spec.containers }}
- {image: {{ .image | Quote }}, name: {{ .name | Quote }}, ready: false, restartCount: 0, state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $root.status.startTime | Quote }}, finishedAt: {{ $now | Quote }}}}}
{{ end }}
phase: Succeeded
"""
STAGES = tuple(
    {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": [_IS_DELETED, {"key": ".status.phase", "operator": operator, "values": list(_HAS_ENDED)}]},
            "next": step,
        },
    }
    for name, operator, step in (("pod-end", "NotIn", {"statusTemplate": _ENDED_STATUS}), ("pod-delete", "In", {"delete": True}))
)
"""A deleted pod ends first and is gone then, as with a kubelet: one with a finalizer is seen to have ended."""


def start_kwok(cluster: Cluster, say: Callable[[str], None] = print) -> None:
    """Build and start KWOK and give nodes the time that it needs; a cluster with KWOK notices a lost node late."""
    cache = cache_folder()
    cluster.link("kwok", build(KWOK, cache, say) / "kwok")
    _let_kwok_watch(cluster)
    cluster.set_node_lost_seconds(PATIENT_SECONDS)  # after the API server, which its controller manager gives up waiting for
    source = module_folder(find_go(cache))
    for part, waiting in (("crd", "stages.kwok.x-k8s.io"), ("stage/fast", "")):
        cluster.kubectl("apply", "--server-side", "-f", "-", given=cluster.kubectl("kustomize", str(source / "kustomize" / part)))
        if waiting:
            cluster.kubectl("wait", "--for=condition=Established", f"crd/{waiting}", "--timeout=30s")
    cluster.apply(*STAGES, server_side=True)
    command = [part for part in COMPONENTS["kwok"].command(cluster.run) if not part.startswith("--node-lease-duration-seconds")]
    cluster.program("kwok").start([*command, "--node-lease-duration-seconds=0"])


def _let_kwok_watch(cluster: Cluster) -> None:
    """Start the API server again without lists by watch.

    Debian's etcd 3.4 cannot serve them, the API server offers them all the same, and KWOK's client would ask again and again: a pod would begin and
    end up to 30 s late.
    """
    server = cluster.program("apiserver")
    server.end()
    server.start([*COMPONENTS["apiserver"].command(cluster.run), "--feature-gates=WatchList=false"])
    wait_for(cluster.is_api_ready, 60, "the API server")


def module_folder(go: str) -> Path:
    """Return where the module's source is, with its custom resources and the stages of a pod's life."""
    command = [go, "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"]
    return Path(subprocess.run(command, cwd=KWOK.path, check=True, capture_output=True, text=True, timeout=120).stdout.strip())


def make_nodes(cluster: Cluster, count: int, gpus: int = 8, product: str = GPU_PRODUCT, *, is_tainted: bool = True) -> list[str]:
    """Make nodes and return their names; unless told otherwise only pods that tolerate `kwok.x-k8s.io/node` get there."""
    names = [f"kwok-{number:04d}" for number in range(1, count + 1)]
    for start in range(0, count, 100):
        cluster.apply(*(node(name, gpus, product, is_tainted=is_tainted) for name in names[start : start + 100]))
    return names


def node(name: str, gpus: int, product: str, *, is_tainted: bool) -> dict[str, Any]:
    """Return one node with its GPUs."""
    resources = {"cpu": "96", "memory": "1024Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    taints = [{"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}] if is_tainted else []
    labels = {"type": "kwok", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "nvidia.com/gpu.product": product, "nvidia.com/gpu.count": str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": ANNOTATION, "labels": labels},
        "spec": {"taints": taints},
        "status": {"allocatable": resources, "capacity": resources},
    }
