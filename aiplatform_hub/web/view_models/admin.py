"""What an admin sees: who holds what, devices, processes, limits of enforcement, the audit trail."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import Allocation, GpuDevice
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.units import format_bytes
from aiplatform_hub.storage.audit import AuditEvent
from aiplatform_hub.web.view_models.environments import EnvironmentCard, Money, environment_card, resources, simulated_label
from aiplatform_hub.web.view_models.formats import Stamp, duration, server_label, stamp
from aiplatform_hub.web.view_models.labels import gpu_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.policy_panel import PolicyPanel
from aiplatform_hub.web.view_models.queue import Line, since_when

LATE = timedelta(seconds=30)
"""A heartbeat older than this means that the process is not well."""


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
class ProcessRow:
    """One process of the platform with its last sign of life."""

    name: str
    state: str
    tone: str
    detail: str
    since: Stamp | None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of the audit trail."""

    at: Stamp | None
    actor: str
    action: str
    target: str
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class AdminPage:
    """What Admin shows."""

    holders: tuple[HolderRow, ...]
    devices: tuple[DeviceRow, ...]
    processes: tuple[ProcessRow, ...]
    not_enforced: tuple[str, ...]
    enforced: tuple[str, ...]
    audit: tuple[AuditRow, ...]
    catalog_problems: tuple[str, ...]
    templates: tuple[tuple[str, str], ...]
    """Environment templates that cannot be started, with the reason."""
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


def process_row(name: str, at: datetime | None, started_at: datetime | None, detail: Mapping[str, Any], now: datetime) -> ProcessRow:
    """Return one process; None as its last sign of life means that there never was one."""
    if at is None:
        return ProcessRow(name, "never seen", "bad", "", None)
    age = now - at
    late = age > LATE
    return ProcessRow(name, f"silent for {duration(age)}" if late else "well", "bad" if late else "good", plain_detail(detail), stamp(started_at))


def plain_detail(detail: Mapping[str, Any]) -> str:
    """Return details as ``name: value`` pairs."""
    return ", ".join(f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in detail.items() if value not in ([], "", None))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def audit_row(event: AuditEvent) -> AuditRow:
    """Return one line of the audit trail."""
    return AuditRow(stamp(event.at), event.actor, event.action, event.target, event.outcome, plain_detail(event.detail))


def limit_line(resource: str, reason: str, *, is_enforced: bool) -> tuple[str, bool]:
    """Return whether the limits on memory or CPU bind here, in words."""
    what = {"memory": "Memory", "cpu": "CPU"}.get(resource, resource)
    if is_enforced:
        return f"{what} limits bind: a session cannot take more than it was promised.", True
    return f"{what} limits are counted but do not bind" + (f": {reason}" if reason else "."), False


def isolation_line(*, is_isolated: bool) -> tuple[str, bool]:
    """Return whether people's servers are kept apart, in words."""
    if is_isolated:
        return "Each person's servers run under an account of their own.", True
    return "Users are isolated neither from each other nor from the hub, its secrets and the ledger.", False


def origin_line(*, has_own_origins: bool) -> tuple[str, bool]:
    """Return whether a browser keeps people's servers apart, in words."""
    if has_own_origins:
        return "Each person's servers have a host name of their own: a browser keeps them apart from the hub and from each other.", True
    risk = "People's servers share the hub's origin: an admin who opens someone's server runs that person's scripts with an admin's rights."
    return f"{risk} c.JupyterHub.subdomain_host gives each person a host name.", False


def pod_lines(*, has_gpus: bool) -> tuple[tuple[str, bool], ...]:
    """Return what binds because each session is a pod, and what its cluster has to do for it, in words."""
    lines = [
        ("Memory and CPU limits bind: each session is a pod with limits of its own.", True),
        ("Sessions reach each other unless the cluster's network enforces NetworkPolicies; not every one does.", False),
    ]
    return (*lines, ("A pod is given its GPUs by its node and reaches no others.", True)) if has_gpus else tuple(lines)


def gpu_line(*, is_simulated: bool) -> tuple[str, bool]:
    """Return whether a session can reach GPUs that it does not hold, in words."""
    if is_simulated:
        return "The GPUs are simulated: nothing computes on a GPU here.", False
    return "GPUs are advisory: sessions get theirs by CUDA_VISIBLE_DEVICES, and a program that unsets it reaches the others.", False
