"""Kueue's API: our Workloads, places in its queues, and the flavours of its quota."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from aiplatform_hub.clients.kubernetes.access import KubernetesApi, MissingError, MissingRightError, RefusedError
from aiplatform_hub.clients.kubernetes.workloads import SELECTOR, body_of, flavour_of, is_anybody_waiting, positions_of, spec_of, work_of, workload_name
from aiplatform_hub.domain.kueue import Answer, Change, ChangeKind, Phase, Work, warnings
from aiplatform_hub.errors import AIPlatformError, ServiceUnavailableError

KUEUE = "/apis/kueue.x-k8s.io/v1beta2"
VISIBILITY = "/apis/visibility.kueue.x-k8s.io/v1beta2"
ANSWER_SECONDS = 20
"""Longest wait of a thread for Kueue."""
AT_ONCE = 10
"""How many changes are sent at once."""
MOST_POSITIONS = 10_000
"""How many places in a queue are read."""
_LOG = logging.getLogger(__name__)

Json = Mapping[str, Any]
T = TypeVar("T")


class KueueAwayError(ServiceUnavailableError):
    """Kueue does not answer, or does not let us ask: what runs goes on, and nobody new starts."""


class KueueClient:
    """Reads and writes Kueue's objects in one namespace.

    Its methods wait for the event loop that made it, so they are called in other threads.

    Parameters
    ----------
    namespace
        Of the LocalQueues, and so of our Workloads.
    nodes
        Gives the nodes by name, as the API has them.
    """

    def __init__(self, *, api: KubernetesApi, namespace: str, nodes: Callable[[], Mapping[str, Json]]) -> None:
        self._api = api
        self._loop = asyncio.get_running_loop()
        self._here = f"{KUEUE}/namespaces/{namespace}"
        self._visible = f"{VISIBILITY}/namespaces/{namespace}"
        self._nodes = nodes
        self._told: set[str] = set()

    def look(self) -> Answer:
        """Return what Kueue says.

        Raises
        ------
        KueueAwayError
            If it does not say all of it: half an answer would look like an empty queue.
        """
        return self._wait(self._look())

    def carry_out(self, wanted: Sequence[Change]) -> None:
        """Create, change and delete Workloads. What is refused is logged, and is wanted again after the next look.

        Raises
        ------
        KueueAwayError
            If Kueue does not answer; what was done until then is done.
        """
        self._wait(self._carry_out(wanted))

    async def _look(self) -> Answer:
        listed, flavours = await asyncio.gather(
            self._api.get(f"{self._here}/workloads", {"labelSelector": SELECTOR}), self._api.get(f"{KUEUE}/resourceflavors")
        )
        works = {work.id: work for item in listed["items"] if (work := work_of(item)) is not None}
        nodes = self._nodes()
        return Answer(
            works=works,
            positions=await self._positions(works),
            is_anybody_waiting=await self._is_anybody_waiting(works),
            flavours={item["metadata"]["name"]: flavour_of(item, nodes) for item in flavours["items"]},
        )

    async def _positions(self, works: Mapping[UUID, Work]) -> dict[UUID, int]:
        """Return places in the queue. A manager that is away is noticed here at the latest: it alone knows them."""
        queues = sorted({work.asked.queue for work in works.values() if work.phase is Phase.PENDING and work.is_active and work.asked.queue})
        for queue in queues:
            await self._warn(queue)
        try:
            asked = (self._api.get(f"{self._visible}/localqueues/{queue}/pendingworkloads", {"limit": MOST_POSITIONS}) for queue in queues)
            summaries = await asyncio.gather(*asked)
        except (MissingError, MissingRightError, RefusedError) as error:
            self._tell_once(str(error), "Places in Kueue's queue are not known: %s", error)
            return {}
        return positions_of(summaries, works)

    async def _is_anybody_waiting(self, works: Mapping[UUID, Work]) -> bool:
        """Return whether somebody waits in any ClusterQueue; asked only while one of ours is to make room."""
        if not any(work.is_preempted and work.phase is Phase.EVICTED for work in works.values()):
            return True
        try:
            return is_anybody_waiting((await self._api.get(f"{KUEUE}/clusterqueues"))["items"])
        except (MissingRightError, RefusedError) as error:
            self._tell_once(str(error), "Whether a preemption is still needed is not known, so it is carried out: %s", error)
            return True

    async def _warn(self, queue: str) -> None:
        """Say once what of a queue's set-up works against people."""
        if queue in self._told:
            return
        self._told.add(queue)
        try:
            local = await self._api.get(f"{self._here}/localqueues/{queue}")
            name = local["spec"]["clusterQueue"]
            spec = (await self._api.get(f"{KUEUE}/clusterqueues/{name}"))["spec"]
        except MissingError:
            _LOG.warning("There is no LocalQueue %s with a ClusterQueue: what is queued there waits.", queue)
            return
        for sentence in warnings(name, spec):
            self._tell_once(sentence, "%s", sentence)

    async def _carry_out(self, wanted: Sequence[Change]) -> None:
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(change: Change) -> None:
            async with slots:
                await self._send(change)

        for kinds in ({ChangeKind.DELETE}, {ChangeKind.CREATE, ChangeKind.UPDATE}):  # quota first comes free
            results = await asyncio.gather(*(one(change) for change in wanted if change.kind in kinds), return_exceptions=True)
            for problem in results:
                if isinstance(problem, BaseException):
                    raise problem

    async def _send(self, change: Change) -> None:
        path = f"{self._here}/workloads/{workload_name(change.id)}"
        try:
            if change.wish is None:
                await self._api.send("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": change.uid}})
            elif change.kind is ChangeKind.CREATE:
                await self._api.send("POST", f"{self._here}/workloads", body_of(change.wish, change.priority))
            else:
                patch = {"metadata": {"uid": change.uid}, "spec": spec_of(change.wish, change.priority)}
                await self._api.send("PATCH", path, patch, content_type=KubernetesApi.MERGE)
        except MissingError:
            return  # gone, or there already, or another one by now: the next look tells
        except RefusedError as error:
            self._tell_once(f"{change.id} {error}", "Kueue refuses to %s the Workload of %s: %s", change.kind.value, change.id, error)

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
            raise KueueAwayError("Kueue does not answer in time.", retry_after_seconds=5) from error
        except MissingError as error:
            raise KueueAwayError(f"Kueue is not installed in this cluster: {error}", retry_after_seconds=5) from error
        except AIPlatformError as error:
            raise KueueAwayError(f"Kueue does not answer: {error}", retry_after_seconds=5) from error
