"""What the ledger, the quota and the queue must come to, in as few lines as possible and without a database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

MACHINE_GPUS, USER_GPUS, USER_ENVIRONMENTS = 4, 2, 3
INTEREST = timedelta(hours=24)


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
    waited: Request | None = None
    """What it was in the queue; None if it never waited."""


@dataclass(frozen=True)
class Request:
    """One queued allocation."""

    user: int
    name: str
    gpus: int
    confirmed_at: datetime
    failures: int = 0


@dataclass
class Model:
    """Open sessions, who waits in order of the submit times, and what the ended ones used."""

    open: dict[UUID, Session] = field(default_factory=dict)
    queue: dict[UUID, Request] = field(default_factory=dict)
    blocked: frozenset[UUID] = frozenset()
    """Who waited for a limit of their own at the last pass."""
    gpu_microseconds: int = 0
    closed: int = 0

    def refusal(self, user: int, name: str, gpus: int, *, without: UUID | None = None) -> str | None:
        """Return the code that a start must be refused with, or None."""
        if any((r.user, r.name) == (user, name) for r in self.queue.values()):
            return "server_exists"
        return self._own(user, name, gpus, without) or self._of_machine(gpus, without)

    def own(self, request: Request) -> str | None:
        """Return which limit of its own a request waits for, or None."""
        return self._own(request.user, "", request.gpus, None)

    def _own(self, user: int, name: str, gpus: int, without: UUID | None) -> str | None:
        mine = [s for id_, s in self.open.items() if id_ != without and s.user == user]
        if name and any(s.name == name for s in mine):
            return "server_exists"
        if gpus > USER_GPUS:
            return "quota_exceeded"
        if gpus and sum(s.gpus for s in mine) + gpus > USER_GPUS:
            return "quota_in_use"
        return "quota_in_use" if len(mine) + 1 > USER_ENVIRONMENTS else None

    def _of_machine(self, gpus: int, without: UUID | None) -> str | None:
        used = sum(s.gpus for id_, s in self.open.items() if id_ != without)
        if gpus and used + gpus > MACHINE_GPUS:
            return "capacity"
        left = MACHINE_GPUS - used - sum(self.queue[id_].gpus for id_ in self.planned(self.blocked, MACHINE_GPUS - used))
        return "capacity" if gpus > left else None

    def planned(self, blocked: Iterable[UUID], free: int) -> list[UUID]:
        """Return who starts on so many free GPUs: those whose start failed first, then by submit time, whoever fits."""
        order = sorted(self.queue, key=lambda id_: (not self.queue[id_].failures, str(id_) if self.queue[id_].failures else ""))
        found = []
        for id_ in order:
            gpus = self.queue[id_].gpus
            if gpus and id_ not in blocked and gpus <= free:
                free -= gpus
                found.append(id_)
        return found

    def dispatch(self, now: datetime) -> set[UUID]:
        """Let a pass hold for everybody who may have it; return who left the queue for want of interest."""
        gone = {id_ for id_, r in self.queue.items() if now - r.confirmed_at >= INTEREST}
        refused: set[UUID] = set()
        while True:
            blocked = {id_ for id_, r in self.queue.items() if id_ in refused | gone or self.own(r)}
            free = MACHINE_GPUS - sum(s.gpus for s in self.open.values())
            wanted = [id_ for id_, r in self.queue.items() if not r.gpus and id_ not in blocked] + self.planned(blocked, free)
            late = {id_ for id_ in wanted if not self._hold(id_, now)}
            self.blocked = frozenset(blocked - gone)
            refused |= late
            for id_ in gone:
                self.queue.pop(id_, None)
            if not late:
                return gone

    def _hold(self, id_: UUID, now: datetime) -> bool:
        request = self.queue[id_]
        if self.own(request):
            return False
        del self.queue[id_]
        self.open[id_] = Session(request.user, request.name, request.gpus, now, waited=request)
        return True

    def waiting(self, user: int, name: str) -> UUID | None:
        """Return the hold that a start of this server would find."""
        found = [id_ for id_, s in self.open.items() if (s.user, s.name) == (user, name) and not s.is_taken and s.started_at is None]
        return found[0] if found else None

    def is_due_again(self, id_: UUID) -> bool:
        """Whether a failed start of this hold goes back to the front of the queue."""
        session = self.open[id_]
        return session.waited is not None and not session.waited.failures and not session.stop_asked

    def again(self, session: Session, id_: UUID, confirmed_at: datetime) -> None:
        """Put a request back; its submit time is as it was, which does not matter at the front."""
        assert session.waited is not None
        self.queue[id_] = replace(session.waited, name=session.name, confirmed_at=confirmed_at, failures=1)

    def end(self, id_: UUID, at: datetime) -> Session:
        """Close a session; what never started used nothing."""
        session = self.open.pop(id_)
        if session.started_at is not None:
            self.closed += 1
            used = max(at, session.started_at) - session.started_at
            self.gpu_microseconds += session.gpus * ((used.days * 86_400 + used.seconds) * 1_000_000 + used.microseconds)
        return session
