"""From an allocation to the values of KubeSpawner's traits. Pure: values in, values out.

Every key is set in every start, so nothing of an earlier start stays on a spawner that is used again.
What the operator set for KubeSpawner is merged, never lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from aiplatform_hub import __version__
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.catalog import EnvironmentTemplate, GpuType, NodePool
from aiplatform_hub.domain.limits import CPU_SHARES_PER_CORE
from aiplatform_hub.domain.pods import (
    ALLOCATION_LABEL,
    FINALIZER,
    GPU_RESOURCE,
    PRODUCT_LABEL,
    PROJECT_LABEL,
    SPAWNER_LABEL,
    TEMPLATE_LABEL,
    USER_ID_LABEL,
)
from aiplatform_hub.domain.units import GIB

HOME = "/home/jovyan"
"""Home folder in our images."""
SHARED_MEMORY, SCRATCH, HOME_SCRATCH = "aiplatform-shm", "aiplatform-tmp", "aiplatform-home"
DEFAULT_IMAGE = "jupyterlab"
"""The image of a template that names none."""

MERGED = (
    "cpu_guarantee",
    "extra_resource_guarantees",
    "extra_resource_limits",
    "node_affinity_required",
    "node_affinity_preferred",
    "tolerations",
    "volumes",
    "volume_mounts",
    "container_security_context",
    "pod_security_context",
    "extra_pod_config",
)
"""Traits whose value is ours and the operator's together."""

GPU_PRESENT_LABEL = "nvidia.com/gpu.present"
"""What NVIDIA's GPU Operator and its node feature discovery put on a node that has GPUs."""
AVOID_GPU_NODES_WEIGHT = 100
"""The most that Kubernetes knows: only where no other node has room does a session without GPUs go to one with GPUs."""
NCCL_ON_ONE_NODE = {"NCCL_SOCKET_IFNAME": "lo", "NCCL_IB_DISABLE": "1", "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1"}
"""A session is on one node: its ranks meet over the loopback, no fabric between nodes is searched, and one that hangs ends the others."""

START_SECONDS = 600
"""How long a start may take where nodes need not be started first: the pull of a large image is in it."""

_NAME_LIMIT = 63
_USER_TAINT = ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")


@dataclass(frozen=True, slots=True)
class PodPlan:
    """Everything that decides what a session's pod looks like."""

    allocation: Allocation
    template: EnvironmentTemplate
    gpu_type: GpuType | None = None
    """None without GPUs."""
    gpu_resources: frozenset[str] = frozenset({GPU_RESOURCE})
    """Resources of every GPU type on offer."""
    gpu_labels: frozenset[str] = frozenset({PRODUCT_LABEL})
    """Labels that nodes have because of their GPUs, of every GPU type on offer."""
    node: str | None = None
    """The node that has the leased slots; None without GPUs, and where it has yet to start."""
    node_pool: NodePool | None = None
    """The pool that will start the node."""
    product_name: str = ""
    """What the node's product label says; empty if that is not known."""
    image_prefix: str = ""
    is_root_read_only: bool = False
    whole_cpus_from_gpus: int = 0
    """From how many GPUs on a session has its CPU cores for itself; 0 for never."""
    stop_grace_seconds: int = 10
    home: str = HOME
    operators: Mapping[str, Any] = field(default_factory=dict)
    """The operator's values of the :data:`MERGED` traits."""


def pod_traits(plan: PodPlan) -> dict[str, Any]:
    """Return the value of every KubeSpawner trait that a session decides."""
    request = plan.allocation.request
    volumes, mounts = _volumes(plan)
    return {
        "image": image_of(plan.template, plan.image_prefix),
        "cmd": list(plan.template.command),
        "cpu_limit": float(request.cpu_cores),
        "cpu_guarantee": _guaranteed_cpu(plan),
        "mem_limit": request.memory_bytes,
        "mem_guarantee": request.memory_bytes,
        "extra_resource_limits": _resources(plan, "extra_resource_limits"),
        "extra_resource_guarantees": _resources(plan, "extra_resource_guarantees"),
        "node_affinity_required": _affinity(plan),
        "node_affinity_preferred": _preference(plan),
        "tolerations": _tolerations(plan),
        "volumes": volumes,
        "volume_mounts": mounts,
        "container_security_context": _container_security(plan),
        "pod_security_context": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **_operators(plan, "pod_security_context", {})},
        "extra_pod_config": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": plan.stop_grace_seconds,
            "enableServiceLinks": False,
            **_operators(plan, "extra_pod_config", {}),
        },
    }


def image_of(template: EnvironmentTemplate, prefix: str) -> str:
    """Return the image of an environment template: a whole reference as it is, a mere name with prefix and our version."""
    name = template.container_image or template.image or DEFAULT_IMAGE
    return name if "/" in name or ":" in name else f"{prefix}{name}:{__version__}"


def start_seconds(node_pools: Iterable[NodePool]) -> int:
    """Return how long a start may take: twice what the slowest pool takes to start a node, if that is more than usual."""
    return max([START_SECONDS, *(2 * 60 * pool.minutes_to_start for pool in node_pools)])


def pod_name(prefix: str, allocation: Allocation) -> str:
    """Return a name that no other start has: an old pod that is kept until it is metered never stands in the way."""
    suffix = allocation.id.hex[:8]
    return f"{prefix[: _NAME_LIMIT - len(suffix) - 1].rstrip('-.')}-{suffix}"


def pod_environment(plan: PodPlan) -> dict[str, str]:
    """Return the variables that show a session its share. Which GPUs it sees is the device plugin's to say."""
    request, threads = plan.allocation.request, str(max(1, plan.allocation.request.cpu_cores))
    hints = NCCL_ON_ONE_NODE if request.gpus > 1 else {}
    values = {
        **hints,
        **plan.template.environment,
        "AIPLATFORM_ALLOCATION_ID": str(plan.allocation.id),
        "AIPLATFORM_GPUS": str(request.gpus),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }
    if request.gpus == 0:
        # an image made for GPUs would otherwise be shown every GPU of its node
        values |= {"NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": ""}
    return values


def pod_metadata(allocation: Allocation, spawner_id: int, label: Any) -> tuple[dict[str, str], list[str]]:
    """Return our labels and finalizers.

    Parameters
    ----------
    label
        Makes a label's value of a text.
    """
    labels = {
        ALLOCATION_LABEL: str(allocation.id),
        SPAWNER_LABEL: str(spawner_id),
        USER_ID_LABEL: str(allocation.user_id),
        TEMPLATE_LABEL: label(allocation.request.environment_template),
        PROJECT_LABEL: label(allocation.request.project),
    }
    return labels, [FINALIZER]


def _operators(plan: PodPlan, trait: str, empty: Any) -> Any:
    value = plan.operators.get(trait)
    return deepcopy(value) if value and not callable(value) else empty


def _resources(plan: PodPlan, trait: str) -> dict[str, str]:
    """Return the extended resources: GPUs are never the operator's to give."""
    others = {name: amount for name, amount in _operators(plan, trait, {}).items() if name not in plan.gpu_resources}
    resource = plan.gpu_type.resource if plan.gpu_type else GPU_RESOURCE
    return {**others, resource: str(plan.allocation.request.gpus)}


def _guaranteed_cpu(plan: PodPlan) -> float:
    """Return how much CPU a session has for itself: what the operator set, but never more than it may use.

    All of it where the operator wants so for this many GPUs: whole CPUs with request equal to limit make the pod *Guaranteed*,
    which is what the kubelet's CPU, memory and topology managers ask for before they give it cores and memory beside its GPUs.
    """
    cores, theirs = plan.allocation.request.cpu_cores, plan.operators.get("cpu_guarantee")
    if theirs is not None:
        return min(float(theirs), float(cores))
    return float(cores) if 0 < plan.whole_cpus_from_gpus <= plan.allocation.request.gpus else cores / CPU_SHARES_PER_CORE


def _preference(plan: PodPlan) -> list[dict[str, Any]]:
    """Return what nodes a session likes better: without GPUs, those that have none. Never more than a preference."""
    terms = _as_list(_operators(plan, "node_affinity_preferred", []))
    if plan.allocation.request.gpus:
        return terms
    labels = sorted({GPU_PRESENT_LABEL, *plan.gpu_labels})
    without = {"matchExpressions": [{"key": label, "operator": "DoesNotExist"} for label in labels]}
    return [*terms, {"weight": AVOID_GPU_NODES_WEIGHT, "preference": without}]


def _affinity(plan: PodPlan) -> list[dict[str, Any]]:
    """Return the terms, of which one must hold: ours is part of each."""
    terms = _as_list(_operators(plan, "node_affinity_required", []))
    if not plan.allocation.request.gpus:
        return terms
    fields = [{"key": "metadata.name", "operator": "In", "values": [plan.node]}] if plan.node else []
    labels = dict(plan.node_pool.node_selector) if plan.node_pool and not plan.node else {}
    if plan.gpu_type and plan.product_name and plan.node:
        labels[plan.gpu_type.product_label] = plan.product_name
    expressions = [{"key": key, "operator": "In", "values": [value]} for key, value in sorted(labels.items())]
    if not expressions and not fields:
        return terms  # an empty term would match no node at all
    return [_with(term, expressions, fields) for term in terms or [{}]]


def _with(term: dict[str, Any], expressions: list[dict[str, Any]], fields: list[dict[str, Any]]) -> dict[str, Any]:
    both = {"matchExpressions": [*term.get("matchExpressions", ()), *expressions], "matchFields": [*term.get("matchFields", ()), *fields]}
    return {key: value for key, value in both.items() if value}


def _tolerations(plan: PodPlan) -> list[dict[str, Any]]:
    ours: list[dict[str, Any]] = [{"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"} for key in _USER_TAINT]
    if plan.allocation.request.gpus:
        keys = dict.fromkeys([plan.gpu_type.resource if plan.gpu_type else GPU_RESOURCE, GPU_RESOURCE])
        ours += [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in keys]
    theirs = _as_list(_operators(plan, "tolerations", []))
    return [*theirs, *(toleration for toleration in ours if toleration not in theirs)]


def _volumes(plan: PodPlan) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    volumes, mounts = _as_list(_operators(plan, "volumes", [])), _as_list(_operators(plan, "volume_mounts", []))
    folders: list[tuple[str, str, dict[str, Any]]] = [(SHARED_MEMORY, "/dev/shm", {"medium": "Memory", "sizeLimit": f"{_shared_memory_mib(plan)}Mi"})]  # noqa: S108
    if plan.is_root_read_only:
        folders += [(SCRATCH, "/tmp", {}), (HOME_SCRATCH, plan.home, {})]  # noqa: S108 - a folder of the pod
    mounted = {mount.get("mountPath", "").rstrip("/") for mount in mounts}
    for name, path, empty_dir in folders:
        if path not in mounted:
            volumes.append({"name": name, "emptyDir": empty_dir})
            mounts.append({"name": name, "mountPath": path})
    return volumes, mounts


def _shared_memory_mib(plan: PodPlan) -> int:
    """Return the size of ``/dev/shm``: what is in it counts as the session's memory, so it is never more."""
    memory = plan.allocation.request.memory_bytes
    wanted = plan.template.shared_memory_gib
    return min(memory, memory // 2 if wanted is None else wanted * GIB) // 1024**2


def _container_security(plan: PodPlan) -> dict[str, Any]:
    ours: dict[str, Any] = {"runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
    if plan.is_root_read_only:
        ours["readOnlyRootFilesystem"] = True
    return {**ours, **_operators(plan, "container_security_context", {})}


def _as_list(value: Mapping[str, Any] | Sequence[Any]) -> list[Any]:
    """Return entries that KubeSpawner takes as a list, or as a mapping in the order of its keys."""
    return [value[key] for key in sorted(value)] if isinstance(value, Mapping) else list(value)
