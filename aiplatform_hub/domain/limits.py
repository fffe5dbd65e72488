"""Limits bound to a person, a project or the place, and what is used of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from operator import attrgetter
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, GpuDevice
from aiplatform_hub.domain.catalog import Catalog, LimitAmount, Project, Tier
from aiplatform_hub.domain.dimensions import DIMENSIONS, Kind
from aiplatform_hub.domain.node_shapes import Need, NodeShape, Oversize, oversizes
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
        """Whether it is healthy, not drained, and nobody holds it."""
        return self.device.is_healthy and not self.device.is_drained and self.held_by is None


@dataclass(frozen=True)
class Capacity:
    """What the machine or cluster has. Without slots, so that it can remember which GPUs are free."""

    memory_bytes: int
    cpu_cores: int
    devices: tuple[DeviceState, ...] = ()
    is_cluster: bool = False
    """Whether the GPUs are on several nodes; those of one session are always on one."""
    gpu_labels: Mapping[str, str] = field(default_factory=dict)
    """What a sentence about nodes calls a GPU type."""
    shapes: tuple[NodeShape, ...] = ()
    """The largest nodes of a cluster; empty on a single machine, and where they are not known."""

    @property
    def place(self) -> str:
        """What a sentence calls it."""
        return "this cluster" if self.is_cluster else "this machine"

    def with_holders(self, allocations: Iterable[Allocation]) -> Capacity:
        """Return the same place where these sessions hold their GPUs, and nobody holds the others."""
        states = [state if state.held_by is None else DeviceState(state.device) for state in self.devices]
        for allocation in allocations:
            for uuid in allocation.devices:
                position = self._positions.get(uuid)
                if position is not None:
                    states[position] = DeviceState(states[position].device, allocation.id)
        return replace(self, devices=tuple(states))

    @cached_property
    def _positions(self) -> Mapping[str, int]:
        """Where each GPU stands."""
        return {state.device.uuid: position for position, state in enumerate(self.devices)}

    def free_devices(self, gpu_type: str | None) -> Sequence[GpuDevice]:
        """Return the free GPUs of a type, lowest index first."""
        return self._free.get(gpu_type, ())

    @cached_property
    def _free(self) -> Mapping[str | None, Sequence[GpuDevice]]:
        """The free GPUs by type: a decision asks for them several times."""
        free: dict[str | None, list[GpuDevice]] = {}
        for state in self.devices:
            if state.is_free:
                free.setdefault(state.device.gpu_type, []).append(state.device)
        return {gpu_type: sorted(devices, key=lambda device: (device.index, device.uuid)) for gpu_type, devices in free.items()}

    @cached_property
    def _free_nodes(self) -> Mapping[str | None, Sequence[Sequence[GpuDevice]]]:
        """The same by type and node."""
        return {gpu_type: tuple(_by_node(devices).values()) for gpu_type, devices in self._free.items()}

    def devices_for(self, gpu_type: str | None, amount: int) -> list[GpuDevice]:
        """Return so many free GPUs of one node, the one that they fill best; none if no node has so many free.

        Nodes that an autoscaler would have to start come last. A single machine is one node.
        """
        nodes = [free for free in self._free_nodes.get(gpu_type, ()) if len(free) >= amount]
        best = min(nodes, key=lambda free: (free[0].node_pool is not None, len(free), _node(free[0])), default=())
        return list(best[:amount])

    def node_of(self, device: GpuDevice) -> str:
        """Return a name of what shares a GPU's type and node."""
        return f"{_node(device)}/{device.gpu_type}"

    def devices_on(self, node: str, amount: int) -> list[GpuDevice]:
        """Return so many free GPUs of a node, named as by :meth:`node_of`; none if it has not so many free."""
        free = [state.device for state in self.devices if state.is_free and self.node_of(state.device) == node]
        return sorted(free, key=lambda device: (device.index, device.uuid))[:amount] if len(free) >= amount else []

    def most_free(self, gpu_type: str | None) -> int:
        """Return how many GPUs of a type one session could have now."""
        return max(map(len, self._free_nodes.get(gpu_type, ())), default=0)

    def largest(self, gpu_type: str | None) -> int:
        """Return how many GPUs of a type the largest node has, whoever holds them."""
        return max(map(len, _by_node(state.device for state in self.devices if state.device.gpu_type == gpu_type).values()), default=0)

    def oversizes(self, request: LaunchRequest) -> tuple[Oversize, ...]:
        """Return what of a request's memory and cores no node could ever give."""
        label = self.gpu_labels.get(request.gpu_type or "", "")
        return oversizes(Need(request.memory_bytes, request.cpu_cores, request.gpu_type, request.gpus, label), self.shapes)

    def limits(self, gpu_type: str | None) -> tuple[Limit, ...]:
        """Return the machine's or cluster's limits for a request of this GPU type."""
        source = self.place
        memory = Limit(MACHINE, "", "memory_bytes", Decimal(self.memory_bytes), source=source)
        cores = Limit(MACHINE, "", "cpu_cores", Decimal(self.cpu_cores * CPU_SHARES_PER_CORE), source=source)
        if gpu_type is None:
            return (memory, cores)
        total = sum(state.device.gpu_type == gpu_type for state in self.devices)
        return (Limit(MACHINE, "", "gpus", Decimal(total), gpu_type=gpu_type, source=source), memory, cores)


def _node(device: GpuDevice) -> str:
    """Return what a GPU shares with the others of its node; all GPUs of a single machine share it."""
    return device.uuid.rpartition("/")[0] if device.node or device.node_pool else ""


def _by_node(devices: Iterable[GpuDevice]) -> dict[str, list[GpuDevice]]:
    nodes: dict[str, list[GpuDevice]] = {}
    for device in devices:
        nodes.setdefault(_node(device), []).append(device)
    return nodes


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

_SUMMED: Mapping[str, Callable[[Allocation], int]] = {name: attrgetter(f"request.{name}") for name in ("gpus", "memory_bytes", "cpu_cores")}
"""The same of an allocation, in one step: there may be a thousand."""


def amount_of(request: LaunchRequest, limit: Limit) -> Decimal:
    """Return what a request takes of a concurrent limit, in the dimension's unit."""
    return Decimal(_taken(request, limit))


def _taken(request: LaunchRequest, limit: Limit) -> int:
    return 0 if limit.gpu_type not in {None, request.gpu_type} else _AMOUNTS[limit.dimension](request)


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
    in_order = sorted(open_allocations, key=lambda a: (a.requested_at, a.id))
    return tuple(_with_holders(usage, caller, in_order, known) for usage in amounts_used(limits, caller, open_allocations, observed))


def amounts_used(limits: Sequence[Limit], caller: Caller, open_allocations: Sequence[Allocation], observed: Observed) -> tuple[LimitUsage, ...]:
    """Return what is used of each limit as :func:`usage_against` does, without saying by what: beside a thousand sessions that takes longer than all the rest."""
    opened = [allocation for allocation in open_allocations if allocation.is_open]
    return tuple(LimitUsage(limit, _used(limit, caller, opened, observed)) for limit in limits)


def _used(limit: Limit, caller: Caller, opened: Sequence[Allocation], observed: Observed) -> Decimal | None:
    kind = DIMENSIONS[limit.dimension].kind
    if kind is Kind.OBSERVED:
        is_known = limit.scope == USER and observed.storage_bytes is not None
        return Decimal(observed.storage_bytes or 0) if is_known else None
    if kind is Kind.WINDOWED:
        return observed.gpu_hours.get((limit.scope, limit.subject, limit.window_days or 0), Decimal(0))
    within = _within(opened, limit, caller)
    if limit.gpu_type is None and limit.dimension in _SUMMED:
        return Decimal(sum(map(_SUMMED[limit.dimension], within)))
    return Decimal(sum(_taken(a.request, limit) for a in within))


def _with_holders(usage: LimitUsage, caller: Caller, in_order: Sequence[Allocation], known: AbstractSet[int | str]) -> LimitUsage:
    limit = usage.limit
    kind = DIMENSIONS[limit.dimension].kind
    if kind is Kind.OBSERVED:
        return usage
    within = _within([a for a in in_order if a.is_open], limit, caller)
    holders = tuple(a for a in within if (a.request.gpus if kind is Kind.WINDOWED else _taken(a.request, limit)))
    return LimitUsage(limit, usage.used, holders, tuple(_name(a, limit, known) for a in holders))


def _within(opened: Sequence[Allocation], limit: Limit, caller: Caller) -> Sequence[Allocation]:
    """Return the allocations that a limit counts."""
    if limit.scope == USER:
        return [a for a in opened if is_owned(a, caller)]
    return opened if limit.scope == MACHINE else [a for a in opened if a.request.project == limit.subject]


def _name(allocation: Allocation, limit: Limit, known: AbstractSet[int | str]) -> str:
    """Return a session's name as the viewer may know it."""
    if allocation.user_id in known or allocation.user_name in known:
        return server_label(allocation)
    return "a session of another member" if limit.scope == PROJECT else "a session of another user"


def server_label(allocation: Allocation) -> str:
    """Return the name of the allocation's server in a sentence."""
    return allocation.server_name or "the default server"
