"""What the client asks of Kueue's API, by an API that answers from a table."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from aiplatform_hub.clients.kubernetes.access import MissingError, MissingRightError
from aiplatform_hub.clients.kubernetes.workloads import body_of
from aiplatform_hub.clients.kueue import KUEUE, VISIBILITY, KueueClient
from aiplatform_hub.domain.kueue import Answer, Asked, Wish

ID = UUID(int=1)
CLUSTER_QUEUES = f"{KUEUE}/clusterqueues"


class Api:
    """Answers from a table and remembers what it was asked for."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def get(self, path: str, _query: object = None) -> Any:
        self.asked.append(path)
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        return answer


def look(evicted_because: str, cluster_queues: Any, *, has_quota: str = "True") -> tuple[Answer, list[str]]:
    """Look at one Workload, evicted for this reason if there is one; return the answer and what was asked for."""
    conditions = [{"type": name, "status": has_quota, "reason": "x"} for name in ("QuotaReserved", "Admitted")]
    conditions += [{"type": "Evicted", "status": "True", "reason": evicted_because}] if evicted_because else []
    workload = {**body_of(Wish(ID, Asked("q", "nvidia.com/gpu", 1, ""), is_waiting=False), 7), "status": {"conditions": conditions}}
    workload["metadata"]["uid"] = "u"
    table = {f"{KUEUE}/namespaces/n/workloads": {"items": [workload]}, f"{KUEUE}/resourceflavors": {"items": []}, CLUSTER_QUEUES: cluster_queues}
    here = {f"{KUEUE}/namespaces/n/localqueues/q": MissingError("none"), f"{VISIBILITY}/namespaces/n/localqueues/q/pendingworkloads": {"items": []}}
    api = Api({**table, **here})

    async def ask() -> Answer:
        client = KueueClient(api=api, namespace="n", nodes=dict)  # type: ignore[arg-type]
        return await asyncio.to_thread(client.look)

    return asyncio.run(ask()), api.asked


@pytest.mark.parametrize(("pending", "is_anybody_waiting"), [(0, False), (1, True)])
def test_who_waits_is_asked_while_one_of_ours_is_preempted(pending: int, is_anybody_waiting: bool) -> None:
    answer, asked = look("Preempted", {"items": [{"status": {"pendingWorkloads": pending}}]})
    assert (answer.is_anybody_waiting, CLUSTER_QUEUES in asked) == (is_anybody_waiting, True)


@pytest.mark.parametrize(("reason", "has_quota"), [("", "True"), ("ClusterQueueStopped", "True"), ("Preempted", "False")])
def test_who_waits_is_not_asked_otherwise(reason: str, has_quota: str) -> None:
    answer, asked = look(reason, {"items": []}, has_quota=has_quota)
    assert (answer.is_anybody_waiting, CLUSTER_QUEUES in asked) == (True, False)


def test_where_the_right_is_missing_a_preemption_is_carried_out() -> None:
    assert look("Preempted", MissingRightError("no"))[0].is_anybody_waiting
