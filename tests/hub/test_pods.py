"""From an allocation to a pod: whole manifests, whatever the operator set and whatever came before."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from kubernetes_asyncio.client import ApiClient
from kubespawner.objects import make_pod
from kubespawner.slugs import safe_slug

from aiplatform_hub import __version__
from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.catalog import GpuType, NodePool
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.hub.pods import MERGED, NCCL_ON_ONE_NODE, PodPlan, image_of, pod_environment, pod_metadata, pod_name, pod_traits, start_seconds

GOLDEN = Path(__file__).parents[1] / "data" / "pods"
TEMPLATES = load_catalog().environment_templates
A100 = GpuType("a100", "A100", ("a100",))
MIG = GpuType("mig", "MIG", (), resource="nvidia.com/mig-1g.10gb")
POOL = NodePool(
    name="spot",
    display_name="Spot",
    gpu_type="a100",
    gpus_per_node=4,
    max_nodes=2,
    minutes_to_start=6,
    node_selector={"pool": "spot"},
    memory_gib=64,
    cpu_cores=8,
)
OPERATORS: dict[str, Any] = {
    "cpu_guarantee": 2,
    "extra_resource_limits": {"nvidia.com/gpu": 8, "ephemeral-storage": "10Gi"},
    "node_affinity_required": [
        {"matchExpressions": [{"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}]},
        {"matchExpressions": [{"key": "mine", "operator": "Exists"}]},
    ],
    "node_affinity_preferred": [{"weight": 7, "preference": {"matchExpressions": [{"key": "mine", "operator": "Exists"}]}}],
    "tolerations": [{"key": "mine", "operator": "Exists"}],
    "volumes": {"home": {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}},
    "volume_mounts": {"home": {"name": "home", "mountPath": "/home/jovyan"}},
    "extra_pod_config": {"dnsPolicy": "Default"},
}


def plan(gpus: int = 0, **values: Any) -> PodPlan:
    template = values.pop("template", TEMPLATES["pytorch"])
    kind = values.pop("gpu_type", A100 if gpus else None)
    request = LaunchRequest(template.name, gpus, kind.name if kind else None, 16 * GIB, 4, "personal", "default")
    allocation = Allocation(
        id=UUID(int=0x1234 << 112),
        user_id=7,
        user_name="ada",
        server_name="train",
        spawner_id=3,
        request=request,
        state=AllocationState.HELD,
        devices=(),
        door="hub",
        actor="ada",
        requested_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return PodPlan(allocation, template, gpu_type=kind, image_prefix="registry.example.org/x/", **values)


def manifest(of: PodPlan) -> dict[str, Any]:
    traits = pod_traits(of)
    security = {key: traits.pop(key) for key in ("container_security_context", "pod_security_context")}
    labels, finalizers = pod_metadata(of.allocation, 3, safe_slug)
    pod = make_pod(
        name=pod_name("jupyter-ada--train", of.allocation), port=8888, image_pull_policy="IfNotPresent", env=pod_environment(of), labels=labels,
        uid=1000, gid=1000, fs_gid=1000, allow_privilege_escalation=False, **security, **traits,
    )  # fmt: skip
    pod.metadata.finalizers = finalizers
    return json.loads(json.dumps(ApiClient.sanitize_for_serialization(ApiClient.__new__(ApiClient), pod)).replace(__version__, "VERSION"))  # type: ignore[no-any-return]


CASES = {
    "cpu-only": plan(),
    "two-gpus": plan(2, node="gpu-node-1", product_name="NVIDIA-A100-SXM4-80GB", whole_cpus_from_gpus=2),
    "waiting-for-a-node": plan(1, node_pool=POOL),
    "mig": plan(1, gpu_type=MIG, node="n", gpu_resources=frozenset({"nvidia.com/gpu", MIG.resource})),
    "read-only-root": plan(is_root_read_only=True),
    "operators-own": plan(1, node="n", operators=OPERATORS),
    "operators-own-without-gpus": plan(operators=OPERATORS),
}


@pytest.mark.parametrize("name", list(CASES))
def test_whole_manifest(name: str) -> None:
    path = GOLDEN / f"{name}.json"
    text = json.dumps(manifest(CASES[name]), indent=1, sort_keys=True) + "\n"
    assert text == path.read_text()


def test_every_key_is_set_in_every_start() -> None:
    keys = [set(pod_traits(case)) for case in CASES.values()]
    assert all(found == keys[0] for found in keys)
    assert set(MERGED) <= keys[0]


def test_the_operators_values_are_not_changed() -> None:
    before = json.dumps(OPERATORS)
    pod_traits(CASES["operators-own"])
    assert json.dumps(OPERATORS) == before


def test_gpus_are_never_the_operators_to_give() -> None:
    traits = pod_traits(plan(0, operators=OPERATORS))
    assert traits["extra_resource_limits"] == {"nvidia.com/gpu": "0", "ephemeral-storage": "10Gi"}


def test_the_node_is_part_of_each_of_the_operators_terms() -> None:
    terms = pod_traits(CASES["operators-own"])["node_affinity_required"]
    assert len(terms) == 2
    assert all(term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["n"]}] for term in terms)


def test_shared_memory_is_never_more_than_the_memory() -> None:
    from dataclasses import replace

    large = plan(template=replace(TEMPLATES["pytorch"], shared_memory_gib=64))
    assert pod_traits(large)["volumes"][0]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16384Mi"}


def test_without_gpus_none_is_shown_and_with_gpus_the_device_plugin_decides() -> None:
    assert pod_environment(plan())["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert "NVIDIA_VISIBLE_DEVICES" not in pod_environment(plan(1))


def test_ranks_of_one_node_meet_over_the_loopback_unless_the_environment_says_otherwise() -> None:
    from dataclasses import replace

    assert pod_environment(plan(2)).items() >= NCCL_ON_ONE_NODE.items()
    assert not pod_environment(plan(1)).keys() & NCCL_ON_ONE_NODE.keys()
    own = replace(TEMPLATES["pytorch"], environment={"NCCL_SOCKET_IFNAME": "eth0", "AIPLATFORM_GPUS": "9"})
    assert pod_environment(plan(2, template=own)).items() >= {"NCCL_SOCKET_IFNAME": "eth0", "AIPLATFORM_GPUS": "2"}.items()


@pytest.mark.parametrize(("gpus", "cores"), [(0, 0.5), (1, 0.5), (2, 4.0), (4, 4.0)])
def test_with_several_gpus_a_session_has_its_cores_for_itself(gpus: int, cores: float) -> None:
    resources = manifest(plan(gpus, node="n" if gpus else None, whole_cpus_from_gpus=2))["spec"]["containers"][0]["resources"]
    is_guaranteed = all(resources["requests"][key] == resources["limits"][key] for key in ("cpu", "memory"))
    assert (float(resources["requests"]["cpu"]), is_guaranteed) == (cores, gpus > 1)
    assert pod_traits(plan(gpus))["cpu_guarantee"] == 0.5  # unless the operator wants so


@pytest.mark.parametrize(("theirs", "cores"), [(0, 0.0), (1.5, 1.5), (64, 4.0)])
def test_cpu_that_the_operator_guarantees_is_what_counts_and_never_over_the_limit(theirs: float, cores: float) -> None:
    assert [pod_traits(plan(gpus, operators={"cpu_guarantee": theirs}))["cpu_guarantee"] for gpus in (0, 2)] == [cores, cores]


def test_without_gpus_nodes_that_have_some_are_avoided_but_never_ruled_out() -> None:
    traits = pod_traits(plan(gpu_labels=frozenset({"nvidia.com/gpu.product", "amd.com/gpu.product-name"})))
    (term,) = traits["node_affinity_preferred"]
    assert {e["key"]: e["operator"] for e in term["preference"]["matchExpressions"]} == dict.fromkeys(
        ("amd.com/gpu.product-name", "nvidia.com/gpu.present", "nvidia.com/gpu.product"), "DoesNotExist"
    )
    assert traits["node_affinity_required"] == []
    assert pod_traits(plan(1, node="n"))["node_affinity_preferred"] == []


@pytest.mark.parametrize(
    ("container_image", "image"),
    [("a/b", "a/b"), ("b:1", "b:1"), ("b", f"p/b:{__version__}"), (None, f"p/pytorch:{__version__}")],
)
def test_image_of_a_template(container_image: str | None, image: str) -> None:
    from dataclasses import replace

    assert image_of(replace(TEMPLATES["pytorch"], container_image=container_image), "p/") == image


def test_names_differ_by_start_and_fit() -> None:
    name = pod_name("jupyter-" + "x" * 80, plan().allocation)
    assert len(name) <= 63
    assert name.endswith("-12340000")


def test_a_start_may_wait_for_the_slowest_pools_node() -> None:
    from dataclasses import replace

    assert start_seconds(()) == 600
    assert start_seconds((POOL, replace(POOL, minutes_to_start=2))) == 720
