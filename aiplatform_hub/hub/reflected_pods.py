"""The pods that the hub's own watch knows, for whoever asks in a thread: no list and no watch beside KubeSpawner's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from kubernetes_asyncio.client import ApiException

from aiplatform_hub.clients.kubernetes.pods import allocation_of, is_ours
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.hub.api_refusals import AWAY

REQUEST_SECONDS = 5.0
_GONE = frozenset({404, 409})


class ReflectedPods:
    """A :class:`~aiplatform_hub.clients.kubernetes.runtime.PodSource` over the hub's watch.

    Parameters
    ----------
    reflector
        Returns KubeSpawner's watch of pods, or None while there is none.
    api
        The hub's ``CoreV1Api``.
    loop
        The hub's event loop, to which ``api`` belongs.
    """

    def __init__(self, *, reflector: Callable[[], Any], api: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._reflector = reflector
        self._api = api
        self._loop = loop

    def pods(self, ids: Collection[UUID] | None) -> Mapping[UUID, Mapping[str, Any]] | None:
        reflector = self._reflector()
        if not is_loaded(reflector):
            return None
        wanted = None if ids is None else frozenset(ids)
        found = ((allocation_of(pod), pod) for pod in list(reflector.resources.values()) if is_ours(pod))
        return {id_: pod for id_, pod in found if id_ is not None and (wanted is None or id_ in wanted)}

    def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        return {}  # whether a node is lost is for the keeper to say

    def node_lease_renewed(self, node: str) -> datetime | None:  # noqa: ARG002 - the protocol's signature
        return None

    def delete(self, pod: Mapping[str, Any], grace_seconds: float) -> None:
        metadata = pod["metadata"]
        call = self._api.delete_namespaced_pod(metadata["name"], metadata["namespace"], grace_period_seconds=max(0, int(grace_seconds)))
        try:
            asyncio.run_coroutine_threadsafe(asyncio.wait_for(call, REQUEST_SECONDS), self._loop).result()
        except ApiException as error:
            if error.status not in _GONE:
                raise ServiceUnavailableError(AWAY, retry_after_seconds=5) from error
        except (OSError, TimeoutError) as error:
            raise ServiceUnavailableError(AWAY, retry_after_seconds=5) from error

    def release(self, pod: Mapping[str, Any]) -> None:
        """Leave the finalizer: only the keeper removes it, once the ledger has the end."""


def is_loaded(reflector: Any) -> bool:
    """Whether a watch has seen a whole list, so that what it lacks does not exist."""
    loading = getattr(reflector, "first_load_future", None)
    return bool(loading is not None and loading.done() and not loading.cancelled() and loading.exception() is None)
