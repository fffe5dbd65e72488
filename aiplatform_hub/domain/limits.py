"""Limits bound to a person, a project or the machine, and what is used of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, GpuDevice
from aiplatform_hub.domain.catalog import Catalog, LimitAmount, Project, Tier
from aiplatform_hub.domain.dimensions import DIMENSIONS, Kind
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import isoformat

USER, PROJECT, MACHINE = "user", "project", "machine"
"""The scopes of a limit."""

CPU_SHARES_PER_CORE = 8
"""How many promised CPU cores may stand on one core of the machine: processors are shared by time, GPUs and memory are not."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit, bound to whom it limits."""

    scope: str
    """``user``, ``project`` or ``machine``."""
    subject: str
    """Name of the user or project; empty for the machine."""
    dimension: str
    amount: Decimal
    """In the dimension's unit."""
    gpu_type: str | None = None
    """For ``gpus``: the type it limits; None limits the total."""
    window_days: int | None = None
    """For windowed dimensions: the length of the rolling window in days."""
    source: str = ""
    """Where it comes from, for a person: ``tier premium (group phd)``, ``project vision``, ``this machine``."""

    @property
    def owner(self) -> str:
        """Whose limit it is: ``user:alice``, ``project:vision`` or ``machine``."""
        return f"{self.scope}:{self.subject}" if self.subject else self.scope


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A GPU and what holds it."""

    device: GpuDevice
    held_by: UUID | None = None
    """Id of the allocation that has it leased."""

    @property
    def is_free(self) -> bool:
        """Whether it is healthy and nobody holds it."""
        return self.device.is_healthy and self.held_by is None


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the machine has."""

    memory_bytes: int
    cpu_cores: int
    devices: tuple[DeviceState, ...] = ()

    def free_devices(self, gpu_type: str | None) -> list[GpuDevice]:
        """Return the free GPUs of a type, lowest index first."""
        free = [state.device for state in self.devices if state.is_free and state.device.gpu_type == gpu_type]
        return sorted(free, key=lambda device: (device.index, device.uuid))

    def limits(self, gpu_type: str | None) -> tuple[Limit, ...]:
        """Return the machine's limits for a request of this GPU type."""
        source = "this machine"
        memory = Limit(MACHINE, "", "memory_bytes", Decimal(self.memory_bytes), source=source)
        cores = Limit(MACHINE, "", "cpu_cores", Decimal(self.cpu_cores * CPU_SHARES_PER_CORE), source=source)
        if gpu_type is None:
            return (memory, cores)
        total = sum(state.device.gpu_type == gpu_type for state in self.devices)
        return (Limit(MACHINE, "", "gpus", Decimal(total), gpu_type=gpu_type, source=source), memory, cores)


@dataclass(frozen=True, slots=True)
class Observed:
    """Use that open allocations do not tell."""

    storage_bytes: int | None = None
    """Size of the caller's files; None if it was not measured."""
    gpu_hours: Mapping[tuple[str, str, int], Decimal] = field(default_factory=dict)
    """Metered GPU-hours by scope, subject and window in days, open intervals included."""


@dataclass(frozen=True, slots=True)
class LimitUsage:
    """A limit with what is used of it."""

    limit: Limit
    used: Decimal | None
    """In the dimension's unit; None if nobody measured it."""
    holders: tuple[Allocation, ...] = ()
    """The open allocations that use it, oldest first."""
    held_by: tuple[str, ...] = ()
    """The same as the viewer may know them."""

    @property
    def free(self) -> Decimal | None:
        """What is left, never below 0; None if the use is not known."""
        return None if self.used is None else max(Decimal(0), self.limit.amount - self.used)

    @property
    def unit(self) -> str:
        """Unit of the amounts."""
        return DIMENSIONS[self.limit.dimension].unit


def tier_of(caller: Caller, catalog: Catalog, granted_tier: str | None = None) -> Tier:
    """Return the caller's tier: the one of highest priority among their groups' and the granted one, else the default."""
    tiers = [tier for tier in catalog.tiers.values() if caller.groups & set(tier.groups) or tier.name == granted_tier]
    return max(tiers, key=lambda tier: (tier.priority, tier.name)) if tiers else catalog.tiers[catalog.default_tier]


def limits_for(
    caller: Caller, request_project: Project | None, catalog: Catalog, granted_tier: str | None = None, grant_expires_at: datetime | None = None
) -> tuple[Limit, ...]:
    """Return the limits of the caller's tier and those of the project's shared pool.

    Parameters
    ----------
    caller
        The person who will own the server.
    request_project
        The project that will be charged; None leaves the pool out.
    catalog
        Tiers and their limits.
    granted_tier
        Tier that an administrator gave the caller, if the grant is in force.
    grant_expires_at
        When the grant ends, aware UTC, exclusive; only for the limits' source.
    """
    tier = tier_of(caller, catalog, granted_tier)
    through = sorted(caller.groups & set(tier.groups))
    source = f"tier {tier.name}"
    if through:
        source += f" (group {through[0]})"
    elif tier.name == granted_tier:
        source += " (granted)" if grant_expires_at is None else f" (granted until {isoformat(grant_expires_at)})"
    mine = tuple(_bound(amount, USER, caller.user_name, source) for amount in tier.limits)
    if request_project is None:
        return mine
    pool = tuple(_bound(amount, PROJECT, request_project.name, f"project {request_project.name}") for amount in request_project.limits)
    return mine + pool


def _bound(amount: LimitAmount, scope: str, subject: str, source: str) -> Limit:
    return Limit(scope, subject, amount.dimension, amount.amount, amount.gpu_type, amount.window_days, source)


_AMOUNTS: dict[str, Callable[[LaunchRequest], int]] = {
    "gpus": lambda request: request.gpus,
    "memory_bytes": lambda request: request.memory_bytes,
    "cpu_cores": lambda request: request.cpu_cores,
    "environments": lambda _: 1,
}
"""What a request takes of each concurrent dimension."""


def amount_of(request: LaunchRequest, limit: Limit) -> Decimal:
    """Return what a request takes of a concurrent limit, in the dimension's unit."""
    if limit.gpu_type is not None and limit.gpu_type != request.gpu_type:
        return Decimal(0)
    return Decimal(_AMOUNTS[limit.dimension](request))


def is_owned(allocation: Allocation, caller: Caller) -> bool:
    """Return whether an allocation is the caller's; by name only where the hub gave them no id yet."""
    return allocation.user_id == caller.user_id if caller.user_id else allocation.user_name == caller.user_name


def usage_against(
    limits: Sequence[Limit], caller: Caller, open_allocations: Sequence[Allocation], observed: Observed, viewer: Caller | None = None
) -> tuple[LimitUsage, ...]:
    """Return what is used of each limit and what holds it.

    Parameters
    ----------
    limits
        Limits of the caller, their project or the machine.
    caller
        The person whose limits they are.
    open_allocations
        Open allocations of everybody.
    observed
        What was measured.
    viewer
        Who looks, if it is someone else who may know the caller's sessions; their own are named too.
    """
    known = {person.user_id or person.user_name for person in (caller, viewer or caller)}
    return tuple(_usage(limit, caller, open_allocations, observed, known) for limit in limits)


def _usage(limit: Limit, caller: Caller, open_allocations: Sequence[Allocation], observed: Observed, known: AbstractSet[int | str]) -> LimitUsage:
    kind = DIMENSIONS[limit.dimension].kind
    if kind is Kind.OBSERVED:
        is_known = limit.scope == USER and observed.storage_bytes is not None
        return LimitUsage(limit, Decimal(observed.storage_bytes or 0) if is_known else None)
    within = sorted((a for a in open_allocations if _is_within(a, limit, caller)), key=lambda a: (a.requested_at, a.id))
    if kind is Kind.WINDOWED:
        used = observed.gpu_hours.get((limit.scope, limit.subject, limit.window_days or 0), Decimal(0))
        holders = tuple(a for a in within if a.request.gpus)
    else:
        used = sum((amount_of(a.request, limit) for a in within), Decimal(0))
        holders = tuple(a for a in within if amount_of(a.request, limit))
    return LimitUsage(limit, used, holders, tuple(_name(a, limit, known) for a in holders))


def _is_within(allocation: Allocation, limit: Limit, caller: Caller) -> bool:
    if not allocation.is_open:
        return False
    if limit.scope == USER:
        return is_owned(allocation, caller)
    return limit.scope == MACHINE or allocation.request.project == limit.subject


def _name(allocation: Allocation, limit: Limit, known: AbstractSet[int | str]) -> str:
    """Return a session's name as the viewer may know it."""
    if allocation.user_id in known or allocation.user_name in known:
        return server_label(allocation)
    return "a session of another member" if limit.scope == PROJECT else "a session of another user"


def server_label(allocation: Allocation) -> str:
    """Return the name of the allocation's server in a sentence."""
    return allocation.server_name or "the default server"
