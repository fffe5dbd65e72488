"""GPUs of a cluster are slots of its nodes: what counts, what is leased, what an autoscaler may still start."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.catalog import GpuType, NodePool, gpu_type_of
from aiplatform_hub.domain.cluster import slot_of, slots_of
from aiplatform_hub.domain.nodes import NodeView, foreign_gpus, node_view, quantity
from aiplatform_hub.domain.units import GIB

GPU = "nvidia.com/gpu"
MIG = "nvidia.com/mig-1g.10gb"
TYPES = {
    "a100": GpuType("a100", "NVIDIA A100", ("nvidia a100",)),
    "a100-mig": GpuType("a100-mig", "A100 slice", ("a100 sxm4 80gb mig 1g.10gb",)),
    "slice": GpuType("slice", "10 GB slice", resource=MIG),
    "mi300x": GpuType("mi300x", "AMD MI300X", ("mi300x",), "amd.com/gpu", "amd.com/gpu.product-name"),
    "other": GpuType("other", "Other"),
    "simulated": GpuType("simulated", "Simulated"),
}
PRODUCT = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.memory": "81920"}


def node(name="n1", gpus=4, allocatable=None, *, labels=PRODUCT, is_ready=True, is_schedulable=True, resource=GPU):
    works = gpus if allocatable is None else allocatable
    return NodeView(name, is_ready, is_schedulable, {resource: gpus}, {resource: works}, labels, 64 * GIB, 16)


def pool(name="spot", *, max_nodes=2, gpus=4, labels=None):
    return NodePool(name, "Spot nodes", "a100", gpus, max_nodes, 6, labels or {"pool": name}, memory_gib=100, cpu_cores=8)


def slots(*nodes, foreign=None, leased=(), pools=()):
    return slots_of(nodes, foreign_gpus=foreign or {}, leased=leased, gpu_types=TYPES, node_pools={p.name: p for p in pools})


def ids(devices):
    return [device.uuid for device in devices]


def test_slots_name_node_resource_and_index():
    capacity = slots(node(gpus=2))
    assert ids(capacity.present) == ["n1/nvidia.com/gpu/0", "n1/nvidia.com/gpu/1"]
    first = capacity.present[0]
    assert (first.gpu_type, first.node, first.node_pool, first.index, first.is_healthy) == ("a100", "n1", None, 0, True)
    assert (first.product_name, first.memory_bytes) == ("NVIDIA-A100-SXM4-80GB", 80 * GIB)
    slot = slot_of(first.uuid)
    assert (slot.host, slot.resource, slot.index, slot.node, slot.node_pool) == ("n1", GPU, 0, "n1", None)
    assert (capacity.memory_bytes, capacity.cpu_cores, capacity.absent) == (64 * GIB, 16, ())


@pytest.mark.parametrize("uuid", ["GPU-1234", "GPU-SIM-1-2", "n1/x", "n1//", "n1/nvidia.com/gpu/x", ""])
def test_gpu_of_a_machine_is_no_slot(uuid):
    assert slot_of(uuid) is None


def test_broken_gpus_are_what_is_not_allocatable():
    capacity = slots(node(gpus=4, allocatable=3))
    assert [device.is_healthy for device in capacity.present] == [True, True, True, False]


def test_broken_gpu_never_takes_a_leased_slot_while_others_are_left():
    capacity = slots(node(gpus=4, allocatable=2), leased=["n1/nvidia.com/gpu/3"])
    assert {device.index: device.is_healthy for device in capacity.present} == {0: True, 3: True, 1: False, 2: False}


@pytest.mark.parametrize("state", [{"is_ready": False}, {"is_schedulable": False}])
def test_node_that_takes_no_pods_gives_nothing(state):
    capacity = slots(node(**state))
    assert [device.is_healthy for device in capacity.present] == [False] * 4


def test_memory_is_of_nodes_that_take_pods_and_of_silent_ones_only_while_all_are_silent():
    assert slots(node(is_schedulable=False)).memory_bytes == 0
    assert slots(node(is_ready=False)).memory_bytes == 64 * GIB
    assert slots(node(), node("n2", is_ready=False)).memory_bytes == 64 * GIB


def test_foreign_pods_take_the_highest_slots_and_never_leased_ones():
    capacity = slots(node(), foreign={("n1", GPU): 2}, leased=["n1/nvidia.com/gpu/3"])
    assert ids(capacity.present) == ["n1/nvidia.com/gpu/0", "n1/nvidia.com/gpu/3"]
    assert ids(capacity.absent) == ["n1/nvidia.com/gpu/1", "n1/nvidia.com/gpu/2"]


def test_leased_slots_count_even_where_a_node_has_promised_too_much():
    leased = [f"n1/nvidia.com/gpu/{index}" for index in (0, 1, 4)]
    capacity = slots(node(gpus=2), foreign={("n1", GPU): 2}, leased=leased)
    assert set(ids(capacity.present)) == set(leased)


def test_type_follows_the_product_label_and_the_resource():
    amd = node("amd", 2, labels={"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}, resource="amd.com/gpu")
    unknown = node("new", 1, labels={"nvidia.com/gpu.product": "NVIDIA-X9000"})
    bare = node("bare", 1, labels={})
    mig = node("mig", 7, resource=MIG)
    types = {device.node: device.gpu_type for device in slots(amd, unknown, bare, mig, node()).present}
    assert types == {"amd": "mi300x", "new": "other", "bare": "other", "mig": "slice", "n1": "a100"}


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        ("NVIDIA-A100-SXM4-80GB", "a100"),
        ("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", "a100-mig"),
        ("NVIDIA-A100-PCIE-40GB-MIG-1g.5gb", "other"),
        ("NVIDIA-A100-SXM4-80GB-SHARED", "other"),
    ],
)
def test_part_of_a_gpu_is_never_a_whole_one(product, expected):
    assert gpu_type_of(product, TYPES) == expected


def test_pool_offers_the_nodes_that_may_still_start():
    mine = node("spot-1", labels={**PRODUCT, "pool": "spot"})
    capacity = slots(mine, pools=[pool(max_nodes=3)])
    virtual = [device for device in capacity.present if device.node_pool]
    assert ids(virtual) == [f"spot+{k}/nvidia.com/gpu/{i}" for k in (0, 1) for i in range(4)]
    assert {(d.node, d.node_pool, d.gpu_type, d.product_name) for d in virtual} == {(None, "spot", "a100", "Spot nodes")}
    assert slot_of(virtual[0].uuid).node_pool == "spot"
    assert (capacity.memory_bytes, capacity.cpu_cores) == ((64 + 2 * 100) * GIB, 16 + 2 * 8)


def test_pool_that_is_full_offers_nothing():
    nodes = [node(f"spot-{i}", labels={**PRODUCT, "pool": "spot"}) for i in range(3)]
    assert not [device for device in slots(*nodes, pools=[pool()]).present if device.node_pool]


def test_node_that_just_started_is_kept_for_those_who_wait_for_it():
    leased = ["spot+0/nvidia.com/gpu/0", "spot+0/nvidia.com/gpu/1", "spot+0/nvidia.com/gpu/2"]
    capacity = slots(node("spot-1", labels={**PRODUCT, "pool": "spot"}), leased=leased, pools=[pool(max_nodes=1)])
    assert set(ids(capacity.present)) == {*leased, "spot-1/nvidia.com/gpu/0"}
    assert ids(capacity.absent) == [f"spot-1/nvidia.com/gpu/{index}" for index in (1, 2, 3)]


def test_leased_slots_of_a_starting_node_leave_the_rest_of_it():
    capacity = slots(leased=["spot+1/nvidia.com/gpu/0"], pools=[pool(max_nodes=1)])
    assert ids(capacity.present) == [f"spot+1/nvidia.com/gpu/{index}" for index in range(4)]


def test_leased_slots_stay_when_the_pool_shrinks():
    assert ids(slots(leased=["spot+1/nvidia.com/gpu/0"], pools=[pool(max_nodes=0)]).present) == ["spot+1/nvidia.com/gpu/0"]


@st.composite
def clusters(draw):
    nodes, foreign, leased = [], {}, set()
    for number in range(draw(st.integers(0, 4))):
        gpus = draw(st.integers(0, 8))
        labels = {**PRODUCT, **({"pool": "spot"} if draw(st.booleans()) else {})}
        name = f"n{number}"
        nodes.append(node(name, gpus, draw(st.integers(0, gpus)), labels=labels, is_ready=draw(st.booleans()), is_schedulable=draw(st.booleans())))
        foreign[name, GPU] = draw(st.integers(0, 9))
        leased |= {f"{name}/{GPU}/{i}" for i in draw(st.sets(st.integers(0, 9), max_size=4))}
    leased |= {f"spot+{k}/{GPU}/{i}" for k, i in draw(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=5))}
    return nodes, foreign, leased, pool(max_nodes=draw(st.integers(0, 4)))


@given(clusters())
def test_slots_are_never_double_and_free_ones_really_exist(cluster):
    nodes, foreign, leased, spot = cluster
    capacity = slots(*nodes, foreign=foreign, leased=leased, pools=[spot])
    everything = ids(capacity.present) + ids(capacity.absent)
    assert len(everything) == len(set(everything))
    assert not set(ids(capacity.absent)) & leased
    for one in nodes:
        total, works = one.capacity[GPU], one.allocatable[GPU] if one.is_usable else 0
        mine = [device for device in capacity.present if device.node == one.name]
        free = [device for device in mine if device.is_healthy and device.uuid not in leased]
        held = sum(uuid.startswith(f"{one.name}/") for uuid in leased)
        assert len(free) <= max(0, works - foreign[one.name, GPU] - held)
        if total:
            assert held == sum(device.uuid in leased for device in mine)
    running = sum(one.labels.get("pool") == "spot" for one in nodes)
    whole = {device.uuid.split("/")[0] for device in capacity.present if device.node_pool and device.uuid not in leased}
    assert len(whole) <= max(0, spot.max_nodes - running)
    assert {uuid for uuid in leased if uuid.startswith("spot+")} <= set(ids(capacity.present))


RAW = {
    "metadata": {"name": "n1", "labels": PRODUCT},
    "spec": {},
    "status": {
        "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
        "capacity": {"cpu": "16", "memory": "65536Mi", GPU: "4", "pods": "110"},
        "allocatable": {"cpu": "15890m", "memory": "64Gi", GPU: "3", "pods": "110"},
    },
}


def test_node_is_read_from_the_api():
    assert node_view(RAW) == NodeView("n1", True, True, {GPU: 4}, {GPU: 3}, PRODUCT, 64 * GIB, 15)


@pytest.mark.parametrize("status", ["False", "Unknown", None])
def test_node_is_ready_only_if_it_says_so(status):
    conditions = [] if status is None else [{"type": "Ready", "status": status}]
    assert not node_view({**RAW, "status": {**RAW["status"], "conditions": conditions}}).is_ready


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"unschedulable": True}, False),
        ({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]}, True),
        ({"taints": [{"key": "hub.jupyter.org/dedicated", "value": "user", "effect": "NoSchedule"}]}, True),
        ({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "PreferNoSchedule"}]}, True),
    ],
)
def test_node_that_is_cordoned_or_for_others_takes_no_pods(spec, expected):
    assert node_view({**RAW, "spec": spec}).is_schedulable is expected


def test_node_that_reported_nothing_yet_has_nothing():
    view = node_view({"metadata": {"name": "new"}})
    assert (view.is_ready, view.capacity, view.memory_bytes, view.cpu_cores) == (False, {}, 0, 0)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2),
        ("1.5", "1.5"),
        ("250m", "0.25"),
        ("16Gi", 16 * GIB),
        ("1e3", 1000),
        ("2E", 2 * 10**18),
        ("129M", 129 * 10**6),
        ("1Ki", 1024),
        ("5n", "0.000000005"),
        (4, 4),
    ],
)
def test_quantities(text, number):
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1GB", "1ki", "--1", "1e", "٣"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="quantity"):
        quantity(text)


def pod(allocation=None, *, node="n1", phase="Running", gpus=(1,), first=()):
    containers = [[{"resources": {"limits": {GPU: str(amount), "memory": "1Gi"}}} for amount in amounts] for amounts in (gpus, first)]
    labels = {"aiplatform-hub/allocation": allocation} if allocation else None
    return {
        "metadata": {"labels": labels},
        "spec": {"nodeName": node, "containers": containers[0], "initContainers": containers[1]},
        "status": {"phase": phase},
    }


def test_foreign_pods_are_those_of_no_open_session():
    pods = [pod(), pod("open"), pod("closed", gpus=(2,)), pod(node=None), pod(phase="Failed"), pod(phase="Succeeded"), pod(node="n2", gpus=(1, 1), first=(3,))]
    assert foreign_gpus(pods, {"open"}) == {("n1", GPU): 3, ("n2", GPU): 3}
    assert foreign_gpus([{"metadata": {}, "spec": {"nodeName": "n1", "containers": [{}]}}], ()) == {}
