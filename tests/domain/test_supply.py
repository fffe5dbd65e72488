"""What there is of GPUs by type, and what of the catalogue no node can ever give."""

from __future__ import annotations

from dataclasses import replace

from domain_values import CATALOG, template
from test_cluster_decision import cluster, device

from aiplatform_hub.domain.catalog import NodePool, Range
from aiplatform_hub.domain.limits import Capacity
from aiplatform_hub.domain.supply import GpuTypeCapacity, catalog_warnings, count_gpus, impossible_templates, most_at_once

SPOT = NodePool("spot", "Spot", "h100", 4, 2, 6, {"pool": "spot"})


def test_gpus_that_may_start_stand_apart():
    devices = [device("a", 0), device("a", 1), device("a", 2, is_healthy=False), *(device("spot+0", index) for index in range(4)), device("b", 0, "l4")]
    held = {"a/nvidia.com/gpu/0", "spot+0/nvidia.com/gpu/0"}
    assert count_gpus(devices, held, {"spot": SPOT}) == (
        GpuTypeCapacity("h100", total=4, free=1, held=2, unhealthy=1, simulated=False, startable=3, minutes_to_start=6),
        GpuTypeCapacity("l4", total=1, free=1, held=0, unhealthy=0, simulated=False),
    )


def test_the_quickest_pool_says_when():
    slow = replace(SPOT, name="slow", minutes_to_start=15)
    devices = [device("slow+0", 0), device("spot+0", 0), device("gone+0", 0)]
    (row,) = count_gpus(devices, (), {"slow": slow, "spot": SPOT})
    assert (row.total, row.free, row.startable, row.minutes_to_start) == (0, 0, 3, 6)


def test_template_that_no_node_can_start_is_named():
    catalog = replace(CATALOG, environment_templates={t.name: t for t in (template("big", gpus=Range(4, 8, 4), gpu_types=("h100",)), template("small"))})
    assert impossible_templates(catalog, cluster({"a": (2, 0), "b": (2, 0)})) == {"big": "No node has 4 × H100; the largest has 2."}
    assert impossible_templates(catalog, cluster({"a": (8, 8)}, types=(("a", "l4"),))) == {"big": "No node has 4 × H100."}
    assert impossible_templates(catalog, cluster({"a": (4, 4)})) == {}
    assert impossible_templates(catalog, cluster({"a": (2, 0), "spot+0": (4, 0)})) == {}


def test_every_template_that_asks_for_more_than_a_node_has_is_warned_of():
    templates = (
        template("never", gpus=Range(4, 8, 4), gpu_types=("h100", "l4")),
        template("usual", gpus=Range(0, 4, 4)),
        template("most", gpus=Range(0, 4, 1)),
        template("fits", gpus=Range(0, 2, 1)),
    )
    catalog = replace(CATALOG, environment_templates={t.name: t for t in templates})
    assert catalog_warnings(catalog, cluster({"a": (2, 0)})) == (
        "Environment template never can never start: No node has 4 × H100 or L4; the largest has 2.",
        "Environment template usual can never start with its usual choice: No node has 4 GPUs of one type; the largest has 2.",
        "Environment template most offers up to 4 GPUs: No node has 4 GPUs of one type; the largest has 2.",
    )


def test_most_is_what_one_node_has_of_one_type():
    assert most_at_once(cluster({"a": (2, 2), "b": (4, 0), "spot+0": (3, 0)}, types=(("b", "l4"),))) == 4
    assert most_at_once(cluster({})) == 0
    assert most_at_once(Capacity(1, 1)) is None


def test_nothing_is_said_of_a_machine():
    assert catalog_warnings(CATALOG, Capacity(1, 1)) == ()
    assert impossible_templates(CATALOG, Capacity(1, 1)) == {}
