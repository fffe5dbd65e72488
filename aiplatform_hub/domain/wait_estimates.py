"""How long those who wait will probably wait: the queue played forward many times. Pure, and the same for the same input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any

from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.planner_board import Board
from aiplatform_hub.domain.policy import DAY_SECONDS
from aiplatform_hub.domain.queue_facts import EXPECTED_QUANTILE
from aiplatform_hub.domain.queue_order import in_order, is_overdue, is_promoted
from aiplatform_hub.domain.queue_values import PlannerInput, Running, Waiting
from aiplatform_hub.domain.session_lengths import SessionKind, SessionLengths
from aiplatform_hub.domain.wait_draws import DRAWS, HORIZON_SECONDS, Course, Held, Job, Stage, line_of

MOST_DAYS = 28
"""Requests of so many days tell who comes next."""
MOST_PAST = 600
"""… and so many of them at most."""
PLAYED = 8
"""So many requests from the front are played; behind them only the work before each is added up."""
DRAWN_QUANTILES = (0.045, 0.5, 0.96)
"""Which quantiles of the courses are told as the 10, 50 and 90 % quantiles of a wait.

Courses are narrower than life: places in the Fair Tree stay in them as they are, and next month is like the last. The two outer ones
were set after a first run over traces and made demand, so that 80 % of the waits end between them.
"""


@dataclass(frozen=True, slots=True)
class WaitEstimate:
    """How long a request will wait from now, in seconds."""

    p10_seconds: float
    p50_seconds: float
    p90_seconds: float
    is_known: bool = True
    """Whether enough finished sessions tell it; otherwise the lengths are assumed."""

    def after(self, seconds: float) -> WaitEstimate:
        """Return what is left of it some time later."""
        p10, p50, p90 = (max(0.0, each - seconds) for each in (self.p10_seconds, self.p50_seconds, self.p90_seconds))
        return WaitEstimate(p10, p50, p90, self.is_known)


@dataclass(frozen=True, slots=True)
class PastRequest:
    """A request that somebody made for GPUs."""

    at_seconds: float
    person: Person
    kind: SessionKind
    gpu_type: str | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What an estimate depends on."""

    line: PlannerInput
    kinds: Mapping[str, SessionKind]
    """What is known of each session that runs and each request that waits, by id."""
    started_seconds: Mapping[str, float]
    """Since when each session runs, by id."""
    lengths: SessionLengths
    past: Sequence[PastRequest] = ()
    """Requests of the last days, the oldest first."""


def estimates(given: Forecast) -> dict[str, WaitEstimate]:
    """Return when each request that waits will probably start.

    What waits for a limit of its own, or is larger than every node, has no estimate: that depends on what its owner does.
    """
    staging = _Staging(given)
    stage = staging.stage()
    courses = _courses(stage)
    starts = [_starts(courses, number) for number in range(len(stage.waiting))]
    starts += _behind(stage, staging.behind(), courses)
    return {id_: staging.estimate(waits) for id_, waits in zip(staging.ids, starts, strict=True)}


class OneEstimate:
    """Estimates one request at a time, the same as :func:`estimates`: courses are played no further than until it has started.

    Of those further back, who differ in themselves alone, the courses of those before them are played once; and who may come is
    told once for all of one instant.
    """

    def __init__(self) -> None:
        self._played: tuple[Stage, list[Course]] | None = None
        self._coming: _Coming | None = None

    def of(self, given: Forecast, request_id: str) -> WaitEstimate | None:
        """Return when the request will probably start; None if it has no estimate."""
        staging = _Staging(given, self._coming)
        if request_id not in staging.ids:
            return None
        self._coming = staging.coming
        stage, number = staging.stage(), staging.ids.index(request_id)
        if number < len(stage.waiting):
            return staging.estimate(_starts(_courses(stage, number), number))
        if self._played is None or self._played[0] != stage:
            self._played = (stage, _courses(stage))
        return staging.estimate(_behind(stage, staging.behind(), self._played[1])[number - len(stage.waiting)])


def _courses(stage: Stage, target: int | None = None) -> list[Course]:
    line = line_of(stage)
    return [Course(stage, line, draw, target).play() for draw in range(DRAWS)] if stage.waiting else []


def _starts(courses: Sequence[Course], number: int) -> list[float]:
    return [course.starts.get(number, HORIZON_SECONDS) for course in courses]


def _behind(stage: Stage, jobs: Sequence[Job], courses: Sequence[Course]) -> list[list[float]]:
    """Return in each course when those further back start: the work before them, and what passes it, is shared out over the GPUs."""
    if not jobs:
        return []
    of_queue, of_all = sum(course.of_queue for course in courses), sum(course.of_all for course in courses)
    at = [max(course.starts.values()) if len(course.starts) == len(stage.waiting) else HORIZON_SECONDS for course in courses]
    gpus = sum(stage.free) + sum(held.job.gpus for held in stage.held)
    cap = stage.policy.session_cap_seconds if stage.policy.is_releasing else None
    starts = []
    for job in jobs:
        each = job.gpus * (of_all / of_queue if of_queue else 1.0) / gpus
        lengths = job.in_turn() if cap is None else [min(cap, length) for length in job.in_turn()]
        at = [before + each * length for before, length in zip(at, lengths, strict=True)]
        starts.append(at)
    return starts


def in_own_order(ascending: Sequence[float], number: int) -> tuple[float, ...]:
    """Return strata in an order that is another for each of the first 210 numbers."""
    picked: tuple[float, ...] = _steps(1 + number * 73 % (DRAWS - 1))(ascending)
    return picked


@lru_cache(maxsize=DRAWS)
def _steps(step: int) -> itemgetter[Any]:
    return itemgetter(*[draw * step % DRAWS for draw in range(DRAWS)])


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is the same for all new sessions of a kind."""

    lengths: tuple[float, ...]
    expected_seconds: float
    safe_seconds: float


@dataclass(slots=True)
class _Naming:
    """Gives each person a number, and the sessions of each kind their lengths in an order of their own."""

    lengths: SessionLengths
    safe_quantile: float
    people: dict[Person, int] = field(default_factory=dict)
    kinds: dict[SessionKind, _Kind] = field(default_factory=dict)

    def person(self, person: Person) -> int:
        return self.people.setdefault(person, len(self.people))

    def kind(self, kind: SessionKind) -> _Kind:
        known = self.kinds.get(kind)
        if known is None:
            ascending, _ = self.lengths.strata(kind, 0.0, DRAWS)
            expected, safe = ascending[int(EXPECTED_QUANTILE * DRAWS)], ascending[min(DRAWS - 1, int(self.safe_quantile * DRAWS))]
            known = self.kinds[kind] = _Kind(in_own_order(ascending, len(self.kinds)), expected, safe)
        return known

    def copy(self) -> _Naming:
        return _Naming(self.lengths, self.safe_quantile, dict(self.people), dict(self.kinds))


class _Coming:
    """The requests of earlier days, one of whose days comes again. They differ neither by who asks nor by what is asked for."""

    def __init__(self, given: Forecast) -> None:
        line = given.line
        since = line.now_seconds - MOST_DAYS * DAY_SECONDS
        past = [request for request in given.past[-MOST_PAST:] if request.at_seconds >= since]
        self._from = (given.past, given.lengths, line.policy, line.nodes, line.ranks, line.now_seconds, len(line.running))
        self._naming = _Naming(given.lengths, line.policy.backfill_quantile)
        self._whole = {name: max((node.gpus for node in line.nodes if name in {None, node.gpu_type}), default=0) for name in {each.gpu_type for each in past}}
        self.days = int((line.now_seconds - past[0].at_seconds) // DAY_SECONDS) if past else 0
        self.jobs = tuple(self._job(number, request, line) for number, request in enumerate(past, PLAYED + len(line.running))) if self.days else ()

    def is_of(self, given: Forecast) -> bool:
        """Whether another forecast has the same."""
        line = given.line
        past, lengths, policy, nodes, ranks, now, running = self._from
        is_then = (now, running, nodes) == (line.now_seconds, len(line.running), line.nodes)
        return is_then and past is given.past and lengths is given.lengths and policy is line.policy and ranks is line.ranks

    def naming(self) -> _Naming:
        """Return names that go on behind theirs."""
        return self._naming.copy()

    def _job(self, number: int, request: PastRequest, line: PlannerInput) -> Job:
        kind, gpus = self._naming.kind(request.kind), request.kind.gpus
        return Job(
            number=number,
            person=self._naming.person(request.person),
            rank=line.ranks.get(request.person, 0),
            gpus=gpus,
            gpu_type=request.gpu_type,
            is_whole=gpus > 1 and self._whole[request.gpu_type] == gpus,
            requested_seconds=request.at_seconds,
            expected_seconds=kind.expected_seconds,
            safe_seconds=kind.safe_seconds,
            lengths=kind.lengths,
        )


class _Staging:
    """Makes the stage of all courses from what the planner is told."""

    def __init__(self, given: Forecast, before: _Coming | None = None) -> None:
        self._given = given
        self._line = given.line
        self._board = Board(given.line)
        self.coming = before if before is not None and before.is_of(given) else _Coming(given)
        self._naming = self.coming.naming()
        self._known_gpus = 0
        self._asking = [w for w in in_order(given.line, self._board) if not w.blocked_by and self._board.nodes_for(w)]

    @property
    def ids(self) -> list[str]:
        """Those who have an estimate, in the planner's order."""
        return [request.id for request in self._asking]

    @property
    def is_known(self) -> bool:
        """Whether finished sessions tell about those who hold half of the GPUs that are held."""
        return 2 * self._known_gpus >= sum(session.gpus for session in self._line.running)

    def estimate(self, waits: Sequence[float]) -> WaitEstimate:
        """Return what is told of a request's wait in every course."""
        ascending = sorted(waits)
        p10, p50, p90 = (min(HORIZON_SECONDS, ascending[int(fraction * len(ascending))]) for fraction in DRAWN_QUANTILES)
        return WaitEstimate(p10, p50, p90, self.is_known)

    def behind(self) -> list[Job]:
        """Return the requests further back than are played."""
        first = 10 * len(self._given.past) + len(self._asking)
        return [self._waiting(first + number, request) for number, request in enumerate(self._asking[PLAYED:])]

    def stage(self) -> Stage:
        """Return what all courses begin with."""
        line = self._line
        waiting = tuple(self._waiting(number, request) for number, request in enumerate(self._asking[:PLAYED]))
        nodes = {node.name: number for number, node in enumerate(line.nodes)}
        sessions = [s for s in line.running if s.node in nodes]
        held = tuple(self._held(number, session, nodes[session.node]) for number, session in enumerate(sessions, len(waiting)))
        free = [node.gpus for node in line.nodes]
        for session in held:
            free[session.node] -= session.job.gpus
        return Stage(
            now_seconds=line.now_seconds,
            policy=line.policy,
            node_types=tuple(node.gpu_type for node in line.nodes),
            free=tuple(free),
            held=held,
            waiting=waiting,
            people=len(self._naming.people),
            arrivals=self.coming.jobs,
            days=self.coming.days,
        )

    def _waiting(self, number: int, request: Waiting) -> Job:
        return Job(
            number=number,
            person=self._naming.person(request.person),
            rank=self._line.ranks.get(request.person, 0),
            gpus=request.gpus,
            gpu_type=request.gpu_type,
            is_whole=self._board.is_whole_node(request),
            requested_seconds=request.requested_seconds if request.moved_seconds is None else -request.moved_seconds,
            expected_seconds=request.expected_seconds,
            safe_seconds=request.safe_seconds,
            lengths=self._naming.kind(self._given.kinds[request.id]).lengths,
            group=0 if request.moved_seconds is not None or is_overdue(request, self._line) else 1 if is_promoted(request, self._line, self._board) else 2,
        )

    def _held(self, number: int, session: Running, node: int) -> Held:
        line, started = self._line, self._given.started_seconds[session.id]
        left, is_known = self._given.lengths.strata(self._given.kinds[session.id], max(0.0, line.now_seconds - started), DRAWS)
        self._known_gpus += session.gpus if is_known else 0
        takeable = session.takeable_from_seconds
        if takeable is not None and abs(session.expected_end_seconds - max(takeable, line.now_seconds)) < 1:  # idle: it goes as soon as it may
            left = (max(0.0, session.expected_end_seconds - line.now_seconds),) * DRAWS
        left = in_own_order(left, number)
        job = Job(
            number=number,
            person=self._naming.person(session.person),
            rank=line.ranks.get(session.person, 0),
            gpus=session.gpus,
            gpu_type=None,
            is_whole=False,
            requested_seconds=started,
            expected_seconds=0.0,
            safe_seconds=0.0,
            lengths=left,
        )
        return Held(job, node, None if takeable is None else max(line.now_seconds, takeable), session.must_end_seconds)
