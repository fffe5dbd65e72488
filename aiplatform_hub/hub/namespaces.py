"""What a person's own namespace has in it: labels, quota, default limits, network rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiplatform_hub.domain.limits import USER, Limit
from aiplatform_hub.domain.pods import COMPONENT, HUB_NAMESPACE_LABEL, OWNER_LABEL
from aiplatform_hub.domain.units import GIB

NAME = "aiplatform"
"""Name of our objects in a person's namespace."""
PEOPLE_LABEL = "aiplatform-hub/people"
"""Marks the namespaces in which people's pods run: admission and network rules look for it."""
HUB_PORT, PLATFORM_PORT, SESSION_PORT, DNS_PORT = 8081, 8090, 8888, 53
PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")
"""Not the public internet: nodes, pods, the API server, and the cloud's metadata address."""
NODE_LOCAL_DNS = "169.254.20.10/32"
SPARE_PODS = 2
"""Pods beyond the environments that a tier allows: one that ends while the next begins."""


def labels(user_id: int, hub_namespace: str) -> dict[str, str]:
    """Return the labels of a person's namespace."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    return {OWNER_LABEL: str(user_id), PEOPLE_LABEL: "true", HUB_NAMESPACE_LABEL: hub_namespace, **levels}


def is_owned(found: Mapping[str, str] | None, user_id: int, hub_namespace: str) -> bool:
    """Whether a namespace with these labels belongs to this person of this hub."""
    ours = labels(user_id, hub_namespace)
    return all((found or {}).get(label) == ours[label] for label in (OWNER_LABEL, HUB_NAMESPACE_LABEL))


def resource_quota(limits: Iterable[Limit], gpu_resources: Iterable[str]) -> dict[str, Any]:
    """Return the last line behind our own decision: what all pods of the person together may take."""
    amounts = _amounts(limits)
    hard: dict[str, str] = {f"requests.{resource}": str(amounts["gpus"]) for resource in sorted(gpu_resources) if "gpus" in amounts}
    if "memory_bytes" in amounts:
        hard |= {"requests.memory": str(amounts["memory_bytes"]), "limits.memory": str(amounts["memory_bytes"])}
    if "cpu_cores" in amounts:
        hard["limits.cpu"] = str(amounts["cpu_cores"])
    if "environments" in amounts:
        hard["pods"] = str(amounts["environments"] + SPARE_PODS)
    if "storage_bytes" in amounts:
        hard["requests.storage"] = str(amounts["storage_bytes"])
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": NAME}, "spec": {"hard": hard}}


def limit_range(limits: Iterable[Limit]) -> dict[str, Any]:
    """Return what a container has that says nothing itself, and the most that one may say."""
    amounts = _amounts(limits)
    usual = {"memory": str(min(GIB, amounts.get("memory_bytes", GIB))), "cpu": "1"}
    item: dict[str, Any] = {"type": "Container", "default": usual, "defaultRequest": {"memory": usual["memory"], "cpu": "100m"}}
    if "memory_bytes" in amounts:
        item["max"] = {"memory": str(amounts["memory_bytes"])}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": NAME}, "spec": {"limits": [item]}}


def network_policy(hub_namespace: str) -> dict[str, Any]:
    """Return who a person's pods talk with: hub, platform, proxy, DNS and the public internet; not each other."""
    hub = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": hub_namespace}}}
    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    callers = {**hub, "podSelector": {"matchLabels": {"hub.jupyter.org/network-access-singleuser": "true"}}}
    dns = [{"port": DNS_PORT, "protocol": "UDP"}, {"port": DNS_PORT, "protocol": "TCP"}]
    spec = {
        "podSelector": {"matchLabels": {"component": COMPONENT}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [callers], "ports": [{"port": SESSION_PORT}]}],
        "egress": [
            {"to": [{**hub, "podSelector": {"matchLabels": {"app": "jupyterhub", "component": "hub"}}}], "ports": [{"port": HUB_PORT}]},
            {"to": [{**hub, "podSelector": {"matchLabels": {"app": "jupyterhub", "component": "platform"}}}], "ports": [{"port": PLATFORM_PORT}]},
            {"to": [system, {"ipBlock": {"cidr": NODE_LOCAL_DNS}}], "ports": dns},
            {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": list(PRIVATE_NETWORKS)}}]},
        ],
    }
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "singleuser"}, "spec": spec}


def storage_gib(limits: Iterable[Limit]) -> int | None:
    """Return the size of a person's home, in whole GiB; None if no tier says."""
    amount = _amounts(limits).get("storage_bytes")
    return None if amount is None else max(1, amount // GIB)


def _amounts(limits: Iterable[Limit]) -> Mapping[str, int]:
    """Return the person's own concurrent limits by dimension, all GPU types together."""
    return {limit.dimension: int(limit.amount) for limit in limits if limit.scope == USER and limit.gpu_type is None and limit.window_days is None}
