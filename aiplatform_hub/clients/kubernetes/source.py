"""Pods and nodes as the keeper watches them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Coroutine, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from aiplatform_hub.clients.kubernetes.access import ClusterUnavailableError, KubernetesApi, MissingError, MissingRightError, RefusedError
from aiplatform_hub.clients.kubernetes.nodes import instant
from aiplatform_hub.clients.kubernetes.pods import allocation_of, is_ours
from aiplatform_hub.clients.kubernetes.watch import Confirmation, Resource, Watch, nothing_to_confirm
from aiplatform_hub.domain.pods import ALLOCATION_LABEL, COMPONENT, FINALIZER, HUB_NAMESPACE_LABEL, OWNER_LABEL
from aiplatform_hub.errors import AIPlatformError

ANSWER_SECONDS = 40
"""Longest wait of a thread for the API server."""
LEASE_SECONDS = 5
"""How long the renewal of a silent node's lease is remembered before it is read again."""
NODE_LEASES = "kube-node-lease"
_IN_ONE_QUESTION = 50
_ON_A_NODE = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
_LOG = logging.getLogger(__name__)

Json = Mapping[str, Any]
T = TypeVar("T")


class WatchedPods:
    """Watches people's pods, the nodes, and what else takes GPUs; a :class:`~aiplatform_hub.clients.kubernetes.runtime.PodSource`.

    Its methods wait for the event loop that runs :meth:`run`, so they are called in other threads.

    Parameters
    ----------
    namespace
        Of people's pods.
    is_namespace_per_user
        Whether their pods are in namespaces of their own, so that all are watched.
    before_list
        Raises if this is not the cluster that is meant, so that its lists are not taken.
    """

    def __init__(self, *, api: KubernetesApi, namespace: str, is_namespace_per_user: bool, before_list: Confirmation = nothing_to_confirm) -> None:
        self._api = api
        self._loop = asyncio.get_running_loop()
        self._namespace = namespace
        here = "/api/v1/pods" if is_namespace_per_user else f"/api/v1/namespaces/{namespace}/pods"
        self._pods_path = here
        self.pod_watch = Watch(api=api, choices=(Resource(here, label_selector=f"component={COMPONENT}"),), before_list=before_list)
        self.node_watch = Watch(api=api, choices=(Resource("/api/v1/nodes"),), before_list=before_list)
        nearby = Resource(f"/api/v1/namespaces/{namespace}/pods", field_selector=_ON_A_NODE, keeps=_takes_devices)
        self.other_watch = Watch(api=api, choices=(Resource("/api/v1/pods", field_selector=_ON_A_NODE, keeps=_takes_devices), nearby))
        self._leases: dict[str, tuple[float, datetime | None]] = {}
        self._told: set[str] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for watch in (self.pod_watch, self.node_watch, self.other_watch):
                tasks.create_task(watch.run())

    async def until_listed(self) -> None:
        """Wait for the first list of pods and nodes.

        Raises
        ------
        MissingRightError
            If the cluster does not let this process list pods or nodes.
        """
        for watch in (self.pod_watch, self.node_watch):
            await watch.has_listed.wait()
            if watch.refusal is not None:
                raise watch.refusal

    def pods(self, ids: Collection[UUID] | None) -> Mapping[UUID, Json] | None:
        """Return pods by allocation; one that is asked for and not in the copy is looked up, so that a late event is no loss."""
        items = self.pod_watch.items()
        if items is None:
            return None
        every = self._by_allocation(items.values())
        if ids is None:
            return every
        found = {id_: every[id_] for id_ in ids if id_ in every}
        missing = sorted(id_ for id_ in ids if id_ not in every)
        try:
            for start in range(0, len(missing), _IN_ONE_QUESTION):
                found |= self._by_allocation(self._wait(self._look_up(missing[start : start + _IN_ONE_QUESTION])))
        except AIPlatformError as error:
            _LOG.info("Whether pods are gone is not known just now: %s", error)
            return None
        return found

    def nodes(self) -> Mapping[str, Json]:
        """Return the nodes by name; nothing while they are not known."""
        return self.known_nodes() or {}

    def known_nodes(self) -> dict[str, Json] | None:
        """Return the nodes by name; None while they are not known."""
        items = self.node_watch.items()
        return None if items is None else {node["metadata"]["name"]: node for node in items.values()}

    def other_pods(self) -> tuple[Json, ...]:
        """Return every known pod on a node that takes devices, people's own included."""
        found = {**(self.other_watch.items() or {}), **(self.pod_watch.items() or {})}
        return tuple(found.values())

    def node_lease_renewed(self, node: str) -> datetime | None:
        """Return the last renewal of a node's lease. It is asked of silent nodes only, whose lease stands still."""
        read_at, renewed_at = self._leases.get(node, (0.0, None))
        if time.monotonic() - read_at < LEASE_SECONDS and read_at:
            return renewed_at
        try:
            lease = self._wait(self._api.get(f"/apis/coordination.k8s.io/v1/namespaces/{NODE_LEASES}/leases/{node}"))
            renewed_at = instant(lease["spec"].get("renewTime"))
        except MissingRightError as error:
            self._tell_once(str(error), "%s Until then a lost node's sessions end at its last status.", error)
        except AIPlatformError as error:
            _LOG.info("The lease of node %s is not known: %s", node, error)
        self._leases[node] = (time.monotonic(), renewed_at)
        return renewed_at

    def delete(self, pod: Json, grace_seconds: float) -> None:
        """Delete just this pod, and no later one of the same name."""
        metadata = pod["metadata"]
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": int(grace_seconds), "preconditions": {"uid": metadata["uid"]}}
        self._wait(self._forgiving("DELETE", _path(pod), options))

    def release(self, pod: Json) -> None:
        """Remove our finalizer, if it is still where it was seen."""
        position = (pod["metadata"].get("finalizers") or []).index(FINALIZER)
        where = f"/metadata/finalizers/{position}"
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": pod["metadata"]["uid"]},
            {"op": "test", "path": where, "value": FINALIZER},
            {"op": "remove", "path": where},
        ]
        try:
            self._wait(self._forgiving("PATCH", _path(pod), patch, content_type=KubernetesApi.JSON))
        except RefusedError:
            return  # somebody was quicker; a newer copy of the pod tells where it is, if it still is

    async def home_bytes(self, pod: Json, container: str, *, timeout_seconds: float) -> int:
        """Return the bytes that the home folder of a running container occupies.

        Raises
        ------
        AIPlatformError
            If they cannot be counted: unknown is not nothing.
        """
        metadata = pod["metadata"]
        command = ["/bin/sh", "-c", 'exec du -s --block-size=1 -- "$HOME"']
        printed = await self._api.execute(metadata["namespace"], metadata["name"], container, command, timeout_seconds=timeout_seconds)
        first = printed.split()[0] if printed.split() else ""
        if not first.isdecimal():
            raise ClusterUnavailableError(f"du printed no number of bytes but {printed[:80]!r}.")
        return int(first)

    async def owned_namespaces(self) -> dict[str, str]:
        """Return the namespaces that are a person's of this hub, with the hub's id of that person.

        Raises
        ------
        AIPlatformError
            If the API server does not tell.
        """
        answer = await self._api.get("/api/v1/namespaces", {"labelSelector": f"{OWNER_LABEL},{HUB_NAMESPACE_LABEL}={self._namespace}"})
        return {item["metadata"]["name"]: item["metadata"]["labels"][OWNER_LABEL] for item in answer["items"] if not item["metadata"].get("deletionTimestamp")}

    async def delete_namespace(self, name: str) -> None:
        """Delete a person's namespace with everything in it."""
        await self._forgiving("DELETE", f"/api/v1/namespaces/{name}", None)

    async def _look_up(self, ids: Collection[UUID]) -> list[Json]:
        wanted = f"component={COMPONENT},{ALLOCATION_LABEL} in ({','.join(map(str, ids))})"
        answer = await self._api.get(self._pods_path, {"labelSelector": wanted})
        return list(answer["items"])

    async def _forgiving(self, method: str, path: str, body: Any, *, content_type: str = "application/json") -> None:
        """Send what may have been done before, or be overtaken: then there is nothing to do."""
        try:
            await self._api.send(method, path, body, content_type=content_type)
        except MissingError:
            return

    def _by_allocation(self, pods: Collection[Json]) -> dict[UUID, Json]:
        found: dict[UUID, Json] = {}
        for pod in pods:
            id_ = allocation_of(pod)
            if id_ is not None:
                before = found.get(id_)
                found[id_] = pod if before is None else min(before, pod, key=lambda one: str(one["metadata"]["creationTimestamp"]))
            elif is_ours(pod):
                name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                self._tell_once(name, "Pod %s says that it is somebody's server, and names no allocation: left alone", name)
        return found

    def _tell_once(self, key: str, message: str, *values: object) -> None:
        if key not in self._told:
            self._told.add(key)
            _LOG.warning(message, *values)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the event loop and wait for it here, in another thread."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(ANSWER_SECONDS)
        except TimeoutError as error:
            future.cancel()
            raise ClusterUnavailableError("The cluster's API server does not answer in time.", retry_after_seconds=5) from error


def _path(pod: Json) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _takes_devices(pod: Json) -> bool:
    """Whether a container of it asks for an extended resource, whose name has a slash."""
    containers = [*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ())]
    return any("/" in name for container in containers for name in ((container.get("resources") or {}).get("limits") or {}))
