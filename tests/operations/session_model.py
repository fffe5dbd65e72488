"""What the ledger and the quota must come to, in as few lines as possible and without a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

MACHINE_GPUS, USER_GPUS, USER_ENVIRONMENTS = 4, 2, 3


@dataclass
class Session:
    """One open allocation."""

    user: int
    name: str
    gpus: int
    held_at: datetime
    is_taken: bool = False
    spawner_id: int | None = None
    started_at: datetime | None = None
    seen_at: datetime | None = None
    stop_asked: bool = False


@dataclass
class Model:
    """Open sessions, and what the ended ones used."""

    open: dict[UUID, Session] = field(default_factory=dict)
    gpu_microseconds: int = 0
    closed: int = 0

    def refusal(self, user: int, name: str, gpus: int, *, without: UUID | None = None) -> str | None:
        """Return the code that a start must be refused with, or None."""
        others = [s for id_, s in self.open.items() if id_ != without]
        mine = [s for s in others if s.user == user]
        if any(s.name == name for s in mine):
            return "server_exists"
        if gpus > USER_GPUS:
            return "quota_exceeded"
        if gpus and sum(s.gpus for s in mine) + gpus > USER_GPUS:
            return "quota_in_use"
        if len(mine) + 1 > USER_ENVIRONMENTS:
            return "quota_in_use"
        if gpus and sum(s.gpus for s in others) + gpus > MACHINE_GPUS:
            return "capacity"
        return None

    def waiting(self, user: int, name: str) -> UUID | None:
        """Return the hold that a start of this server would find."""
        found = [id_ for id_, s in self.open.items() if (s.user, s.name) == (user, name) and not s.is_taken and s.started_at is None]
        return found[0] if found else None

    def end(self, id_: UUID, at: datetime) -> None:
        """Close a session; what never started used nothing."""
        session = self.open.pop(id_)
        if session.started_at is not None:
            self.closed += 1
            used = max(at, session.started_at) - session.started_at
            self.gpu_microseconds += session.gpus * ((used.days * 86_400 + used.seconds) * 1_000_000 + used.microseconds)
