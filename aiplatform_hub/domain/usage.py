"""Usage intervals: what really ran, half-open ``[start, end)`` in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from aiplatform_hub.domain.allocations import EndCause


@dataclass(frozen=True, slots=True)
class UsageInterval:
    """One stretch during which an allocation's server ran. All instants are aware UTC."""

    id: UUID
    allocation_id: UUID
    user_id: int
    user_name: str
    project: str
    cost_centre: str
    environment_template: str
    gpus: int
    gpu_type: str | None
    memory_bytes: int
    cpu_cores: int
    started_at: datetime
    """Inclusive."""
    ended_at: datetime | None = None
    """Exclusive; None while open."""
    end_cause: EndCause | None = None
    estimated: bool = False
    """True when nobody saw the end, and it is the last proof of life."""
    last_seen_at: datetime | None = None
    """The last proof of life of an open interval."""
    sequence: int | None = None
    """Position in the chain, from 1, given when the row closes."""
    previous_hash: str | None = None
    hash: str | None = None


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What the runtime knows of one session: a process of a machine, or a pod's container. All instants are aware UTC."""

    allocation_id: UUID
    started_at: datetime | None = None
    """None: it has not begun (yet)."""
    ended_at: datetime | None = None
    """By the runtime's own clock; None while it runs and when nobody saw the end."""
    exit_code: int | None = None
    signal: int | None = None
    is_out_of_memory: bool = False
    is_stopped: bool = False
    """Whether its runner had been told to end it."""
    last_seen_at: datetime | None = None
    """Last proof of life on the same scale as ``ended_at``."""
    is_alive: bool = False
    """Whether it runs now."""
    is_runner_alive: bool = False
    """Whether somebody will still write about it: a runner that begins it or writes its end, a kubelet that pulls its image."""
    pid: int | None = None
    port: int | None = None
    is_gone: bool = False
    """Whether the runtime is sure that it has no such session any more: what nobody saw end has ended."""
    is_kept: bool = False
    """Whether something of it stays until the runtime hears that the ledger has closed it."""
    cause: EndCause | None = None
    """Why it ended, where the runtime says so itself: evicted, preempted, deleted, node lost."""
    failure: str | None = None
    """Why it could not be begun, for a person."""


@dataclass(frozen=True, slots=True)
class Records:
    """What a runtime knows of some sessions."""

    found: Mapping[UUID, SessionRecord] = field(default_factory=dict)
    unreadable: frozenset[UUID] = frozenset()
    """Sessions of which nothing can be said just now; nothing is done about them."""
