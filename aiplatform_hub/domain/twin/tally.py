"""Count what a policy does with a trace."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiplatform_hub.domain.twin.result import EventKind, TwinEvent, TwinResult, UserShare, Wait
from aiplatform_hub.domain.twin.trace import Trace, TraceSession


@dataclass(slots=True)
class Tally:
    """Waits, use and events of one run; the only thing in it that grows."""

    trace: Trace
    waits: list[Wait] = field(default_factory=list)
    events: list[TwinEvent] = field(default_factory=list)
    served: dict[str, float] = field(default_factory=dict)
    useful: dict[str, float] = field(default_factory=dict)
    begun_gpu_seconds: float = 0.0
    cut_gpu_seconds: float = 0.0

    def note(self, at_seconds: float, kind: EventKind, session: TraceSession) -> None:
        """Write down what happened."""
        self.events.append(TwinEvent(at_seconds, kind, session.user, session.sequence, session.gpus))

    def waited(self, session: TraceSession, asked_seconds: float, until_seconds: float, *, is_still_waiting: bool = False) -> None:
        """Count a wait that is over, or that the end of the trace cuts off."""
        waited = until_seconds - asked_seconds
        self.waits.append(Wait(session.user, session.project, session.gpus, session.is_office_hours, asked_seconds, waited, is_still_waiting))

    def held(self, session: TraceSession, seconds: float) -> None:
        """Count how long a session held its GPUs, its work first."""
        self.served[session.user] = self.served.get(session.user, 0.0) + session.gpus * seconds
        self.useful[session.user] = self.useful.get(session.user, 0.0) + session.gpus * min(seconds, session.work_seconds)

    def finished(self, session: TraceSession, seconds: float) -> None:
        """Count a session that ended inside the trace, with the work that it lost."""
        self.held(session, seconds)
        self.begun_gpu_seconds += session.gpus * session.work_seconds
        self.cut_gpu_seconds += session.gpus * max(0.0, session.work_seconds - seconds)

    def result(self) -> TwinResult:
        """Return what was counted."""
        whole = self.trace.capacity_gpus * self.trace.duration_seconds
        users = sorted({session.user for session in self.trace.sessions})
        return TwinResult(
            trace=self.trace.name,
            useful_fraction=sum(self.useful.values()) / whole,
            occupancy_fraction=sum(self.served.values()) / whole,
            cut_work_fraction=self.cut_gpu_seconds / self.begun_gpu_seconds if self.begun_gpu_seconds else 0.0,
            waits=tuple(sorted(self.waits, key=lambda wait: (wait.requested_seconds, wait.user))),
            share_by_user={user: UserShare(self.served.get(user, 0.0), self.useful.get(user, 0.0)) for user in users},
            events=tuple(self.events),
        )
