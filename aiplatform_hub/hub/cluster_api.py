"""What the hub asks of the Kubernetes API beside KubeSpawner's own requests."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes_asyncio.client import ApiException
from kubespawner.clients import shared_client

from aiplatform_hub.domain.nodes import quantity
from aiplatform_hub.domain.pods import CONTAINER
from aiplatform_hub.domain.units import GIB

LOG_LINES, LOG_BYTES = 20, 4096
REMEMBER_SECONDS = 60.0
_CONFLICT, _NOT_FOUND = 409, 404

_storage_classes: dict[str, tuple[float, bool]] = {}


async def read_log(api: Any, namespace: str, name: str, timeout_seconds: float) -> str:
    """Return the last lines of a session's log; empty where there is none, or it cannot be read."""
    call = api.read_namespaced_pod_log(name, namespace, container=CONTAINER, tail_lines=LOG_LINES, limit_bytes=LOG_BYTES)
    try:
        return str(await asyncio.wait_for(call, timeout_seconds) or "")
    except Exception:  # noqa: BLE001 - a log that cannot be had must not hide the failure that it would explain
        return ""


async def create_pod(api: Any, namespace: str, pod: Any) -> None:
    """Ask for a pod. The reply, the whole pod once more, is not made into objects: nobody looks at it.

    Raises
    ------
    ApiException
        If the cluster refuses.
    """
    async with await api.create_namespaced_pod(namespace, pod, _preload_content=False) as answer:
        body = await answer.read()
    if not answer.ok:
        refused = ApiException(status=answer.status, reason=answer.reason)
        refused.body = body.decode(errors="replace")
        raise refused


async def claim_events(api: Any, namespace: str, name: str, timeout_seconds: float) -> list[dict[str, Any]]:
    """Return the events of a claim, oldest first; empty where there are none, or they cannot be had."""
    call = api.list_namespaced_event(namespace, field_selector=f"involvedObject.kind=PersistentVolumeClaim,involvedObject.name={name}", _preload_content=False)
    try:
        answer = await asyncio.wait_for(call, timeout_seconds)
        found = json.loads(await answer.read())["items"]
    except Exception:  # noqa: BLE001 - what cannot be asked explains nothing, and must not end the start
        return []
    return sorted(found, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))


async def has_storage_class(name: str, timeout_seconds: float) -> bool:
    """Whether a storage class exists; also where the hub may not or cannot know."""
    known = _storage_classes.get(name)
    if known is not None and time.monotonic() - known[0] < REMEMBER_SECONDS:
        return known[1]
    try:
        await asyncio.wait_for(shared_client("StorageV1Api").read_storage_class(name), timeout_seconds)
        exists = True
    except ApiException as error:
        exists = error.status != _NOT_FOUND
    except (OSError, TimeoutError):
        return True
    _storage_classes[name] = (time.monotonic(), exists)
    return exists


async def apply_all(namespace: str, objects: Sequence[Mapping[str, Any]], timeout_seconds: float) -> None:
    """Make or change a person's quota, limits and network rules.

    Raises
    ------
    ApiException
        If the API refuses one.
    """
    core, network = shared_client("CoreV1Api"), shared_client("NetworkingV1Api")
    calls = {
        "ResourceQuota": (core.create_namespaced_resource_quota, core.patch_namespaced_resource_quota),
        "LimitRange": (core.create_namespaced_limit_range, core.patch_namespaced_limit_range),
        "NetworkPolicy": (network.create_namespaced_network_policy, network.patch_namespaced_network_policy),
    }
    for body in objects:
        create, patch = calls[body["kind"]]
        try:
            await asyncio.wait_for(create(namespace, body), timeout_seconds)
        except ApiException as error:
            if error.status != _CONFLICT:
                raise
            await asyncio.wait_for(patch(body["metadata"]["name"], namespace, body), timeout_seconds)


async def grow_claim(api: Any, namespace: str, name: str, gib: int, timeout_seconds: float) -> bool:
    """Ask for a larger volume where a claim asks for less.

    Returns
    -------
    bool
        Whether anything was asked for: not where there is no claim yet, and not where it is as large already.

    Raises
    ------
    ApiException
        If its class does not allow it.
    """
    try:
        claim = await asyncio.wait_for(api.read_namespaced_persistent_volume_claim(name, namespace), timeout_seconds)
    except ApiException as error:
        if error.status != _NOT_FOUND:
            raise
        return False
    if quantity((claim.spec.resources.requests or {}).get("storage", "0")) >= gib * GIB:
        return False
    body = {"spec": {"resources": {"requests": {"storage": f"{gib}Gi"}}}}
    await asyncio.wait_for(api.patch_namespaced_persistent_volume_claim(name, namespace, body), timeout_seconds)
    return True
