"""Kueue's ``Workload`` as the API has it, to and from what the platform means by it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.kueue import Asked, Flavour, Phase, Wish, Work
from aiplatform_hub.domain.pods import ALLOCATION_LABEL, CONTAINER, GPU_RESOURCE

API_VERSION = "kueue.x-k8s.io/v1beta2"
MANAGED_BY_LABEL, MANAGED_BY = "app.kubernetes.io/managed-by", "aiplatform-hub"
SELECTOR = f"{MANAGED_BY_LABEL}={MANAGED_BY},{ALLOCATION_LABEL}"
"""What tells our Workloads from those of others."""
POD_SET = "session"

Json = Mapping[str, Any]


def workload_name(allocation_id: UUID) -> str:
    """Return the name of an allocation's Workload: whoever makes it twice meets what is there."""
    return f"session-{allocation_id}"


def body_of(wish: Wish, priority: int) -> dict[str, Any]:
    """Return the Workload of an allocation. No pod belongs to it: the keeper makes and deletes it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Workload",
        "metadata": {"name": workload_name(wish.id), "labels": {MANAGED_BY_LABEL: MANAGED_BY, ALLOCATION_LABEL: str(wish.id)}},
        "spec": spec_of(wish, priority),
    }


def spec_of(wish: Wish, priority: int) -> dict[str, Any]:
    """Return what such a Workload asks for: GPUs alone, so that memory in bytes weighs nothing in Kueue's shares."""
    asked = wish.asked
    amounts = {asked.resource: str(asked.gpus)}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "containers": [{"name": CONTAINER, "image": MANAGED_BY, "resources": {"requests": amounts, "limits": amounts}}],
        "tolerations": _tolerations(asked.resource),
        "affinity": _affinity(asked) if asked.products else None,
    }
    template = {"spec": {key: value for key, value in pod.items() if value is not None}}
    return {
        "queueName": asked.queue,
        "active": wish.is_active,
        "priority": priority,
        "podSets": [{"name": POD_SET, "count": 1, "template": template}],
    }


def work_of(item: Json) -> Work | None:
    """Return what a Workload says; None if it names no allocation."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    try:
        id_ = UUID(metadata["labels"][ALLOCATION_LABEL])
    except (KeyError, ValueError):
        return None
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    asked = _asked(spec)
    return Work(
        id=id_,
        uid=metadata["uid"],
        asked=asked,
        priority=spec.get("priority") or 0,
        phase=_phase(conditions),
        is_active=spec.get("active", True),
        is_going="deletionTimestamp" in metadata,
        flavour=_flavour(status, asked.resource),
        is_preempted=_is_preempted(conditions.get("Evicted")),
        why=_why(conditions.get("QuotaReserved")),
    )


def positions_of(summaries: Iterable[Json], ids: Iterable[UUID]) -> dict[UUID, int]:
    """Return the places in their ClusterQueue of those that wait, from 0, by allocation."""
    items = (item for summary in summaries for item in summary.get("items") or ())
    names = {workload_name(id_): id_ for id_ in ids}
    return {names[name]: item.get("positionInClusterQueue") or 0 for item in items if (name := item["metadata"]["name"]) in names}


def is_anybody_waiting(cluster_queues: Iterable[Json]) -> bool:
    """Return whether Workloads wait in any of these ClusterQueues."""
    return any((item.get("status") or {}).get("pendingWorkloads") for item in cluster_queues)


def flavour_of(item: Json, nodes: Mapping[str, Json]) -> Flavour:
    """Return a ResourceFlavor with the nodes that have its labels."""
    labels: dict[str, str] = dict((item.get("spec") or {}).get("nodeLabels") or {})
    having = (name for name, node in nodes.items() if labels.items() <= (node["metadata"].get("labels") or {}).items())
    return Flavour(labels, frozenset(having))


def _tolerations(resource: str) -> list[dict[str, str]]:
    """Return what sessions' pods tolerate: Kueue leaves out flavours whose taints a Workload does not."""
    users = [{"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"} for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")]
    return users + [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in dict.fromkeys([resource, GPU_RESOURCE])]


def _affinity(asked: Asked) -> dict[str, Any]:
    """Return the choice of nodes by which Kueue finds the flavours of the GPU type."""
    expression = {"key": asked.product_label, "operator": "In", "values": list(asked.products)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}


def _asked(spec: Json) -> Asked:
    """Read back what :func:`spec_of` wrote; nothing where somebody wrote something else."""
    try:
        pod = spec["podSets"][0]["template"]["spec"]
        [(resource, amount)] = pod["containers"][0]["resources"]["requests"].items()
        gpus = int(amount)
    except (KeyError, IndexError, TypeError, ValueError):
        return Asked(str(spec.get("queueName") or ""), "", 0, "")
    label, products = "", ()
    terms = (((pod.get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ()
    for term in terms:
        for expression in term.get("matchExpressions") or ():
            label, products = expression["key"], tuple(expression.get("values") or ())
    return Asked(str(spec.get("queueName") or ""), resource, gpus, label, products)


def _phase(conditions: Mapping[str, Json]) -> Phase:
    is_true = {name for name, condition in conditions.items() if condition["status"] == "True"}
    if "QuotaReserved" not in is_true:
        return Phase.PENDING
    if "Evicted" in is_true or "Finished" in is_true:
        return Phase.EVICTED
    return Phase.ADMITTED if "Admitted" in is_true else Phase.RESERVED


def _is_preempted(evicted: Json | None) -> bool:
    return evicted is not None and evicted["status"] == "True" and evicted.get("reason") == "Preempted"


def _flavour(status: Json, resource: str) -> str:
    assignments = (status.get("admission") or {}).get("podSetAssignments") or ()
    return next((str(name) for each in assignments if (name := (each.get("flavors") or {}).get(resource))), "")


def _why(condition: Json | None) -> str:
    return "" if condition is None or condition["status"] == "True" else f"{condition.get('reason', '')}: {condition.get('message', '')}"
