"""In a cluster all GPUs of a session are on one node: the one that they fill best."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from domain_values import ALICE, BOB, allocation, request, user_limit
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.limits import Capacity, DeviceState
from aiplatform_hub.domain.policy import SHIPPED
from aiplatform_hub.domain.queueing import Outlook, View, line_of
from aiplatform_hub.domain.quota import Observed, decide, refusal
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.errors import CapacityError, QuotaExceededError
from aiplatform_hub.operations.decision_inputs import DecisionInputs, from_json, to_json

HELD = UUID(int=900)


def device(host, index, gpu_type="h100", *, is_healthy=True):
    is_virtual = "+" in host
    node, pool = (None, host.split("+")[0]) if is_virtual else (host, None)
    return GpuDevice(f"{host}/nvidia.com/gpu/{index}", gpu_type, 0, is_healthy=is_healthy, index=index, node=node, node_pool=pool)


def cluster(nodes, *, broken=(), types=()):
    """Return a cluster of ``{host: (total, held)}``; ``broken`` are hosts whose last GPU is out of order."""
    states = []
    for host, (total, held) in nodes.items():
        for index in range(total):
            one = device(host, index, dict(types).get(host, "h100"), is_healthy=not (host in broken and index == total - 1))
            states.append(DeviceState(one, HELD if index < held else None))
    return Capacity(1024 * GIB, 64, tuple(states), is_cluster=True, gpu_labels={"h100": "NVIDIA H100"})


def decided(gpus, capacity, *, gpu_type="h100", limits=(), opened=()):
    return decide(request(gpus, gpu_type=gpu_type), ALICE, limits, opened, capacity, Observed())


def hosts(decision):
    return {uuid.split("/")[0] for uuid in decision.devices}


@pytest.mark.parametrize(
    ("nodes", "gpus", "host"),
    [
        ({"a": (4, 0), "b": (4, 2)}, 2, "b"),
        ({"a": (4, 0), "b": (4, 3)}, 2, "a"),
        ({"a": (4, 1), "b": (4, 1)}, 1, "a"),
        ({"a": (8, 0), "b": (2, 0)}, 2, "b"),
        ({"z": (4, 0), "spot+0": (4, 3)}, 1, "z"),
        ({"z": (4, 2), "spot+0": (4, 0)}, 3, "spot+0"),
        ({"spot+1": (4, 0), "spot+0": (4, 1)}, 3, "spot+0"),
    ],
)
def test_the_node_is_taken_that_the_request_fills_best(nodes, gpus, host):
    decision = decided(gpus, cluster(nodes))
    assert hosts(decision) == {host}
    assert len(set(decision.devices)) == gpus
    assert decision.node_pool == ("spot" if "+" in host else None)


def test_more_than_any_node_has_never_fits():
    decision = decided(4, cluster({"a": (2, 0), "b": (2, 0), "c": (1, 1)}))
    (reason,) = decision.reasons
    assert (decision.error_code, reason.scope) == ("quota_exceeded", "machine")
    assert reason.message == decision.impossible_because == "No node has 4 × NVIDIA H100; the largest has 2."
    assert reason.remedies == ("Choose 2 GPUs.",)
    assert isinstance(refusal(decision), QuotaExceededError)


def test_free_gpus_that_are_spread_over_nodes_do_not_fit_now():
    decision = decided(2, cluster({"a": (2, 1), "b": (2, 1)}), opened=[allocation(1, BOB, gpus=2)])
    (reason,) = decision.reasons
    assert (decision.error_code, decision.impossible_because) == ("capacity", "")
    assert reason.message == (
        "This cluster can give 4 h100 GPUs, 2 are free now, but not on one node: the most on one is 1; other users hold 2; you ask for 2 h100 GPUs."
    )
    assert reason.remedies == ("Choose 1 GPU.", "Try again later.")
    assert isinstance(refusal(decision), CapacityError)


@pytest.mark.parametrize(
    ("capacity", "gpu_type", "message"),
    [
        (cluster({"a": (2, 2)}), "h100", "This cluster can give 2 h100 GPUs, none is free now; you ask for 2 h100 GPUs."),
        (cluster({"a": (2, 0)}, broken=("a",)), "h100", "This cluster can give 2 h100 GPUs, 1 is free now and 1 is out of order; you ask for 2 h100 GPUs."),
        (
            cluster({"a": (2, 2), "spot+0": (2, 1)}),
            "h100",
            "This cluster can give 4 h100 GPUs, none is free now and 1 may be started; you ask for 2 h100 GPUs.",
        ),
        (cluster({"a": (2, 0)}), "l4", "This cluster can give no l4 GPUs in all; you ask for 2 l4 GPUs."),
        (cluster({}), "h100", "This cluster has no GPUs; you ask for 2 GPUs."),
    ],
)
def test_refusal_says_what_the_cluster_has(capacity, gpu_type, message):
    (reason,) = decided(2, capacity, gpu_type=gpu_type).reasons
    assert reason.message == message


def test_another_type_is_only_proposed_if_one_node_has_enough():
    spread = cluster({"a": (2, 2), "b": (1, 0), "c": (1, 0)}, types=(("b", "l4"), ("c", "l4")))
    assert not [remedy for remedy in decided(2, spread).reasons[0].remedies if "l4" in remedy]
    together = cluster({"a": (2, 2), "b": (2, 0)}, types=(("b", "l4"),))
    assert "Choose the GPU type l4: 2 are free." in decided(2, together).reasons[0].remedies


def test_memory_is_the_clusters():
    capacity = Capacity(GIB, 1, is_cluster=True)
    (reason,) = decided(0, capacity).reasons
    assert reason.message == "This cluster can give 1 GiB of memory in all; you ask for 4 GiB of memory."


def test_while_no_node_takes_sessions_nothing_is_said_to_be_impossible():
    error = refusal(decided(0, Capacity(0, 0, is_cluster=True)))
    assert isinstance(error, CapacityError)
    assert error.message == "No node of this cluster takes sessions now; they can start again as soon as one does."
    assert {reason.remedies for reason in error.reasons} == {("Try again later.",)}


def test_a_limit_of_ones_own_is_told_beside_what_no_node_has():
    decision = decided(4, cluster({"a": (2, 0)}), limits=[user_limit("gpus", 1)])
    assert [reason.scope for reason in decision.reasons] == ["user:alice", "machine"]
    assert decision.impossible_because == "No node has 4 × NVIDIA H100; the largest has 2."
    assert decision.reasons[1].remedies == ("Choose 1 GPU.",)


NODES = st.dictionaries(
    st.sampled_from([*"abcd", "spot+0", "spot+1"]), st.integers(0, 8).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total)))
)


@given(NODES, st.integers(1, 8))
def test_devices_are_always_of_one_node_and_it_is_the_best_one(nodes, gpus):
    capacity = cluster(nodes)
    decision = decided(gpus, capacity)
    free = {host: total - held for host, (total, held) in nodes.items()}
    fitting = {host: amount for host, amount in free.items() if amount >= gpus}
    assert decision.is_admitted == bool(fitting)
    if not fitting:
        largest = max((total for total, _ in nodes.values()), default=0)
        assert decision.error_code == ("quota_exceeded" if gpus > largest else "capacity")
        return
    (host,) = hosts(decision)
    assert len(set(decision.devices)) == gpus
    free_ids = {state.device.uuid for state in capacity.devices if state.is_free}
    assert set(decision.devices) <= free_ids
    assert ("+" in host, free[host]) == min(("+" in name, amount) for name, amount in fitting.items())


@given(NODES, st.integers(0, 8), st.booleans(), st.booleans())
def test_stored_inputs_give_the_same_decision_again(nodes, gpus, is_broken, is_drained):
    capacity = cluster(nodes, broken=tuple(nodes) if is_broken else ())
    if is_drained and capacity.devices:
        first = capacity.devices[0]
        capacity = replace(capacity, devices=(replace(first, device=replace(first.device, is_drained=True)), *capacity.devices[1:]))
    inputs = DecisionInputs(request(gpus), ALICE, (user_limit("gpus", 6),), (), capacity, Observed(gpu_hours={("user", "alice", 7): Decimal(1)}))
    again = from_json(to_json(inputs))
    assert again.decide() == inputs.decide()
    assert {(s.device.uuid, s.held_by, s.device.is_healthy, s.device.is_drained, s.device.node, s.device.node_pool) for s in again.capacity.devices} == {
        (s.device.uuid, s.held_by, s.device.is_healthy, s.device.is_drained, s.device.node, s.device.node_pool) for s in capacity.devices
    }


def test_inputs_of_a_large_cluster_are_small():
    capacity = cluster({f"node-{number}": (8, 3) for number in range(125)})
    assert len(str(to_json(DecisionInputs(request(1), ALICE, (), (), capacity, Observed())))) < 50_000


def test_inputs_that_were_stored_before_there_were_clusters_still_replay():
    device_row = {
        "uuid": "GPU-0",
        "gpu_type": "h100",
        "memory_bytes": 1,
        "is_healthy": True,
        "is_simulated": False,
        "index": 0,
        "product_name": "",
        "held_by": None,
    }
    content = to_json(DecisionInputs(request(1), ALICE, (), (), Capacity(1024 * GIB, 64), Observed()))
    assert content["capacity"] == {"memory_bytes": 1024 * GIB, "cpu_cores": 64, "devices": []}
    content["capacity"]["devices"] = [device_row]
    again = from_json(content)
    assert again.decide().devices == ("GPU-0",)
    assert to_json(again)["capacity"]["devices"] == [device_row]


def test_planner_is_told_which_nodes_have_yet_to_start():
    capacity = cluster({"a": (4, 0), "spot+0": (4, 0)})
    line = line_of(View(0.0, (), (), capacity), Outlook(), SHIPPED)
    assert {node.name: node.is_yet_to_start for node in line.nodes} == {"a/nvidia.com/gpu/h100": False, "spot+0/nvidia.com/gpu/h100": True}
