"""A session is on one node: what no single node has is refused, however much all of them have together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from domain_values import ALICE, CATALOG, request, template, user_limit
from hypothesis import given
from hypothesis import strategies as st
from test_cluster_decision import cluster

from aiplatform_hub.domain.catalog import GpuType, NodePool, Range
from aiplatform_hub.domain.cluster import slots_of
from aiplatform_hub.domain.node_shapes import Need, NodeShape, oversizes, shapes_of, values_of, widest
from aiplatform_hub.domain.nodes import NodeView
from aiplatform_hub.domain.quota import Observed, decide
from aiplatform_hub.domain.supply import catalog_warnings, impossible_templates
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.operations.decision_inputs import DecisionInputs, from_json, to_json

GPU = "nvidia.com/gpu"
TYPES = {"h100": GpuType("h100", "NVIDIA H100", ("h100",))}
LARGE, GPUS = NodeShape(64 * GIB, 8), NodeShape(16 * GIB, 32, (("h100", 2),))
CAPACITY = replace(cluster({"a": (2, 0)}), shapes=(LARGE, GPUS))


def wanted(gpus, memory_gib, cores):
    return replace(request(gpus, gpu_type="h100"), memory_bytes=memory_gib * GIB, cpu_cores=cores)


def decided(gpus, memory_gib, cores, capacity=CAPACITY, limits=()):
    return decide(wanted(gpus, memory_gib, cores), ALICE, limits, (), capacity, Observed())


@pytest.mark.parametrize(
    ("gpus", "memory_gib", "cores", "message", "remedies"),
    [
        (0, 200, 1, "No node has 200 GiB of memory; the largest has 64 GiB.", ("Choose at most 64 GiB of memory.",)),
        (0, 1, 33, "No node has 33 CPU cores; the largest has 32.", ("Choose at most 32 CPU cores.",)),
        (1, 60, 1, "No node with 1 × NVIDIA H100 has 60 GiB of memory; the largest has 16 GiB.", ("Choose at most 16 GiB of memory.",)),
        (0, 60, 16, "No node with 16 CPU cores has 60 GiB of memory; the largest has 16 GiB.", ("Choose at most 16 GiB of memory.",)),
        (2, 200, 1, "No node with 2 × NVIDIA H100 has 200 GiB of memory; the largest has 16 GiB.", ("Choose at most 16 GiB of memory.",)),
    ],
)
def test_more_than_the_largest_node_has_is_refused(gpus, memory_gib, cores, message, remedies):
    assert memory_gib * GIB <= CAPACITY.memory_bytes  # all nodes together have it
    decision = decided(gpus, memory_gib, cores)
    (reason,) = decision.reasons
    assert (decision.error_code, reason.scope, reason.message, reason.remedies) == ("quota_exceeded", "machine", message, remedies)


@pytest.mark.parametrize(("gpus", "memory_gib", "cores"), [(0, 64, 8), (0, 16, 32), (2, 16, 32), (0, 1, 1)])
def test_what_one_node_has_is_admitted(gpus, memory_gib, cores):
    assert decided(gpus, memory_gib, cores).is_admitted


def test_both_are_told_where_both_are_too_much():
    assert [reason.dimension for reason in decided(0, 200, 33).reasons] == ["memory_bytes", "cpu_cores"]


def test_gpus_are_greyed_only_where_their_node_is_what_is_too_small():
    assert decided(1, 60, 1).impossible_because == "No node with 1 × NVIDIA H100 has 60 GiB of memory; the largest has 16 GiB."
    assert decided(0, 200, 1).impossible_because == ""  # fewer GPUs do not help
    assert decided(1, 200, 1).impossible_because == ""


def test_the_persons_own_limit_is_told_too():
    limits = (user_limit("memory_bytes", 32 * GIB),)
    assert [reason.scope for reason in decided(0, 200, 1, limits=limits).reasons] == ["user:alice", "machine"]


def test_where_no_nodes_are_known_only_the_sums_count():
    assert decided(0, 200, 33, capacity=replace(CAPACITY, shapes=())).is_admitted


def test_a_decision_replays_from_its_json():
    inputs = DecisionInputs(wanted(1, 60, 1), ALICE, (), (), CAPACITY, Observed())
    stored = to_json(inputs)
    assert from_json(stored).decide() == inputs.decide()
    del stored["capacity"]["shapes"]  # as earlier versions stored it
    assert from_json(stored).decide().is_admitted


def node(name, memory_gib, cores, gpus=0, *, is_ready=True, is_schedulable=True):
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"} if gpus else {}
    return NodeView(name, is_ready, is_schedulable, {GPU: gpus}, {GPU: gpus}, labels, memory_gib * GIB, cores)


def shapes(*nodes, pools=()):
    return slots_of(nodes, foreign_gpus={}, leased=(), gpu_types=TYPES, node_pools={pool.name: pool for pool in pools}).shapes


def test_the_largest_usable_nodes_are_kept():
    assert shapes(node("a", 64, 8), node("b", 63, 8), node("c", 16, 32, 2)) == (LARGE, GPUS)
    assert shapes(node("a", 64, 8, is_ready=False), node("b", 32, 8)) == (NodeShape(32 * GIB, 8),)
    assert shapes(node("a", 64, 8, is_schedulable=False), node("b", 32, 8)) == (NodeShape(32 * GIB, 8),)
    assert shapes(node("a", 64, 8, is_ready=False)) == (LARGE,)  # all silent: nothing has become impossible
    assert shapes() == ()


def test_nodes_that_may_still_start_count_by_what_their_pool_says():
    pool = NodePool("big", "Big", "h100", 4, 1, 6, {"pool": "big"}, memory_gib=256, cpu_cores=32)
    assert shapes(node("a", 64, 8), pools=(pool,)) == (NodeShape(256 * GIB, 32, (("h100", 4),)),)
    assert shapes(node("a", 64, 8), pools=(replace(pool, max_nodes=0),)) == (LARGE,)


def offered(name, **ranges):
    return replace(template(name, gpus=Range(0, 2, 0)), **ranges)


def test_templates_that_no_node_can_hold_are_named_and_warned_of():
    templates = (
        offered("never", memory_gib=Range(100, 200, 100)),
        offered("usual", memory_gib=Range(1, 200, 100)),
        offered("most", memory_gib=Range(1, 200, 8), cpu_cores=Range(1, 64, 2)),
        offered("gpu", gpus=Range(1, 2, 1), gpu_types=("h100",), memory_gib=Range(32, 32, 32)),
        offered("fits", memory_gib=Range(1, 64, 8), cpu_cores=Range(1, 32, 2)),
    )
    catalog = replace(CATALOG, environment_templates={t.name: t for t in templates})
    never = "No node has 100 GiB of memory; the largest has 64 GiB."
    with_gpu = "No node with 1 × H100 has 32 GiB of memory; the largest has 16 GiB."
    assert impossible_templates(catalog, CAPACITY) == {"never": never, "gpu": with_gpu}
    warnings = catalog_warnings(catalog, CAPACITY)
    for line in (
        f"Environment template never can never start: {never}",
        f"Environment template gpu can never start: {with_gpu}",
        f"Environment template usual can never start with its usual choice: {never}",
        "Environment template most offers up to 200 GiB of memory: No node has 200 GiB of memory; the largest has 64 GiB.",
        "Environment template most offers up to 64 CPU cores: No node has 64 CPU cores; the largest has 32.",
    ):
        assert line in warnings
    assert not [line for line in warnings if " fits " in line and ("memory" in line or "cores" in line)]


SHAPES = st.lists(
    st.builds(
        NodeShape, st.integers(0, 4), st.integers(0, 4), st.dictionaries(st.sampled_from("ab"), st.integers(1, 3)).map(lambda d: tuple(sorted(d.items())))
    ),
    max_size=6,
)
NEEDS = st.builds(Need, st.integers(0, 5), st.integers(0, 5), st.sampled_from("ab"), st.integers(0, 3))


@given(SHAPES, NEEDS)
def test_the_largest_nodes_hold_whatever_any_node_holds(every, need):
    assert any(need.fits(one) for one in every) == any(need.fits(one) for one in widest(every))


@given(SHAPES, NEEDS)
def test_what_some_node_holds_is_never_too_large_and_what_none_holds_always_is(every, need):
    has_gpus = any(one.has(need.gpu_type, need.gpus) for one in every)
    is_too_large = bool(oversizes(need, every))
    if any(need.fits(one) for one in every):
        assert not is_too_large
    elif has_gpus:
        assert is_too_large


@given(SHAPES)
def test_shapes_survive_the_database(every):
    assert shapes_of(values_of(every)) == tuple(every)
