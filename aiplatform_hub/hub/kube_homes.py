"""Where a person's pods live: the hub's watches, a namespace of their own, the volume of their home folder."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, ClassVar

from kubernetes_asyncio.client import ApiException
from kubespawner import KubeSpawner
from kubespawner.objects import make_namespace

from aiplatform_hub.domain.pods import OWNER_LABEL
from aiplatform_hub.errors import ConflictError
from aiplatform_hub.hub import namespaces
from aiplatform_hub.hub.api_refusals import api_refusal, message_of
from aiplatform_hub.hub.cluster_api import apply_all, claim_events, grow_claim
from aiplatform_hub.hub.lean_watches import LEAN_WATCHES
from aiplatform_hub.hub.pod_progress import is_about_volumes, unplaced_because
from aiplatform_hub.hub.reflected_pods import ReflectedPods, is_loaded

LIST_SECONDS = 30.0
"""How long the first list of a watch may take."""
RETRY_SECONDS = 2.0
CLAIM_SECONDS = 4.0
"""Time between two looks at the events of a home that has no volume yet."""
_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409


class KubeHomes(KubeSpawner):
    """The part of the spawner that a session finds ready."""

    _locks: ClassVar[dict[Any, asyncio.Lock]] = {}
    _failures: ClassVar[dict[Any, tuple[float, Exception]]] = {}
    """When a watch could not be started, and why: a thousand servers do not ask a cluster that is away one after the other."""
    _prepared: ClassVar[dict[str, Any]] = {}
    """What each person's namespace was given in this life of the hub."""

    # Watches

    async def _start_reflector(self, kind: str, reflector_class: type[Any], replace: bool = False, **kwargs: Any) -> Any:
        """Return a shared watch, started anew where the last one gave up.

        KubeSpawner's own keeps a watch whose first list failed and then believes that there are no pods; with a
        namespace for each person it would even end the hub.
        """
        key = self._get_reflector_key(kind)
        known = self.reflectors.get(key)
        if known is not None and not replace and is_live(known):
            return known
        async with self._locks.setdefault((asyncio.get_running_loop(), key), asyncio.Lock()):
            current = self.reflectors.get(key)
            if current is not None and is_live(current) and (current is not known or not replace):
                return current
            watch = self.reflectors[key] = await self._watched(key, kind, reflector_class, kwargs)
            if kind == "pods":
                self._share()
        if current is not None:
            await current.stop()
        return watch

    async def _watched(self, key: Any, kind: str, reflector_class: type[Any], options: dict[str, Any]) -> Any:
        """Return a watch that has seen a whole list.

        Raises
        ------
        StartFailedError
            If the hub may not see these; the message names the missing rule.
        """
        failed = self._failures.get(key)
        if failed is not None and time.monotonic() - failed[0] < RETRY_SECONDS:
            raise failed[1]
        watch = LEAN_WATCHES.get(kind, reflector_class)(parent=self, namespace=self.namespace, on_failure=None, **options)
        watch.first_load_future.add_done_callback(lambda future: future.cancelled() or future.exception())  # nobody else asks for it
        try:
            await asyncio.wait_for(watch.start(), LIST_SECONDS)
        except ApiException as error:
            failure = api_refusal(error.status, _missing_right(kind, self.namespace)) if error.status == _FORBIDDEN else error
            self._failures[key] = (time.monotonic(), failure)
            raise failure from error
        except Exception as error:
            self._failures[key] = (time.monotonic(), error)
            raise
        return watch

    def _share(self) -> None:
        """Let the reconciler of this process see what the watch sees."""
        factory = self.platform.factory
        if factory.pod_source is None:
            key = self._get_reflector_key("pods")
            factory.pod_source = ReflectedPods(reflector=lambda: self.reflectors.get(key), api=self.api, loop=asyncio.get_running_loop())

    # Home

    async def _prepare_home(self) -> None:
        """Make the person's namespace what their tier says, and their home as large as it says."""
        if not (self.enable_user_namespaces or self.storage_pvc_ensure):
            return
        process = self.platform
        rows = await process.in_thread(process.factory.enforcer.quota_of, self.caller)
        limits = tuple(row.limit for row in rows)
        if self.enable_user_namespaces:
            await self._prepare_namespace(limits)
        gib = namespaces.storage_gib(limits)
        if self.storage_pvc_ensure and gib is not None:
            await self._size_home(gib)

    async def _prepare_namespace(self, limits: tuple[Any, ...]) -> None:
        resources = {gpu_type.resource for gpu_type in self.platform.factory.catalog.gpu_types.values()}
        objects = (
            namespaces.resource_quota(limits, resources),
            namespaces.limit_range(limits),
            namespaces.network_policy(self.platform.settings.namespace),
        )
        if self._prepared.get(self.namespace) == objects:
            return
        await self._make_namespace()
        await apply_all(self.namespace, objects, self.k8s_api_request_timeout)
        self._prepared[self.namespace] = objects

    async def _make_namespace(self) -> None:
        ours = namespaces.labels(self.user.orm_user.id, self.platform.settings.namespace)
        labels = {**self._expand_all(self.user_namespace_labels), **ours}
        body = make_namespace(self.namespace, labels=labels, annotations=self._expand_all(self.user_namespace_annotations))
        try:
            await asyncio.wait_for(self.api.create_namespace(body), self.k8s_api_request_timeout)
        except ApiException as error:
            if error.status != _CONFLICT:
                raise
            await self._check_owner()

    async def _check_owner(self) -> None:
        """Refuse a namespace that exists and is somebody else's, or another hub's."""
        found = await asyncio.wait_for(self.api.read_namespace(self.namespace), self.k8s_api_request_timeout)
        if not namespaces.is_owned(found.metadata.labels, self.user.orm_user.id, self.platform.settings.namespace):
            raise ConflictError(
                f"The namespace {self.namespace} exists and is not yours. An administrator can delete it, or give it to you with what is in it: "
                f"its label {OWNER_LABEL} must be {self.user.orm_user.id}."
            )

    async def _ensure_namespace(self) -> None:
        """Do nothing: :meth:`_prepare_home` has."""

    async def _size_home(self, gib: int) -> None:
        """Size a new home, and enlarge one of a tier that was raised, or that was made before this server."""
        self.storage_capacity = f"{gib}Gi"
        if gib <= self._home_gib or gib == self._refused_gib:
            return
        try:
            is_asked = await grow_claim(self.api, self.namespace, self.pvc_name, gib, self.k8s_api_request_timeout)
        except (ApiException, OSError) as error:
            told = message_of(str(error.body or error.reason)) if isinstance(error, ApiException) else str(error) or type(error).__name__
            self.log.warning("The home of %s could not be made %s GiB large; the session starts all the same: %s", self._log_name, gib, told)
            self._refused_gib = gib
            return
        if is_asked:
            self.log.info("The home of %s grows to %s GiB", self._log_name, gib)
        self._home_gib = gib

    async def _claim_events(self, pod: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Return what the cluster says of the home while the scheduler waits for it: the hub's watch sees pods' events alone."""
        if pod is None or not self.storage_pvc_ensure or not is_about_volumes(unplaced_because(pod) or ""):
            return []
        asked_at, events = self._claim_told
        if time.monotonic() - asked_at > CLAIM_SECONDS:
            events = await claim_events(self.api, self.namespace, self.pvc_name, self.k8s_api_request_timeout)
            self._claim_told = time.monotonic(), events
        return events

    _claim_told: tuple[float, list[dict[str, Any]]] = (float("-inf"), [])
    """When the home's events were last asked for, and what they were."""
    _refused_gib: int = 0
    """What the cluster refused: asked again after the hub has been started again, or once the tier says something else."""
    _home_gib: int = 0
    """What the home is known to have asked for."""

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), **({"home_gib": self._home_gib} if self._home_gib else {})}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        with suppress(KeyError, TypeError, ValueError):
            self._home_gib = int(state["home_gib"])

    async def delete_forever(self) -> None:
        """Remove what the person leaves: the volume of their home, and with it their namespace if they had one."""
        if not self.enable_user_namespaces or self.name or not self.delete_pvc:
            await super().delete_forever()
            return
        self._prepared.pop(self.namespace, None)
        try:
            await asyncio.wait_for(self.api.delete_namespace(self.namespace), self.k8s_api_request_timeout)
        except ApiException as error:
            if error.status == _FORBIDDEN:
                self.log.info("The hub may not delete the namespace %s of %s; the keeper will", self.namespace, self._log_name)
            elif error.status != _NOT_FOUND:
                raise


def is_live(watch: Any) -> bool:
    """Whether a watch has loaded and still goes on."""
    return is_loaded(watch) and watch.watch_task is not None and not watch.watch_task.done()


def _missing_right(kind: str, namespace: str) -> str:
    """Return the words of the API that a watch swallows."""
    return f'cannot list resource "{kind}" in API group "" in the namespace "{namespace}"'
