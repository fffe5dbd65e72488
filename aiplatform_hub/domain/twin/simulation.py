"""Run a trace through a policy in simulated time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from aiplatform_hub.domain.fairshare import DecayedUsage, Person, weighted_gpus
from aiplatform_hub.domain.planner import plan
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.queue_facts import HeldSession, QueuedRequest, ranks, running, waiting
from aiplatform_hub.domain.queue_values import Node, PlannerInput, Start
from aiplatform_hub.domain.release import Action, Cause, SessionFacts, verdict
from aiplatform_hub.domain.session_lengths import SessionKind, SessionLengths, learned_seconds
from aiplatform_hub.domain.twin.people import asks_at, by_user
from aiplatform_hub.domain.twin.result import EventKind, TwinResult
from aiplatform_hub.domain.twin.tally import Tally
from aiplatform_hub.domain.twin.trace import Trace, TraceSession
from aiplatform_hub.domain.wait_estimates import Forecast, PastRequest

GPU_TYPE = "gpu"
"""What the twin calls the one type of its one node."""

LOOK_EVERY_SECONDS = 3600.0
"""How often the planner looks while somebody waits, as requests get older without anything else happening."""


Watcher = Callable[[Forecast, frozenset[str]], None]
"""Is told what the planner knew whenever somebody has begun to wait, and who."""


def simulate(trace: Trace, policy: Policy, watcher: Watcher | None = None) -> TwinResult:
    """Return what a policy does with a trace: event by event, the same twice.

    The policy sees what an installation sees: who asks for how many GPUs, and since when a session's GPUs have been idle.

    Parameters
    ----------
    watcher
        Sees the same, and changes nothing.
    """
    return _Simulation(trace, policy, watcher).run()


class _Happens(Enum):
    ASKS = 0
    WORK_ENDS = 1
    LEAVES = 2
    LOOK = 3


@dataclass(slots=True)
class _Session:
    """A session that holds GPUs."""

    of: TraceSession
    started_seconds: float
    must_end_seconds: float | None
    idle_since_seconds: float | None = None

    def facts(self, now_seconds: float) -> SessionFacts:
        return SessionFacts(now_seconds, self.started_seconds, self.idle_since_seconds, must_end_seconds=self.must_end_seconds)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that waits."""

    of: TraceSession
    at_seconds: float


class _Simulation:
    def __init__(self, trace: Trace, policy: Policy, watcher: Watcher | None) -> None:
        self._trace = trace
        self._policy = policy
        self._tally = Tally(trace)
        self._to_come = by_user(trace.sessions)
        self._usage = {Person(session.project, session.user): DecayedUsage() for session in trace.sessions}
        self._lengths = SessionLengths()
        self._nodes = (Node(trace.name, GPU_TYPE, trace.capacity_gpus),)
        self._running: dict[str, _Session] = {}
        self._waiting: dict[str, _Asked] = {}
        self._events: list[tuple[float, int, _Happens, TraceSession | None]] = []
        self._pushed = 0
        self._next_look_seconds = 0.0
        self._watcher = watcher
        self._past: list[PastRequest] = []

    def run(self) -> TwinResult:
        for user in self._to_come:
            self._ask_next(user, 0.0)
        while self._events and self._events[0][0] < self._trace.duration_seconds:
            now = self._events[0][0]
            while self._events and self._events[0][0] == now:
                _, _, happens, session = heapq.heappop(self._events)
                self._happen(now, happens, session)
            self._settle(now)
            self._tell_watcher(now)
        return self._close()

    def _tell_watcher(self, now: float) -> None:
        new = frozenset(user for user, asked in self._waiting.items() if asked.at_seconds == now)
        if self._watcher is not None and new:
            kinds = {user: _kind(asked.of) for user, asked in self._waiting.items()} | {user: _kind(held.of) for user, held in self._running.items()}
            started = {user: held.started_seconds for user, held in self._running.items()}
            self._watcher(Forecast(self._planner_input(now), kinds, started, self._lengths, self._past), new)

    def _push(self, at_seconds: float, happens: _Happens, session: TraceSession | None) -> None:
        self._pushed += 1
        heapq.heappush(self._events, (at_seconds, self._pushed, happens, session))

    def _ask_next(self, user: str, free_seconds: float) -> None:
        session = next(self._to_come[user], None)
        if session is not None:
            self._push(asks_at(session, free_seconds), _Happens.ASKS, session)

    def _happen(self, now: float, happens: _Happens, session: TraceSession | None) -> None:
        if session is None:
            return
        if happens is _Happens.ASKS:
            self._waiting[session.user] = _Asked(session, now)
            self._past.append(PastRequest(now, _person(session), _kind(session), GPU_TYPE))
            self._tally.note(now, EventKind.REQUESTED, session)
            return
        held = self._running.get(session.user)
        if held is None or held.of is not session:
            return
        if happens is _Happens.WORK_ENDS:
            held.idle_since_seconds = now
            self._look_at_deadline(held, now)
        elif happens is _Happens.LEAVES:
            self._end(held, now, EventKind.ENDED)

    def _look_at_deadline(self, held: _Session, now: float) -> None:
        """Look again when something may first take the session's GPUs."""
        deadline = verdict(held.facts(now), self._policy, is_somebody_waiting=True).deadline_seconds
        if deadline is not None and deadline > now:
            self._push(deadline, _Happens.LOOK, None)

    def _settle(self, now: float) -> None:
        """Release and start until nothing more follows at this instant."""
        while True:
            gone = self._released(now, frozenset())
            if not gone and self._waiting:
                planned = plan(self._planner_input(now))
                for start in planned.starts:
                    self._start(start, now)
                gone = self._released(now, planned.claims)
            for user, kind in gone:
                self._end(self._running[user], now, kind)
            if not gone:
                break
        if self._waiting and self._next_look_seconds <= now:
            self._next_look_seconds = now + LOOK_EVERY_SECONDS
            self._push(self._next_look_seconds, _Happens.LOOK, None)

    def _released(self, now: float, claims: frozenset[str]) -> list[tuple[str, EventKind]]:
        """Return whose sessions end now by the release rules."""
        found = []
        for user, held in self._running.items():
            verdict_now = verdict(held.facts(now), self._policy, is_somebody_waiting=user in claims)
            if verdict_now.action is Action.RELEASE and verdict_now.why is not None:
                found.append((user, _RELEASED[verdict_now.why]))
        return found

    def _planner_input(self, now: float) -> PlannerInput:
        held = [HeldSession(user, _person(session.of), _kind(session.of), self._trace.name, session.facts(now)) for user, session in self._running.items()]
        asked = [QueuedRequest(user, _person(a.of), _kind(a.of), GPU_TYPE, a.at_seconds) for user, a in self._waiting.items()]
        return PlannerInput(
            now_seconds=now,
            nodes=self._nodes,
            running=tuple(running(session, self._lengths, self._policy) for session in held),
            waiting=tuple(waiting(request, self._lengths, self._policy) for request in asked),
            ranks=ranks(self._usage, now, self._policy),
            policy=self._policy,
        )

    def _start(self, start: Start, now: float) -> None:
        asked = self._waiting.pop(start.request_id)
        session = asked.of
        held = _Session(session, now, start.must_end_seconds)
        self._running[session.user] = held
        self._tally.waited(session, asked.at_seconds, now)
        self._tally.note(now, EventKind.STARTED, session)
        self._use(session, now, session.gpus)
        self._push(now + session.work_seconds, _Happens.WORK_ENDS, session)
        self._push(now + session.work_seconds + session.idle_tail_seconds, _Happens.LEAVES, session)
        self._look_at_deadline(held, now)

    def _end(self, held: _Session, now: float, kind: EventKind) -> None:
        session, seconds = held.of, now - held.started_seconds
        del self._running[session.user]
        self._use(session, now, -session.gpus)
        self._tally.finished(session, seconds)
        self._tally.note(now, kind, session)
        busy = None if held.idle_since_seconds is None else held.idle_since_seconds - held.started_seconds
        self._lengths = self._lengths.with_finished(_kind(session), learned_seconds(seconds, busy, self._policy.idle_after_seconds))
        self._ask_next(session.user, now)

    def _use(self, session: TraceSession, now: float, gpus: int) -> None:
        person = _person(session)
        self._usage[person] = self._usage[person].changed(now, weighted_gpus(gpus, GPU_TYPE, self._policy), self._policy.half_life_seconds)

    def _close(self) -> TwinResult:
        end = self._trace.duration_seconds
        for held in self._running.values():
            self._tally.held(held.of, end - held.started_seconds)
        for asked in self._waiting.values():
            self._tally.waited(asked.of, asked.at_seconds, end, is_still_waiting=True)
        return self._tally.result()


_RELEASED = {Cause.IDLE: EventKind.RELEASED_IDLE, Cause.CAP: EventKind.RELEASED_CAP, Cause.CLASS: EventKind.RELEASED_CLASS}


def _person(session: TraceSession) -> Person:
    return Person(session.project, session.user)


def _kind(session: TraceSession) -> SessionKind:
    return SessionKind(session.user, session.gpus)
