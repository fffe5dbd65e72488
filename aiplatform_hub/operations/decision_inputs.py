"""What a decision was given, to JSON and back, so that it can be replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState, GpuDevice
from aiplatform_hub.domain.budgets import Claim
from aiplatform_hub.domain.node_shapes import shapes_of, values_of
from aiplatform_hub.domain.queueing import Standing
from aiplatform_hub.domain.quota import Capacity, Decision, DeviceState, Limit, Observed, decide
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.operations.queue_json import standing_from_json, standing_to_json

_NO_PARTS: Mapping[int, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """Everything that a decision depends on."""

    request: LaunchRequest
    caller: Caller
    limits: tuple[Limit, ...]
    open_allocations: tuple[Allocation, ...]
    capacity: Capacity
    observed: Observed
    standing: Standing | None = None
    """How the request stands to the queue; None if nobody waits and nobody wants to."""
    claims: tuple[Claim, ...] = ()
    """What it wants of each budget that it is paid from."""

    def decide(self) -> Decision:
        """Return the decision; the same inputs always give the same one."""
        return decide(self.request, self.caller, self.limits, self.open_allocations, self.capacity, self.observed, self.standing, self.claims)


def to_json(inputs: DecisionInputs, seen: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the inputs as JSON values.

    Parameters
    ----------
    seen
        What names sessions and capacity, where they are stored as parts: see :class:`DecisionArchive`.
    """
    observed = inputs.observed
    standing = {} if inputs.standing is None else {"standing": standing_to_json(inputs.standing)}
    projects = {"projects": sorted(inputs.caller.projects)} if inputs.caller.projects else {}
    claims = {"claims": [_claim(claim) for claim in inputs.claims]} if inputs.claims else {}
    return {
        **standing,
        **claims,
        "request": _fields(inputs.request),
        "caller": {"user_id": inputs.caller.user_id, "user_name": inputs.caller.user_name, "groups": sorted(inputs.caller.groups), **projects},
        "limits": [_without_none({**_fields(limit), "amount": str(limit.amount)}) for limit in inputs.limits],
        **(_whole(inputs) if seen is None else {"seen": seen}),
        "observed": {
            "storage_bytes": observed.storage_bytes,
            "gpu_hours": [[scope, subject, days, str(hours)] for (scope, subject, days), hours in sorted(observed.gpu_hours.items())],
        },
    }


def parts_of(content: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the ids of the parts that stored inputs name."""
    return (*content["seen"]["open_allocations"], content["seen"]["capacity"]) if "seen" in content else ()


def from_json(content: Mapping[str, Any], parts: Mapping[int, Any] = _NO_PARTS) -> DecisionInputs:
    """Return the inputs that were stored.

    Parameters
    ----------
    parts
        At least those of :func:`parts_of`, by id.

    Raises
    ------
    KeyError
        If one is missing.
    """
    caller, observed = content["caller"], content["observed"]
    opened, capacity = _seen_of(content, parts)
    return DecisionInputs(
        request=LaunchRequest(**content["request"]),
        caller=Caller(caller["user_id"], caller["user_name"], frozenset(caller["groups"]), frozenset(caller.get("projects", ()))),
        limits=tuple(Limit(**{**limit, "amount": Decimal(limit["amount"])}) for limit in content["limits"]),
        open_allocations=opened,
        capacity=capacity,
        observed=Observed(storage_bytes=observed["storage_bytes"], gpu_hours=_gpu_hours(observed["gpu_hours"])),
        standing=standing_from_json(content["standing"]) if "standing" in content else None,  # decisions of earlier versions have none
        claims=tuple(_claim_of(values) for values in content.get("claims", ())),
    )


def _whole(inputs: DecisionInputs) -> dict[str, Any]:
    return {"open_allocations": [allocation_to_json(each) for each in inputs.open_allocations], "capacity": capacity_to_json(inputs.capacity)}


def _seen_of(content: Mapping[str, Any], parts: Mapping[int, Any]) -> tuple[tuple[Allocation, ...], Capacity]:
    if "seen" not in content:
        return tuple(_allocation_of(values) for values in content["open_allocations"]), _capacity_of(content["capacity"])
    seen = content["seen"]
    opened = tuple(_allocation_of(parts[id_]) for id_ in seen["open_allocations"])
    return opened, _capacity_of(parts[seen["capacity"]]).with_holders(opened)


def _claim(claim: Claim) -> dict[str, Any]:
    return {**_fields(claim), "budget_id": str(claim.budget_id), "renews_at": None if claim.renews_at is None else isoformat(claim.renews_at)}


def _claim_of(values: Mapping[str, Any]) -> Claim:
    return Claim(**{**values, "budget_id": UUID(values["budget_id"]), "renews_at": _instant(values["renews_at"])})


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of a flat, slotted value; unlike ``asdict`` it copies nothing."""
    return {name: getattr(value, name) for name in value.__slots__}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _gpu_hours(rows: Sequence[Any]) -> dict[tuple[str, str, int], Decimal]:
    return {(scope, subject, days): Decimal(hours) for scope, subject, days, hours in rows}


def allocation_to_json(allocation: Allocation) -> dict[str, Any]:
    """Return what a decision sees of an open allocation."""
    return _without_none(
        {
            "id": str(allocation.id),
            "user_id": allocation.user_id,
            "user_name": allocation.user_name,
            "server_name": allocation.server_name,
            "request": _without_none(_fields(allocation.request)),
            "state": allocation.state.value,
            "devices": list(allocation.devices),
            "requested_at": isoformat(allocation.requested_at),
            "held_at": isoformat(allocation.held_at) if allocation.held_at else None,
            "started_at": isoformat(allocation.started_at) if allocation.started_at else None,
        }
    )


def _allocation_of(values: Mapping[str, Any]) -> Allocation:
    return Allocation(
        id=UUID(values["id"]),
        user_id=values["user_id"],
        user_name=values["user_name"],
        server_name=values["server_name"],
        spawner_id=None,
        request=LaunchRequest(**{"gpu_type": None, **values["request"]}),
        state=AllocationState(values["state"]),
        devices=tuple(values["devices"]),
        door="",
        actor="",
        requested_at=datetime.fromisoformat(values["requested_at"]),
        held_at=_instant(values.get("held_at")),
        started_at=_instant(values.get("started_at")),
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def capacity_to_json(capacity: Capacity) -> dict[str, Any]:
    """Return what the place has, and who holds it."""
    common = {"memory_bytes": capacity.memory_bytes, "cpu_cores": capacity.cpu_cores}
    if not capacity.is_cluster:
        return {**common, "devices": [_device(state) for state in capacity.devices]}
    return {**common, "gpu_labels": dict(capacity.gpu_labels), "nodes": _nodes(capacity.devices), "shapes": values_of(capacity.shapes)}


def _capacity_of(values: Mapping[str, Any]) -> Capacity:
    if "nodes" not in values:
        return Capacity(values["memory_bytes"], values["cpu_cores"], tuple(_device_state_of(device) for device in values["devices"]))
    devices = (state for node in values["nodes"] for state in _states_of(node))
    ordered = tuple(sorted(devices, key=lambda state: (state.device.index, state.device.uuid)))
    shapes = shapes_of(values.get("shapes", ()))  # decisions of earlier versions have none
    return Capacity(values["memory_bytes"], values["cpu_cores"], ordered, is_cluster=True, gpu_labels=values["gpu_labels"], shapes=shapes)


def _device(state: DeviceState) -> dict[str, Any]:
    left_out = {"node", "node_pool"} if state.device.is_drained else {"node", "node_pool", "is_drained"}
    fields = {name: value for name, value in _fields(state.device).items() if name not in left_out}
    return {**fields, "held_by": None if state.held_by is None else str(state.held_by)}


def _device_state_of(values: Mapping[str, Any]) -> DeviceState:
    device = {name: value for name, value in values.items() if name != "held_by"}
    return DeviceState(device=GpuDevice(**device), held_by=None if values["held_by"] is None else UUID(values["held_by"]))


def _nodes(devices: Sequence[DeviceState]) -> list[dict[str, Any]]:
    """Return the slots of a cluster by node: a thousand of them one by one would make every decision large."""
    nodes: dict[tuple[str, str], dict[str, Any]] = {}
    for state in devices:
        device = state.device
        prefix, _, index = device.uuid.rpartition("/")
        node = nodes.get((prefix, device.gpu_type))
        if node is None:
            node = nodes[prefix, device.gpu_type] = {"prefix": prefix, "gpu_type": device.gpu_type, "node": device.node, "node_pool": device.node_pool}
        if state.held_by is not None:
            node.setdefault("held", {})[index] = str(state.held_by)
        elif device.is_healthy:
            node.setdefault("free", []).append(int(index))
        if device.is_drained:
            node.setdefault("drained", []).append(int(index))
        if not device.is_healthy:
            node.setdefault("unhealthy", []).append(int(index))
    return [_without_none(node) for node in nodes.values()]


def _states_of(node: Mapping[str, Any]) -> list[DeviceState]:
    held = {int(index): UUID(holder) for index, holder in node.get("held", {}).items()}
    unhealthy, drained = set(node.get("unhealthy", ())), set(node.get("drained", ()))
    states = []
    for index in sorted({*node.get("free", ()), *held, *unhealthy}):
        device = GpuDevice(
            uuid=f"{node['prefix']}/{index}",
            gpu_type=node["gpu_type"],
            memory_bytes=0,
            is_healthy=index not in unhealthy,
            is_drained=index in drained,
            index=index,
            node=node.get("node"),
            node_pool=node.get("node_pool"),
        )
        states.append(DeviceState(device=device, held_by=held.get(index)))
    return states
