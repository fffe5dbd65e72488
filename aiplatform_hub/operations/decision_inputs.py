"""What a decision was given, to JSON and back, so that it can be replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState, GpuDevice
from aiplatform_hub.domain.quota import Capacity, Decision, DeviceState, Limit, Observed, decide
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import isoformat


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """Everything that a decision depends on."""

    request: LaunchRequest
    caller: Caller
    limits: tuple[Limit, ...]
    open_allocations: tuple[Allocation, ...]
    capacity: Capacity
    observed: Observed

    def decide(self) -> Decision:
        """Return the decision; the same inputs always give the same one."""
        return decide(self.request, self.caller, self.limits, self.open_allocations, self.capacity, self.observed)


def to_json(inputs: DecisionInputs) -> dict[str, Any]:
    """Return the inputs as JSON values."""
    observed = inputs.observed
    return {
        "request": _fields(inputs.request),
        "caller": {"user_id": inputs.caller.user_id, "user_name": inputs.caller.user_name, "groups": sorted(inputs.caller.groups)},
        "limits": [_without_none({**_fields(limit), "amount": str(limit.amount)}) for limit in inputs.limits],
        "open_allocations": [_allocation(allocation) for allocation in inputs.open_allocations],
        "capacity": {
            "memory_bytes": inputs.capacity.memory_bytes,
            "cpu_cores": inputs.capacity.cpu_cores,
            "devices": [_device(state) for state in inputs.capacity.devices],
        },
        "observed": {
            "storage_bytes": observed.storage_bytes,
            "gpu_hours": [[scope, subject, days, str(hours)] for (scope, subject, days), hours in sorted(observed.gpu_hours.items())],
        },
    }


def from_json(content: Mapping[str, Any]) -> DecisionInputs:
    """Return the inputs that were stored."""
    caller, capacity, observed = content["caller"], content["capacity"], content["observed"]
    return DecisionInputs(
        request=LaunchRequest(**content["request"]),
        caller=Caller(user_id=caller["user_id"], user_name=caller["user_name"], groups=frozenset(caller["groups"])),
        limits=tuple(Limit(**{**limit, "amount": Decimal(limit["amount"])}) for limit in content["limits"]),
        open_allocations=tuple(_allocation_of(values) for values in content["open_allocations"]),
        capacity=Capacity(
            memory_bytes=capacity["memory_bytes"],
            cpu_cores=capacity["cpu_cores"],
            devices=tuple(_device_state_of(values) for values in capacity["devices"]),
        ),
        observed=Observed(storage_bytes=observed["storage_bytes"], gpu_hours=_gpu_hours(observed["gpu_hours"])),
    )


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of a flat, slotted value; unlike ``asdict`` it copies nothing."""
    return {name: getattr(value, name) for name in value.__slots__}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _gpu_hours(rows: Sequence[Any]) -> dict[tuple[str, str, int], Decimal]:
    return {(scope, subject, days): Decimal(hours) for scope, subject, days, hours in rows}


def _allocation(allocation: Allocation) -> dict[str, Any]:
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


def _device(state: DeviceState) -> dict[str, Any]:
    return {**_fields(state.device), "held_by": None if state.held_by is None else str(state.held_by)}


def _device_state_of(values: Mapping[str, Any]) -> DeviceState:
    device = {name: value for name, value in values.items() if name != "held_by"}
    return DeviceState(device=GpuDevice(**device), held_by=None if values["held_by"] is None else UUID(values["held_by"]))
