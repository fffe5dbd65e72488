"""Allocations: resources promised to one start of one server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from aiplatform_hub.domain.requests import LaunchRequest


class AllocationState(StrEnum):
    """Where an allocation is in its life."""

    QUEUED = "queued"
    HELD = "held"
    ACTIVE = "active"
    ENDED = "ended"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


OPEN_STATES = frozenset({AllocationState.HELD, AllocationState.ACTIVE})
"""States that hold quota and devices."""

TRANSITIONS: dict[AllocationState, frozenset[AllocationState]] = {
    AllocationState.QUEUED: frozenset({AllocationState.HELD, AllocationState.WITHDRAWN, AllocationState.EXPIRED}),
    AllocationState.HELD: frozenset(
        {AllocationState.ACTIVE, AllocationState.ENDED, AllocationState.WITHDRAWN, AllocationState.EXPIRED, AllocationState.QUEUED}
    ),
    AllocationState.ACTIVE: frozenset({AllocationState.ENDED}),
    AllocationState.ENDED: frozenset(),
    AllocationState.DENIED: frozenset(),
    AllocationState.WITHDRAWN: frozenset(),
    AllocationState.EXPIRED: frozenset(),
}
"""The allowed next states of each state."""


class EndCause(StrEnum):
    """Why an allocation ended."""

    STOPPED_BY_USER = "stopped_by_user"
    STOPPED_BY_ADMIN = "stopped_by_admin"
    STOPPED = "stopped"
    """Stopped through the hub; by whom was not recorded."""
    CULLED = "culled"
    EXITED = "exited"
    """The server ended by itself with exit code 0."""
    CRASHED = "crashed"
    """The server ended by itself with another exit code."""
    KILLED = "killed"
    """The server was ended by a signal that the platform did not send."""
    OUT_OF_MEMORY = "out_of_memory"
    EVICTED = "evicted"
    """The node put the pod out, for want of memory or disk."""
    PREEMPTED = "preempted"
    """A pod of higher priority took its place."""
    DELETED = "deleted"
    """Its pod was deleted by somebody other than the platform."""
    NODE_LOST = "node_lost"
    """Its node stopped answering; the end is the last renewal of the node's lease, ``estimated``."""
    START_FAILED = "start_failed"
    """The server never answered; metered, priced 0."""
    LOST = "lost"
    """Nobody saw the end; the end is the last proof of life, ``estimated``."""
    HOLD_EXPIRED = "hold_expired"
    """No start took the hold up within its minute."""
    INTEREST_EXPIRED = "interest_expired"
    """Its owner did not confirm in time that they still want it."""
    OWNER_GONE = "owner_gone"
    """The hub does not have its owner any more."""
    TEMPLATE_REMOVED = "template_removed"
    """Its environment template is not in the catalogue any more."""
    PROJECT_CLOSED = "project_closed"
    """Its project is not in the catalogue any more."""
    NOT_ALLOWED = "not_allowed"
    """Its owner may not use its environment template or project any more."""
    OPTIONS_REFUSED = "options_refused"
    """The catalogue does not allow its amounts or GPU type any more."""
    IDLE = "idle"
    """Given back while its GPUs were idle and somebody waited for them."""
    SESSION_CAP = "session_cap"
    """Given back after the longest session of the policy."""
    CLASS_BEGINS = "class_begins"
    """Ended for a class that has reserved its GPUs."""
    NOT_OPENED = "not_opened"
    """Started out of the queue, and its owner did not come in time."""
    NEVER_FITS = "never_fits"
    """Its owner's or project's limits were lowered below it."""
    BUDGET_EXHAUSTED = "budget_exhausted"
    """A budget that it would be paid from has too little left; or the one that paid for it is spent, and stops what runs."""


@dataclass(frozen=True, slots=True)
class ServerKey:
    """Identity of a server: never its name alone, because servers can be renamed."""

    user_id: int
    server_name: str
    """The hub's name; empty for the default server."""
    spawner_id: int | None = None
    """``orm_spawner.id`` in the hub's database; None while the hub has no such row yet."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """The one record of resources promised to one start of one server. All instants are aware UTC."""

    id: UUID
    user_id: int
    user_name: str
    server_name: str
    spawner_id: int | None
    request: LaunchRequest
    state: AllocationState
    devices: tuple[str, ...]
    """UUIDs of the leased GPUs, in order."""
    door: str
    """Where it came in: ``rest``, ``hub`` or ``page``."""
    actor: str
    """Name of the user or service that asked for it."""
    requested_at: datetime
    held_at: datetime | None = None
    starting_at: datetime | None = None
    """When a start took the hold up."""
    started_at: datetime | None = None
    """When the server's process began, by the runtime's record."""
    ready_at: datetime | None = None
    """When the server first answered."""
    ended_at: datetime | None = None
    end_cause: EndCause | None = None
    estimated: bool = False
    stop_requested_by: str | None = None
    """Who asked for the stop, written before the hub is asked to stop."""
    stop_cause: EndCause | None = None
    """The cause to record once the process has ended."""
    hub_instance: str | None = None
    """Which life of the hub took the hold up."""
    queued_at: datetime | None = None
    """Submit time in the queue; None if it never waited."""
    confirmed_at: datetime | None = None
    """When its owner last said that they want it, while it waits."""
    requeued: int = 0
    """How often a failed start put it back to the front of the queue."""
    succeeds: UUID | None = None
    """The allocation whose failed start it repeats, or which nobody opened."""
    must_end_at: datetime | None = None
    """When a class begins for which it was told at its start to make room."""
    extended_until: datetime | None = None
    """Until when its owner asked to keep it, idle or over its cap."""
    opened_at: datetime | None = None
    """When somebody was first seen in a session that its owner had waited for."""
    moved_up_at: datetime | None = None
    """When an admin moved it to the front of the queue; None if nobody did, or it was undone."""
    stop_message: str | None = None
    """What whoever stopped it told its owner."""
    tier: str | None = None
    """Tier of its owner when it was decided on; None for what was decided on before tiers were stored."""

    @property
    def is_queued(self) -> bool:
        """Whether it waits in the queue and holds nothing."""
        return self.state is AllocationState.QUEUED

    @property
    def is_open(self) -> bool:
        """Whether it holds quota and devices."""
        return self.state is AllocationState.HELD or self.state is AllocationState.ACTIVE  # a set would hash it, which is slow in Python


@dataclass(frozen=True, slots=True)
class AllocationEvent:
    """One transition. The transition into the first state is the decision."""

    id: int
    """Grows by time; the id of a server-sent event."""
    allocation_id: UUID
    at: datetime
    from_state: AllocationState | None
    to_state: AllocationState
    cause: str
    """Why: ``admitted``, ``queued``, ``dispatched``, ``requeued``, ``queued_again``, ``changed``, ``confirmed``, ``starting``, ``started``, ``ready``, ``opened``, ``renamed``, ``moved_up``, ``move_undone`` or an :class:`EndCause`."""
    actor: str
    """Who: a user's name, ``hub``, ``keeper`` or ``platform``."""


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """One physical (or simulated) GPU."""

    uuid: str
    gpu_type: str
    memory_bytes: int
    is_healthy: bool = True
    is_simulated: bool = False
    index: int = 0
    """Order on the machine."""
    product_name: str = ""
    """As NVML or the node's label says it."""
    node: str | None = None
    """Name of the cluster node that has it; None on a single machine, and where an autoscaler has yet to start the node."""
    node_pool: str | None = None
    """Name of the node pool whose autoscaler would start its node."""
    is_drained: bool = False
    """Whether an admin lets nothing new start on it."""
