"""User servers as pods of a Kubernetes cluster."""

from __future__ import annotations

import asyncio
import fnmatch
import time
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client import ApiException, V1DeleteOptions
from kubespawner import KubeSpawner
from kubespawner.slugs import is_valid_label, safe_slug
from tornado.web import HTTPError
from traitlets import default

from aiplatform_hub.clients.kubernetes.pods import allocation_of
from aiplatform_hub.domain.cluster import slot_of
from aiplatform_hub.domain.pods import SPAWNER_LABEL
from aiplatform_hub.errors import AIPlatformError, ConflictError, Reason, ServiceUnavailableError, StartFailedError
from aiplatform_hub.hub import profiles
from aiplatform_hub.hub.answers import answers
from aiplatform_hub.hub.api_refusals import AWAY, api_refusal, message_of
from aiplatform_hub.hub.cluster_api import create_pod, has_storage_class, read_log
from aiplatform_hub.hub.kube_homes import KubeHomes, is_live
from aiplatform_hub.hub.pod_progress import Failure, exit_status, failure_of, image_bytes_of, is_running, started_at, step_of
from aiplatform_hub.hub.pod_rounds import rounds_every
from aiplatform_hub.hub.pods import MERGED, PodPlan, image_of, pod_environment, pod_metadata, pod_name, pod_traits, start_seconds
from aiplatform_hub.hub.process import RECORD_SECONDS
from aiplatform_hub.hub.spawner import AIPlatformSpawner, printable_tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from aiplatform_hub.domain.allocations import Allocation
    from aiplatform_hub.domain.requests import LaunchRequest

UID = 1000
"""Account and group of sessions in our images."""
GIVE_UP_SECONDS = 3
"""How long before KubeSpawner's ``start_timeout`` a start gives up by itself, with a reason."""
END_MARGIN_SECONDS = 5
"""How long after its grace the end of a pod is waited for: a silent node's never comes."""
EVENT_SECONDS = 1.0
"""Time between two looks at a starting pod's events."""

_image_sizes: dict[str, int] = {}
"""What the images that were pulled here weigh, in bytes."""


class AIPlatformKubeSpawner(AIPlatformSpawner, KubeHomes, KubeSpawner):
    """Starts servers as pods. What the operator set as ``c.KubeSpawner`` stays in force where a session decides nothing."""

    _plan: PodPlan | None = None
    _log_text = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._operators = {name: deepcopy(getattr(self, name)) for name in MERGED if self.trait_has_value(name)}
        """What the operator set; nothing else has a value yet, and a default costs memory as soon as somebody looks at it."""

    @default("start_timeout")
    def _default_start_timeout(self) -> int:
        return start_seconds(self.platform.factory.catalog.node_pools.values())

    @default("http_timeout")
    def _default_http_timeout(self) -> int:
        return 90

    @default("uid")
    def _default_uid(self) -> int:
        return UID

    @default("gid")
    def _default_gid(self) -> int:
        return UID

    @default("fs_gid")
    def _default_fs_gid(self) -> int:
        return UID

    @default("delete_grace_period")
    def _default_delete_grace_period(self) -> int:
        return 10

    @default("profile_list")
    def _default_profile_list(self) -> Callable[[Any], list[dict[str, Any]]]:
        return lambda _: profiles.profile_list(self.platform.factory.catalog, self.caller, self.available_gpu_types())

    @default("options_form")
    def _options_form_default(self) -> str:
        return ""  # ours is rendered then, with every text escaped; KubeSpawner's is not

    # Options: KubeSpawner's reading of them is never reached

    def run_options_from_form(self, form_data: dict[str, list[Any]]) -> dict[str, Any]:
        return profiles.options_of_stock_form(form_data) or super().run_options_from_form(form_data)

    def validated_request(self, options: object) -> LaunchRequest:
        return super().validated_request(profiles.translate(options))

    async def load_user_options(self) -> None:
        """Apply nothing: the decision has, from options that were validated."""

    def available_gpu_types(self) -> tuple[str, ...] | None:
        return self.platform.gpu_types or None

    # Before the hold

    async def check_place(self, request: LaunchRequest) -> None:
        template = self.platform.factory.catalog.environment_templates[request.environment_template]
        image = image_of(template, self.platform.settings.image_prefix)
        allowed = self.place.allowed_images
        if allowed and not any(fnmatch.fnmatchcase(image, pattern) for pattern in allowed):
            raise _refused(f"The image {image} of {template.display_name} is not allowed here. Ask an administrator to allow it.", "environment_template")
        here = self.available_gpu_types()
        if request.gpu_type is not None and here is not None and request.gpu_type not in here:
            raise _refused(f"No node of this cluster has a GPU of the type {request.gpu_type}; here are {', '.join(here)}.", "gpu_type")
        try:
            await self._start_watching_pods()
        except Exception as error:
            raise self._in_words(error) from error
        if self.storage_pvc_ensure and self.storage_class and not await has_storage_class(self.storage_class, self.k8s_api_request_timeout):
            raise _refused(f"The storage class {self.storage_class} for home folders does not exist. An administrator needs to name another.", None)

    # Start

    async def launch_session(self, allocation: Allocation) -> str:
        self._log_text = ""
        try:
            plan = self._plan = self._planned(allocation)
            self._take_names(pod_name(self._expand_user_properties(self.pod_name_template), allocation))
            await self._prepare_home()
            for name, value in pod_traits(plan).items():
                setattr(self, name, value)
            return await self._start_pod(plan, time.monotonic())
        except Exception as error:
            self._log_text = await self._read_log()
            raise self._in_words(error) from error

    def _planned(self, allocation: Allocation) -> PodPlan:
        factory, request = self.platform.factory, allocation.request
        catalog = factory.catalog
        slot = slot_of(allocation.devices[0]) if allocation.devices else None
        return PodPlan(
            allocation=allocation,
            template=catalog.environment_templates[request.environment_template],
            gpu_type=catalog.gpu_types[request.gpu_type] if request.gpu_type else None,
            gpu_resources=frozenset(gpu_type.resource for gpu_type in catalog.gpu_types.values()),
            gpu_labels=frozenset(gpu_type.product_label for gpu_type in catalog.gpu_types.values()),
            node=slot.node if slot else None,
            node_pool=catalog.node_pools.get(slot.node_pool or "") if slot else None,
            product_name=self.platform.products.get(allocation.devices[0], "") if allocation.devices else "",
            image_prefix=factory.settings.image_prefix,
            is_root_read_only=self.place.read_only_root,
            whole_cpus_from_gpus=self.place.whole_cpus_from_gpus,
            stop_grace_seconds=self.delete_grace_period,
            operators={name: self._operators[name] if name in self._operators else self.trait_defaults(name) for name in MERGED},
        )

    def _take_names(self, name: str) -> None:
        self.pod_name = name
        self.dns_name = self.dns_name_template.format(namespace=self.namespace, name=name)

    def get_env(self) -> dict[str, Any]:
        env: dict[str, Any] = super().get_env()
        if self._plan is None:
            return env
        chosen = {} if self.default_url else {"JUPYTERHUB_DEFAULT_URL": self._plan.template.default_url}
        return {**env, **chosen, **pod_environment(self._plan)}

    async def get_pod_manifest(self) -> Any:
        pod = await super().get_pod_manifest()
        if self._plan is not None:
            # not through extra_labels: KubeSpawner formats those
            labels, pod.metadata.finalizers = pod_metadata(self._plan.allocation, self.orm_spawner.id, _label)
            pod.metadata.labels |= labels
        return pod

    async def _make_create_pod_request(self, pod: Any, request_timeout: float) -> bool:
        """Ask for the pod. Its name is this start's alone: one that exists already is what an earlier try made."""
        try:
            await asyncio.wait_for(create_pod(self.api, self.namespace, pod), request_timeout)
        except TimeoutError:
            return False
        except ApiException as error:
            if error.status != 409:  # noqa: PLR2004 - HTTP's conflict
                raise
        return True

    async def _start_pod(self, plan: PodPlan, begun: float) -> str:
        starting = asyncio.ensure_future(KubeSpawner._start(self))  # noqa: SLF001 - what its start() runs
        watching = asyncio.ensure_future(self._watch_start(plan, begun))
        try:
            await asyncio.wait({starting, watching}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and not (isinstance(starting.exception(), TimeoutError) and self._pod()):
                starting.result()  # KubeSpawner's patience varies by a tenth: ours says why nothing came
            pod = await watching
            if self.internal_ssl or self.services_enabled or self.after_pod_created_hook:
                await starting
        finally:
            for task in (starting, watching):
                task.cancel()
            await asyncio.gather(starting, watching, return_exceptions=True)
        at, process = started_at(pod), self.platform
        if at is not None and not await process.record(partial(process.factory.meter.started, plan.allocation.id, at), RECORD_SECONDS):
            raise ConflictError("What was held for this server was released meanwhile. Start it again.")
        url = str(self._get_pod_url(pod))
        await self._wait_until_it_answers(url, plan, begun)
        return url

    async def _watch_start(self, plan: PodPlan, begun: float) -> dict[str, Any]:
        """Follow the pod until it runs; give up as soon as that is hopeless."""
        events: list[dict[str, Any]] = []
        looked_at, known = 0.0, None
        while True:
            pod, seconds = self._pod(), time.monotonic() - begun
            if pod is not None and is_running(pod):
                return pod
            if pod is None and known is not None:
                raise StartFailedError("Somebody deleted the session's pod while it started. Start it again.")
            is_time = seconds - looked_at >= EVENT_SECONDS
            if is_time:
                events, looked_at = [*self._own_events(), *await self._claim_events(pod)], seconds
            if is_time or pod is not known:
                self._judge(plan, pod, events, seconds)
            known = pod
            await asyncio.sleep(min(1.0, 0.1 + seconds / 10))

    def _judge(self, plan: PodPlan, pod: dict[str, Any] | None, events: list[dict[str, Any]], seconds: float) -> None:
        """Say what the start does now, or that it is of no use to wait longer."""
        failure = failure_of(pod, events, seconds)
        is_late = seconds > self.start_timeout - GIVE_UP_SECONDS
        if failure is not None and (failure.is_hopeless or is_late):
            raise self._start_failed(failure)
        if is_late:
            raise StartFailedError(f"The session did not start within {int(seconds)} seconds. Try again; a first start may take longer than later ones.")
        self._tell(plan, pod, events, seconds)

    def _tell(self, plan: PodPlan, pod: dict[str, Any] | None, events: list[dict[str, Any]], seconds: float) -> None:
        size = image_bytes_of(events)
        if size:
            _image_sizes[self.image] = size
        wanted = f"{plan.allocation.request.gpus} × {plan.gpu_type.display_name}" if plan.gpu_type else ""
        step = step_of(pod, events, seconds=seconds, wanted=wanted, program=plan.template.display_name, image_bytes=_image_sizes.get(self.image))
        self.enter_stage(step.percent, step.words)

    async def _wait_until_it_answers(self, url: str, plan: PodPlan, begun: float) -> None:
        since = time.monotonic()
        base_path = self.server.base_url if self.server else "/"
        while not await answers(url, base_path):
            waited = time.monotonic() - since
            pod = self._pod()
            self._tell(plan, pod, [], time.monotonic() - begun)
            if exit_status(pod, datetime.now(UTC)) is not None:
                failure = failure_of(pod, (), waited)
                raise self._start_failed(failure) if failure else StartFailedError("The server ended before it answered.")
            if waited > self.http_timeout:
                raise StartFailedError(
                    f"The server did not answer within {self.http_timeout} seconds. Try again; a first start may take longer than later ones."
                )
            await asyncio.sleep(min(0.5, 0.05 + waited / 8))

    def _start_failed(self, failure: Failure) -> StartFailedError:
        self.log.error("The start of %s failed: %s", self._log_name, failure.raw)
        return StartFailedError(failure.sentence)

    def _in_words(self, error: Exception) -> AIPlatformError:
        if isinstance(error, AIPlatformError):
            return error
        if isinstance(error, ApiException):
            body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or error.reason or "")
            self.log.error("The cluster refused a request for %s (%s): %s", self._log_name, error.status, message_of(body))
            return api_refusal(error.status, body)
        self.log.error("The start of %s failed", self._log_name, exc_info=error)
        if isinstance(error, OSError):  # no connection, or no answer in time
            return ServiceUnavailableError(AWAY, retry_after_seconds=5)
        return StartFailedError("The server could not be started. Try again; if it fails again, tell an administrator.")

    # Looking at it

    def _pod(self) -> dict[str, Any] | None:
        """Return the pod as the hub's watch last saw it."""
        pods = self.pod_reflector.pods if self.pod_reflector else {}
        found: dict[str, Any] | None = pods.get(f"{self.namespace}/{self.pod_name}")
        return found

    def _own_events(self) -> list[dict[str, Any]]:
        """Return the pod's events, oldest first; its name is this start's alone."""
        reflector = self.event_reflector
        every = list(reflector.resources.values()) if reflector else []
        mine = [event for event in every if event["involvedObject"].get("name") == self.pod_name]
        return sorted(mine, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    async def current_allocation_id(self) -> UUID | None:
        if self._allocation_id is None:
            await self._start_watching_pods()
            pod = self._find()
            if pod is not None:
                self.namespace = pod["metadata"]["namespace"]
                self._take_names(pod["metadata"]["name"])
            self._allocation_id = (allocation_of(pod) if pod is not None else None) or self._stored_id
        return self._allocation_id

    def _find(self) -> dict[str, Any] | None:
        """Return this server's newest pod, also for a hub that was killed before it stored its name."""
        stored = self._pod()
        if stored is not None and _is_of(stored, self.orm_spawner.id):
            return stored
        mine = [pod for pod in list(self.pod_reflector.pods.values()) if _is_of(pod, self.orm_spawner.id)]
        return max(mine, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)

    async def poll(self) -> int | None:
        """Return None while the pod runs or that is not known, else its exit status. Never raises."""
        if self._is_starting or self._is_refused:
            return 0 if self._is_refused else None
        try:
            await self._start_watching_pods()
            await self.current_allocation_id()
            return exit_status(self._pod(), datetime.now(UTC))
        except Exception:
            self.log.warning("What became of %s is not known just now", self._log_name, exc_info=True)
            return None

    def start_polling(self) -> None:
        """As the hub's, without a timer for each server."""
        if self.poll_interval <= 0:
            super().start_polling()
            return
        self.stop_polling()
        self._poll_callback = rounds_every(self.poll_interval).watch(self)

    def seems_to_run(self) -> bool:
        """Whether a live watch shows a pod that has not ended: what :meth:`poll` would find out."""
        watch = self.pod_reflector
        if self._is_refused or self._allocation_id is None or watch is None or not is_live(watch):
            return False
        return exit_status(watch.pods.get(f"{self.namespace}/{self.pod_name}"), datetime.now(UTC)) is None

    async def session_url(self) -> str | None:
        await self.current_allocation_id()
        pod = self._pod()
        return str(self._get_pod_url(pod)) if pod and is_running(pod) else None

    async def _read_log(self) -> str:
        pod = self._pod()
        states = [status.get("state") or {} for status in ((pod or {}).get("status") or {}).get("containerStatuses") or ()]
        if not any("running" in state or "terminated" in state for state in states):
            return ""
        return printable_tail(await read_log(self.api, self.namespace, self.pod_name, self.k8s_api_request_timeout))

    async def log_tail(self, allocation_id: UUID) -> str:  # noqa: ARG002 - read before the pod was deleted
        return self._log_text

    # Its end

    async def end_session(self, allocation_id: UUID) -> None:  # noqa: ARG002 - one pod for each start
        """Delete the pod and wait until its containers have ended; the pod itself stays until it is metered."""
        try:
            await self._start_watching_pods()
            await self._delete_pod()
        except (ApiException, OSError) as error:
            self.log.exception("The pod of %s could not be deleted", self._log_name)
            raise HTTPError(503, AWAY.replace("started", "stopped")) from error
        until = time.monotonic() + self.delete_grace_period + END_MARGIN_SECONDS
        while exit_status(pod := self._pod(), datetime.now(UTC)) is None and time.monotonic() < until:
            if pod is not None and not pod["spec"].get("nodeName"):
                break  # nothing of it ever ran
            await asyncio.sleep(0.1)

    async def _delete_pod(self) -> None:
        options = V1DeleteOptions(grace_period_seconds=self.delete_grace_period)
        until = time.monotonic() + self.k8s_api_request_retry_timeout
        while not await self._make_delete_pod_request(self.pod_name, options, self.delete_grace_period, self.k8s_api_request_timeout):
            if time.monotonic() > until:
                raise TimeoutError
            await asyncio.sleep(0.5)

    async def settle_session(self, allocation_id: UUID, cause: Any) -> None:
        await self._start_watching_pods()
        await super().settle_session(allocation_id, cause)

    async def run_post_stop_hook(self) -> None:
        await super().run_post_stop_hook()
        pod = self._pod()
        if pod is None or not self.delete_stopped_pods or pod["metadata"].get("deletionTimestamp"):
            return
        with suppress(Exception):  # one that ended by itself; the keeper deletes what stays
            await self._delete_pod()


def _is_of(pod: dict[str, Any], spawner_id: int) -> bool:
    return bool((pod["metadata"].get("labels") or {}).get(SPAWNER_LABEL) == str(spawner_id))


def _label(text: str) -> str:
    return str(safe_slug(text, is_valid=is_valid_label))


def _refused(sentence: str, field: str | None) -> ConflictError:
    return ConflictError(sentence, (Reason(code=ConflictError.code, message=sentence, field=field),))
