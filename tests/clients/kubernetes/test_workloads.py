"""A Workload of the API, to and from what is meant by it."""

from __future__ import annotations

from uuid import UUID

import pytest

from aiplatform_hub.clients.kubernetes.workloads import body_of, flavour_of, is_anybody_waiting, positions_of, work_of, workload_name
from aiplatform_hub.domain.kueue import Asked, Flavour, Phase, Wish

ID = UUID("5d0f6f5e-0000-4000-8000-000000000001")
ASKED = Asked("vision", "nvidia.com/gpu", 2, "nvidia.com/gpu.product", ("NVIDIA-A100", "NVIDIA-A100-SXM4"))
WISH = Wish(ID, ASKED, is_waiting=True)


def item(*conditions: tuple[str, str], asked: Asked = ASKED, **status: object) -> dict:
    body = body_of(Wish(ID, asked, is_waiting=True), 7)
    body["metadata"]["uid"] = "u"
    listed = [{"type": name, "status": value, "reason": "Pending", "message": "no room"} for name, value in conditions]
    return {**body, "status": {"conditions": listed, **status}}


def test_a_workload_asks_for_gpus_of_the_type_alone() -> None:
    amounts = {"nvidia.com/gpu": "2"}
    assert body_of(WISH, 7) == {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {"name": f"session-{ID}", "labels": {"app.kubernetes.io/managed-by": "aiplatform-hub", "aiplatform-hub/allocation": str(ID)}},
        "spec": {
            "queueName": "vision",
            "active": True,
            "priority": 7,
            "podSets": [
                {
                    "name": "session",
                    "count": 1,
                    "template": {
                        "spec": {
                            "restartPolicy": "Never",
                            "containers": [{"name": "notebook", "image": "aiplatform-hub", "resources": {"requests": amounts, "limits": amounts}}],
                            "tolerations": [
                                {"key": "hub.jupyter.org/dedicated", "operator": "Equal", "value": "user", "effect": "NoSchedule"},
                                {"key": "hub.jupyter.org_dedicated", "operator": "Equal", "value": "user", "effect": "NoSchedule"},
                                {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
                            ],
                            "affinity": {
                                "nodeAffinity": {
                                    "requiredDuringSchedulingIgnoredDuringExecution": {
                                        "nodeSelectorTerms": [
                                            {
                                                "matchExpressions": [
                                                    {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-A100", "NVIDIA-A100-SXM4"]}
                                                ]
                                            }
                                        ]
                                    }
                                }
                            },
                        }
                    },
                }
            ],
        },
    }


@pytest.mark.parametrize("asked", [ASKED, Asked("q", "nvidia.com/mig-1g.10gb", 1, "")])
def test_what_was_asked_is_read_back(asked: Asked) -> None:
    found = work_of(item(asked=asked))
    assert found is not None
    assert (found.id, found.uid, found.asked, found.priority, found.is_active, found.phase) == (ID, "u", asked, 7, True, Phase.PENDING)


PHASES = [
    ((), Phase.PENDING),
    ((("QuotaReserved", "False"),), Phase.PENDING),
    ((("QuotaReserved", "True"),), Phase.RESERVED),
    ((("QuotaReserved", "True"), ("Admitted", "True")), Phase.ADMITTED),
    ((("QuotaReserved", "True"), ("Admitted", "True"), ("Evicted", "False")), Phase.ADMITTED),
    ((("QuotaReserved", "True"), ("Admitted", "True"), ("Evicted", "True"), ("Preempted", "True")), Phase.EVICTED),
    ((("QuotaReserved", "False"), ("Evicted", "True")), Phase.PENDING),
]


@pytest.mark.parametrize(("conditions", "phase"), PHASES)
def test_conditions_are_a_phase(conditions: tuple[tuple[str, str], ...], phase: Phase) -> None:
    found = work_of(item(*conditions))
    assert found is not None
    assert found.phase is phase


@pytest.mark.parametrize(
    ("status", "reason", "is_preempted"), [("True", "Preempted", True), ("True", "ClusterQueueStopped", False), ("False", "Preempted", False)]
)
def test_preempted_is_told_from_drained(status: str, reason: str, is_preempted: bool) -> None:
    evicted = item(("QuotaReserved", "True"), ("Admitted", "True"), ("Evicted", status))
    evicted["status"]["conditions"][-1]["reason"] = reason
    found = work_of(evicted)
    assert found is not None
    assert found.is_preempted is is_preempted


def test_somebody_waits_where_any_queue_says_so() -> None:
    assert is_anybody_waiting([{"status": {"pendingWorkloads": 0}}, {"status": {"pendingWorkloads": 1}}])
    assert not is_anybody_waiting([{"status": {"pendingWorkloads": 0}}, {"metadata": {}}])


def test_why_and_flavour_are_kueues_words() -> None:
    waiting, admitted = (
        work_of(item(("QuotaReserved", "False"))),
        work_of(item(("QuotaReserved", "True"), admission={"podSetAssignments": [{"name": "session", "flavors": {"nvidia.com/gpu": "a100"}}]})),
    )
    assert waiting is not None
    assert admitted is not None
    assert (waiting.why, admitted.why, admitted.flavour) == ("Pending: no room", "", "a100")


def test_what_is_not_ours_or_not_as_we_wrote_it_is_no_crash() -> None:
    strange = item()
    strange["spec"]["podSets"] = []
    found = work_of(strange)
    assert found is not None
    assert found.asked.gpus == 0
    assert work_of({"metadata": {"uid": "u", "labels": {}}}) is None
    assert work_of({"metadata": {"uid": "u", "labels": {"aiplatform-hub/allocation": "x"}}}) is None


def test_places_are_those_of_ours() -> None:
    summary = {
        "items": [{"metadata": {"name": "somebody's"}, "positionInClusterQueue": 0}, {"metadata": {"name": workload_name(ID)}, "positionInClusterQueue": 1}]
    }
    assert positions_of([summary, {"items": None}], [ID]) == {ID: 1}


def test_a_flavour_has_the_nodes_with_its_labels() -> None:
    nodes = {"n1": {"metadata": {"labels": {"a": "1", "b": "2"}}}, "n2": {"metadata": {"labels": {"a": "1"}}}, "n3": {"metadata": {}}}
    assert flavour_of({"spec": {"nodeLabels": {"a": "1", "b": "2"}}}, nodes) == Flavour({"a": "1", "b": "2"}, frozenset({"n1"}))
    assert flavour_of({"spec": {}}, nodes).nodes == frozenset(nodes)
