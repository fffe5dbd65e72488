"""Usage intervals: what really ran, half-open ``[start, end)`` in UTC."""

from __future__ import annotations

from dataclasses import dataclass
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
    """What the runtime knows of one server's process. All instants are aware UTC."""

    allocation_id: UUID
    started_at: datetime | None = None
    """None: the process has not begun (yet)."""
    ended_at: datetime | None = None
    """By the start plus the monotonic time that passed."""
    exit_code: int | None = None
    signal: int | None = None
    is_out_of_memory: bool = False
    is_stopped: bool = False
    """Whether its runner had been told to end it."""
    last_seen_at: datetime | None = None
    """Last proof of life on the same scale as ``ended_at``."""
    is_alive: bool = False
    """Whether the server's process (same id and same start time) exists now."""
    is_runner_alive: bool = False
    pid: int | None = None
    port: int | None = None
    failure: str | None = None
    """Why the process could not be begun, for a person."""
