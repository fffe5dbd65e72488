"""What an admin sees: who holds what, the queue, devices, the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import Allocation, GpuDevice
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.units import format_bytes
from aiplatform_hub.web.view_models.environments import EnvironmentCard, Money, environment_card, resources, simulated_label
from aiplatform_hub.web.view_models.formats import Stamp, duration, server_label, stamp
from aiplatform_hub.web.view_models.labels import gpu_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.policy_panel import PolicyPanel
from aiplatform_hub.web.view_models.queue import Line, since_when


@dataclass(frozen=True, slots=True)
class HolderRow:
    """One open allocation in the admin's table."""

    card: EnvironmentCard
    user: str
    resources: str
    project: str
    since: Stamp | None
    cost: str


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One request in the queue, in the admin's table."""

    position: int
    card: EnvironmentCard
    user: str
    resources: str
    project: str
    since: Stamp | None
    waited: str


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One GPU."""

    name: str
    uuid: str
    utilisation: str
    """What it last did; ``unknown`` while nobody knows."""
    memory: str
    """What of it is in use, where that is known, and all of it."""
    state: str
    tone: str
    holder: str


@dataclass(frozen=True, slots=True)
class AdminPage:
    """What Admin shows."""

    holders: tuple[HolderRow, ...]
    devices: tuple[DeviceRow, ...]
    place: str = "machine"
    """What a sentence calls where servers run: ``machine`` or ``cluster``."""
    queue: tuple[QueueRow, ...] = ()
    """Who waits, next first."""
    policy: PolicyPanel | None = None
    """What the queue follows; None where it is not known."""


def holder_row(allocation: Allocation, *, cost: Money | None, catalog: Catalog, now: datetime, paths: Paths) -> HolderRow:
    """Return one open allocation."""
    return HolderRow(
        card=environment_card(allocation, cost=cost, catalog=catalog, now=now, paths=paths),
        user=allocation.user_name,
        resources=resources(allocation.request, catalog),
        project=allocation.request.project,
        since=stamp(allocation.started_at or allocation.held_at),
        cost=str(cost) if cost else "–",
    )


def queue_row(allocation: Allocation, line: Line, *, catalog: Catalog, now: datetime, paths: Paths) -> QueueRow:
    """Return one queued request."""
    return QueueRow(
        position=line.entry.position if line.entry else 0,
        card=environment_card(allocation, cost=None, catalog=catalog, now=now, paths=paths, line=line),
        user=allocation.user_name,
        resources=resources(allocation.request, catalog),
        project=allocation.request.project,
        since=stamp(since_when(allocation)),
        waited=duration(now - since_when(allocation)),
    )


def device_rows(
    devices: Sequence[GpuDevice], holders: Sequence[Allocation], catalog: Catalog, samples: Mapping[str, GpuSample] | None = None
) -> tuple[DeviceRow, ...]:
    """Return every GPU with its holder and what it does: those of one node together, those that an autoscaler may still start last."""
    known = samples or {}
    by_uuid = {uuid: allocation for allocation in holders for uuid in allocation.devices}
    ordered = sorted(devices, key=lambda device: (device.node is None and device.node_pool is not None, device.node or device.uuid, device.index))
    return tuple(
        _device(device, by_uuid.get(device.uuid), catalog, known.get(device.uuid))
        for device in (ordered if any(d.node or d.node_pool for d in devices) else devices)
    )


def _device(device: GpuDevice, holder: Allocation | None, catalog: Catalog, sample: GpuSample | None) -> DeviceRow:
    state, tone = ("held", "warn") if holder else ("free", "good")
    if not device.is_healthy:
        state, tone = "out of order", "bad"
    name = device.product_name or gpu_label(catalog, device.gpu_type) or device.gpu_type
    if device.node_pool and not holder:
        state, tone = "not started", ""
    label = simulated_label(name, is_simulated=device.is_simulated)
    is_slot = bool(device.node or device.node_pool)  # its id names node and number
    memory = format_bytes(device.memory_bytes) if device.memory_bytes or not is_slot else "–"
    return DeviceRow(
        name=label if is_slot else f"{device.index}: {label}",
        uuid=device.uuid,
        utilisation=f"{sample.utilisation_percent:.0f} %" if sample else "unknown",
        memory=f"{format_bytes(sample.memory_bytes)} of {memory}" if sample else memory,
        state=state,
        tone=tone,
        holder=f"{holder.user_name}: {server_label(holder.server_name)}" if holder else "",
    )
