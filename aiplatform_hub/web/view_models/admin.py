"""What an admin sees: who holds what, devices, processes, limits of enforcement, the audit trail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiplatform_hub.storage.audit import AuditEvent
from aiplatform_hub.web.view_models.formats import Stamp, duration, stamp
from aiplatform_hub.web.view_models.policy_panel import PolicyPanel

LATE = timedelta(seconds=30)
"""A heartbeat older than this means that the process is not well."""


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
    """What Admin shows below the sessions, the queue and the GPUs."""

    processes: tuple[ProcessRow, ...]
    not_enforced: tuple[str, ...]
    enforced: tuple[str, ...]
    audit: tuple[AuditRow, ...]
    catalog_problems: tuple[str, ...]
    templates: tuple[tuple[str, str], ...]
    """Environment templates that cannot be started, with the reason."""
    place: str = "machine"
    """What a sentence calls where servers run: ``machine`` or ``cluster``."""
    policy: PolicyPanel | None = None
    """What the queue follows; None where it is not known."""


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
