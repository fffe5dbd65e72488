"""What the platform reads of a cluster's nodes and pods, from the plain JSON of the Kubernetes API. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from aiplatform_hub.domain.pods import ALLOCATION_LABEL

_QUANTITY = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII)
_POWERS = {suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)} | {
    suffix: Decimal(10) ** power for suffix, power in {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}.items()
}
_OVER = frozenset({"Succeeded", "Failed"})
_CLOSED_PREFIXES = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_CLOSED_KEYS = frozenset({"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master", "ToBeDeletedByClusterAutoscaler"})
"""Taints of nodes that no session goes to. Other taints set nodes apart for a purpose, which may be ours."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node."""

    name: str
    is_ready: bool
    is_schedulable: bool
    """Neither cordoned nor about to go."""
    capacity: Mapping[str, int]
    """What it has of each extended resource, broken ones included."""
    allocatable: Mapping[str, int]
    """What pods can have of each extended resource."""
    labels: Mapping[str, str]
    memory_bytes: int
    """What pods can have."""
    cpu_cores: int
    """What pods can have, in whole cores."""

    @property
    def is_usable(self) -> bool:
        """Whether a new session can start on it."""
        return self.is_ready and self.is_schedulable


def node_view(node: Mapping[str, Any]) -> NodeView:
    """Return what matters of a node of the API.

    Raises
    ------
    ValueError
        If one of its amounts is not a Kubernetes quantity.
    """
    metadata, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
    conditions = status.get("conditions") or ()
    allocatable = status.get("allocatable") or {}
    return NodeView(
        name=metadata["name"],
        is_ready=any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions),
        is_schedulable=not spec.get("unschedulable") and not any(_closes(taint) for taint in spec.get("taints") or ()),
        capacity=_extended(status.get("capacity") or {}),
        allocatable=_extended(allocatable),
        labels=dict(metadata.get("labels") or {}),
        memory_bytes=int(quantity(allocatable.get("memory", "0"))),
        cpu_cores=int(quantity(allocatable.get("cpu", "0"))),
    )


def foreign_gpus(pods: Iterable[Mapping[str, Any]], open_ids: Collection[str]) -> dict[tuple[str, str], int]:
    """Return what pods other than open sessions take of extended resources, by node and resource.

    Parameters
    ----------
    pods
        Pods of the API; those that ended or are on no node yet take nothing.
    open_ids
        Ids of the open allocations.
    """
    taken: Counter[tuple[str, str]] = Counter()
    for pod in pods:
        node = (pod.get("spec") or {}).get("nodeName")
        label = (pod["metadata"].get("labels") or {}).get(ALLOCATION_LABEL)
        if not node or (pod.get("status") or {}).get("phase") in _OVER or label in open_ids:
            continue
        for resource, amount in _taken(pod["spec"]).items():
            taken[node, resource] += amount
    return dict(taken)


def quantity(text: object) -> Decimal:
    """Return the number of a Kubernetes quantity such as ``16Gi``, ``250m`` or ``2``.

    Raises
    ------
    ValueError
        If it is none.
    """
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a Kubernetes quantity")
    number, exponent, suffix = match.groups()
    return Decimal(number) * (Decimal(10) ** int(exponent) if exponent else _POWERS[suffix or ""])


def _closes(taint: Mapping[str, Any]) -> bool:
    key = taint["key"]
    return taint.get("effect") in {"NoSchedule", "NoExecute"} and (key in _CLOSED_KEYS or key.startswith(_CLOSED_PREFIXES))


def _extended(amounts: Mapping[str, Any]) -> dict[str, int]:
    """Return the extended resources, whose names have a slash."""
    return {name: int(quantity(amount)) for name, amount in amounts.items() if "/" in name}


def _taken(spec: Mapping[str, Any]) -> dict[str, int]:
    """Return what a pod takes: the sum over its containers, or more where one that runs first needs more."""
    taken: Counter[str] = Counter()
    for container in spec.get("containers") or ():
        taken.update(_limits(container))
    for container in spec.get("initContainers") or ():
        taken |= Counter(_limits(container))
    return dict(taken)


def _limits(container: Mapping[str, Any]) -> dict[str, int]:
    return _extended((container.get("resources") or {}).get("limits") or {})
