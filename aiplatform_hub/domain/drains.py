"""GPUs on which nothing new starts, because an admin says so. What runs there goes on. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aiplatform_hub.domain.allocations import Allocation, GpuDevice


class DrainKind(StrEnum):
    """What is drained."""

    GPU = "gpu"
    NODE = "node"
    """The whole machine."""


@dataclass(frozen=True, slots=True)
class Drain:
    """One drain that stands."""

    id: int
    kind: DrainKind
    target: str
    """UUID of a GPU, or the name of a node."""
    at: datetime
    """Aware UTC."""
    by: str
    reason: str


def drained_devices(drain: Drain, devices: Iterable[GpuDevice]) -> tuple[GpuDevice, ...]:
    """Return the GPUs that a drain is about, of those of a machine."""
    return tuple(device for device in devices if drain.kind is DrainKind.NODE or device.uuid == drain.target)


def sessions_on(devices: Iterable[GpuDevice], opened: Iterable[Allocation]) -> tuple[Allocation, ...]:
    """Return the sessions that hold one of some GPUs: these have to end before the GPUs are empty."""
    uuids = {device.uuid for device in devices}
    return tuple(allocation for allocation in opened if uuids.intersection(allocation.devices))
