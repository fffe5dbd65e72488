"""The same queue with either backend on a real cluster: our own planner, and a real Kueue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from typing import Any
from uuid import UUID

import pytest
import requests

from aiplatform_hub.clients.kubernetes.workloads import workload_name
from aiplatform_hub.config import QueueBackend
from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.queueing import QueueEntry
from tests.cluster.kueue_installation import keeper_account, shipped_queues, workloads
from tests.cluster.machinery.kueue import set_manager
from tests.cluster.platform_stack import ClusterStack
from tests.cluster.small_account import SmallAccount
from tests.support.database import _execute
from tests.support.hub import wait_for

pytestmark = pytest.mark.own_cluster  # Kueue is installed and killed
PEOPLE = ("ana", "ben", "cem", "dan", "eve")
QUEUE = "personal"
MANY = 10**8
"""A priority above those of all sessions."""


class Place:
    """One installation whose GPUs one backend gives out."""

    def __init__(self, stack: ClusterStack, cluster: Any) -> None:
        self.stack, self.cluster = stack, cluster
        self.is_kueue = stack.queue_backend is QueueBackend.KUEUE

    def ask(self, method: str, path: str, user: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"token {self.stack.tokens[user]}"}
        return requests.request(method, f"{self.stack.url}/services/platform/api/v1/{path}", json=body, headers=headers, timeout=30)

    def launch(self, user: str, gpus: int = 2) -> UUID:
        body = {"environment_template": "trivial", "gpus": gpus, "server_name": "s", "if_full": "queue"}
        answer = self.ask("POST", "allocations", user, body)
        assert answer.status_code in {201, 202}, answer.text
        return UUID(answer.json()["id"])

    def stop(self, user: str, id_: UUID) -> None:
        answer = self.ask("DELETE", f"allocations/{id_}", user)
        assert answer.status_code in {200, 202, 204}, answer.text

    def find(self, id_: UUID) -> Allocation:
        return self.stack.find(id_)

    def await_ready(self, id_: UUID, seconds: float = 60) -> Allocation:
        def told() -> str:
            return f"{id_} is ready; it is {self.find(id_)}\n{self.stack.log('keeper')[-3000:]}\n{self.works()}"

        return wait_for(lambda: (a := self.find(id_)).ready_at and a, told, seconds)  # type: ignore[no-any-return]

    def waiting(self) -> dict[str, QueueEntry]:
        """Return who waits, by name, with place and reason."""
        return {self.find(entry.id).user_name: entry for entry in self.stack.factory.queue_desk.entries()}

    def await_waiting(self, codes: Mapping[str, AbstractSet[str]]) -> list[str]:
        """Wait until just these wait with one of these reasons; return them in order."""

        def found() -> list[str] | None:
            now = self.waiting()
            is_so = now.keys() == codes.keys() and all(now[name].reason.code in codes[name] for name in codes)
            return sorted(now, key=lambda name: now[name].position) if is_so else None

        return wait_for(found, lambda: f"{codes}; it is {self.waiting()}\n{self.works()}\n{self.stack.log('keeper')[-3000:]}", 30)  # type: ignore[no-any-return]

    def works(self) -> dict[UUID, dict[str, Any]]:
        """Return our Workloads by allocation, as Kueue has them."""
        return workloads(self.cluster, self.stack.namespace) if self.is_kueue else {}

    def has_quota(self, id_: UUID) -> bool:
        """Whether Kueue has admitted an allocation; where there is no Kueue nobody need ask."""
        if not self.is_kueue:
            return True
        conditions = self.works()[id_].get("status", {}).get("conditions", ())
        return any(each["type"] == "Admitted" and each["status"] == "True" for each in conditions)

    def causes(self, id_: UUID) -> list[str]:
        """Return what has become of an allocation, the last last."""
        with self.stack.factory.database.read() as connection:
            return [event.cause for event in self.stack.factory.allocations.history(connection, id_)]

    def warned_of(self, ids: Iterable[UUID]) -> UUID | None:
        """Return the first of these sessions whose owner is warned that Kueue wants its GPUs back."""
        return next((id_ for id_ in ids if self.causes(id_)[-2:] == ["reclaimed", "release_warned"]), None)

    def restart_keeper(self) -> None:
        self.stack.kill("keeper")
        self.stack.start_program("keeper")

    def clear(self) -> None:
        """Let nothing be open or queued, and no Workload stay."""
        if self.stack.processes["keeper"].poll() is not None:
            self.stack.start_program("keeper")

        def nothing() -> bool:
            with self.stack.factory.database.read() as connection:
                live = self.stack.factory.allocations.live(connection)
            for allocation in (*live.queued, *(a for a in live.open if a.stop_requested_by is None)):
                self.ask("DELETE", f"allocations/{allocation.id}", allocation.user_name)
            return not live.open and not live.queued and not self.stack.pods()

        wait_for(nothing, lambda: f"nothing is open\n{self.stack.log('keeper')[-3000:]}", 60, 0.5)
        wait_for(lambda: not self.works(), lambda: f"no Workload without an allocation\n{self.works()}", 30)


@pytest.fixture(scope="module")
def account(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallAccount]:
    with keeper_account(cluster, "queue-backends", tmp_path_factory.mktemp("account")) as made:
        yield made


@pytest.fixture(scope="module", params=QueueBackend, ids=lambda backend: backend.value)
def installation(request: pytest.FixtureRequest, cluster: Any, make_stack: Any, account: SmallAccount) -> Iterator[Place]:
    if request.param is QueueBackend.KUEUE:
        request.getfixturevalue("kueue")
    stack = make_stack(people=PEOPLE, queue_backend=request.param, kubeconfigs={"keeper": account.kubeconfig})
    with shipped_queues(cluster, stack.namespace) if request.param is QueueBackend.KUEUE else nullcontext():
        yield Place(stack, cluster)


@pytest.fixture
def place(installation: Place) -> Iterator[Place]:
    installation.clear()
    yield installation
    installation.clear()


only_kueue = pytest.mark.parametrize("installation", [QueueBackend.KUEUE], ids=["kueue"], indirect=True)
"""A scene to which the built-in queue has no counterpart."""


TAKEN = frozenset({"capacity", "kueue_quota"})
BEHIND = TAKEN | {"behind_reservation", "kueue", "kueue_behind"}


@pytest.fixture
def full(place: Place) -> dict[str, UUID]:
    """Ana and Ben hold two GPUs each."""
    held = {user: place.launch(user) for user in ("ana", "ben")}
    for id_ in held.values():
        place.await_ready(id_)
    return held


def test_queue_order_withdrawal_change_and_start_when_freed(place, full):
    waiting = {user: place.launch(user) for user in ("cem", "dan", "eve")}
    order = place.await_waiting(dict.fromkeys(waiting, BEHIND))
    if place.is_kueue:
        assert place.works().keys() == {*full.values(), *waiting.values()}
    first, second, third = order
    place.stop(second, waiting[second])
    assert place.ask("PATCH", f"allocations/{waiting[third]}", third, {"gpus": 1}).status_code == 200
    place.await_waiting(dict.fromkeys((first, third), BEHIND))
    place.stop("ana", full["ana"])
    assert len(place.await_ready(waiting[first]).devices) == 2
    assert place.find(waiting[third]).is_queued
    assert place.find(waiting[second]).state is AllocationState.WITHDRAWN
    place.stop("ben", full["ben"])
    assert len(place.await_ready(waiting[third]).devices) == 1
    if place.is_kueue:
        wait_for(lambda: place.works().keys() == {waiting[first], waiting[third]}, "a Workload for each that is open", 20)


def test_keeper_that_dies_between_admission_hold_and_start_loses_nobody(place, full):
    waiting = place.launch("cem")
    place.await_waiting({"cem": TAKEN})
    place.stack.kill("keeper")
    place.stop("ana", full["ana"])
    wait_for(lambda: not place.find(full["ana"]).is_open, "Ana's session is over", 30)
    if place.is_kueue:
        place.cluster.kubectl("delete", "workload", workload_name(full["ana"]), "-n", place.stack.namespace)
        wait_for(lambda: place.has_quota(waiting), "Kueue admits while no keeper is there", 20)
    assert place.find(waiting).is_queued
    place.stack.start_program("keeper")
    wait_for(lambda: not place.find(waiting).is_queued, "it is held", 40, 0.01)
    place.restart_keeper()
    assert place.await_ready(waiting).requeued == 0
    assert len({device for a in place.stack.open_allocations() for device in a.devices}) == 4


@only_kueue
def test_kueue_that_dies_stops_nobody_and_starts_nobody_until_it_is_back(place, full):
    set_manager(place.cluster, is_there=False)
    try:
        waiting = place.launch("cem")
        place.await_waiting({"cem": {"kueue_away"}})
        told = place.ask("GET", f"allocations/{waiting}", "cem").json()
        assert "Kueue does not answer. Running sessions go on" in told["queue"]["reason"]["message"]
        place.await_ready(place.launch("dan", gpus=0))
        assert all(place.stack.answers(user, "s/") for user in full)
        place.stop("ana", full["ana"])
        wait_for(lambda: not place.find(full["ana"]).is_open, "Ana's session is over", 30)
        assert place.find(waiting).is_queued
    finally:
        set_manager(place.cluster, is_there=True)
    place.await_ready(waiting)
    wait_for(lambda: full["ana"] not in place.works(), "no Workload without an allocation", 20)
    assert place.find(full["ben"]).state is AllocationState.ACTIVE


@only_kueue
def test_workloads_deleted_behind_our_back_are_made_again(place, full):
    waiting = place.launch("cem")
    place.await_waiting({"cem": TAKEN})
    before = {id_: item["metadata"]["uid"] for id_, item in place.works().items()}
    place.cluster.kubectl("delete", "workloads", "--all", "-n", place.stack.namespace)

    def are_made_again() -> bool:
        now = {id_: item["metadata"]["uid"] for id_, item in place.works().items()}
        return now.keys() == before.keys() and not set(now.values()) & set(before.values())

    wait_for(are_made_again, lambda: f"they are made again: {place.works()}", 20)
    wait_for(lambda: all(place.has_quota(id_) for id_ in full.values()), lambda: f"those that run come first: {place.works()}", 20)
    assert not place.has_quota(waiting)
    assert all(place.find(id_).state is AllocationState.ACTIVE for id_ in full.values())


@only_kueue
def test_preempted_session_is_warned_stops_and_waits_and_comes_back(place, full):
    place.cluster.kubectl(*PATCH, '{"spec":{"preemption":{"withinClusterQueue":"LowerPriority"}}}')
    _execute(place.stack.database_url, "UPDATE allocations SET started_at = started_at - 3600000000")  # past what the policy guarantees
    try:
        place.cluster.apply(foreign(place.stack.namespace))
        victim = wait_for(lambda: place.warned_of(full.values()), lambda: f"one is warned\n{place.works()}", 40)
        assert place.find(victim).stop_cause is None
        assert place.works().keys() == set(full.values()), "its Workload stays as long as it runs"
        place.restart_keeper()
        _execute(place.stack.database_url, "UPDATE allocation_events SET at = at - 3600000000 WHERE cause IN ('reclaimed', 'release_warned')")
        wait_for(lambda: not place.find(victim).is_open, lambda: f"it gives way\n{place.works()}", 40)
        assert place.find(victim).end_cause is EndCause.PREEMPTED
        (again,) = place.waiting()
        assert full[again] == victim
        wait_for(lambda: is_admitted(place.cluster.get("workload", "foreign", "-n", place.stack.namespace)), "who preempted is admitted", 20)
    finally:
        place.cluster.kubectl("delete", "workload", "foreign", "-n", place.stack.namespace)
        place.cluster.kubectl(*PATCH, '{"spec":{"preemption":{"withinClusterQueue":"Never"}}}')
    returned = wait_for(lambda: next((a for a in place.stack.open_allocations() if a.succeeds == victim), None), "it comes back", 30)
    place.await_ready(returned.id)


@only_kueue
def test_preempted_session_goes_on_when_whoever_preempts_it_goes(place, full):
    place.cluster.kubectl(*PATCH, '{"spec":{"preemption":{"withinClusterQueue":"LowerPriority"}}}')
    _execute(place.stack.database_url, "UPDATE allocations SET started_at = started_at - 3600000000")
    try:
        place.cluster.apply(foreign(place.stack.namespace))
        victim = wait_for(lambda: place.warned_of(full.values()), lambda: f"one is warned\n{place.works()}", 40)
    finally:
        place.cluster.kubectl("delete", "workload", "foreign", "-n", place.stack.namespace)
        place.cluster.kubectl(*PATCH, '{"spec":{"preemption":{"withinClusterQueue":"Never"}}}')
    wait_for(lambda: place.causes(victim)[-1] == "release_called_off", lambda: f"it is called off\n{place.causes(victim)}", 60)
    wait_for(lambda: place.has_quota(victim), lambda: f"it has its quota\n{place.works()}", 20)
    assert place.find(victim).state is AllocationState.ACTIVE


PATCH = ("patch", "clusterqueue", "aiplatform", "--type=merge", "-p")


def foreign(namespace: str) -> dict[str, Any]:
    """Return somebody's Workload that is more important than all sessions."""
    amounts = {"nvidia.com/gpu": "2"}
    pod = {"restartPolicy": "Never", "containers": [{"name": "job", "image": "job", "resources": {"requests": amounts, "limits": amounts}}]}
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {"name": "foreign", "namespace": namespace},
        "spec": {"queueName": QUEUE, "priority": MANY, "podSets": [{"name": "main", "count": 1, "template": {"spec": pod}}]},
    }


def is_admitted(item: Mapping[str, Any]) -> bool:
    return any(each["type"] == "Admitted" and each["status"] == "True" for each in item.get("status", {}).get("conditions", ()))
