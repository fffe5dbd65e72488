"""One possible course of the next days: who of those who wait starts when. Pure, and quick rather than exact.

It deals out GPUs by the planner's rules (order of the Fair Tree, whole nodes first, reservation and backfill, session cap),
but moves from one end of a session to the next without making a plan: places in the Fair Tree stay as they are now, and a
reservation reckons with the ends of this very course.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import repeat
from typing import NamedTuple

from aiplatform_hub.domain.policy import DAY_SECONDS, Policy

DRAWS = 211
"""Courses of one estimate: a prime, so that each multiplier visits every stratum once."""
LOOKED_AT = 40
"""So many requests at most are tried on GPUs that came free."""
HORIZON_SECONDS = 10 * DAY_SECONDS
"""What has not started by then is not looked at any more."""

Entry = tuple[int, float, float, float, int]
"""A request's place in line: what orders it, and its number."""
Event = tuple[float, int, int, int]
"""When, what, whose number, and the node or the group."""
_ENDS, _CAPPED, _RIPENS, _COMES = range(4)
OVERDUE, WHOLE, OTHERS = range(3)
"""Who comes first whatever the Fair Tree says, as in :mod:`aiplatform_hub.domain.queue_order`."""


@dataclass(frozen=True, slots=True)
class Job:
    """A session that runs, a request that waits, or one that may come."""

    number: int
    """Which stratum it has in each course follows from it."""
    person: int
    rank: int
    gpus: int
    gpu_type: str | None
    is_whole: bool
    """Whether it fills a whole node."""
    requested_seconds: float
    """For a session: its start."""
    expected_seconds: float
    safe_seconds: float
    lengths: Sequence[float]
    """One length for each stratum, in an order of the kind's own, in seconds; of a session what is left of it from now."""
    group: int = OTHERS

    def drawn(self, draw: int) -> float:
        """Return its length in one course: over all courses, each stratum once."""
        return self.lengths[(draw + self.number * 101) % DRAWS]

    def in_turn(self) -> Sequence[float]:
        """Return its length in every course."""
        first = self.number * 101 % DRAWS
        return [*self.lengths[first:], *self.lengths[:first]]

    def places(self, group: int, requested_seconds: float, policy: Policy) -> tuple[Entry, Entry]:
        """Return its place where the Fair Tree orders, and where few wait and the longest come first."""
        if group != OTHERS or not policy.is_fair:
            one = group, 0.0, 0.0, requested_seconds, self.number
            return one, one
        use = self.gpus * self.expected_seconds if policy.is_shortest_first else 0.0
        return (group, self.rank, use, requested_seconds, self.number), (group, -self.expected_seconds, 0.0, requested_seconds, self.number)


class Held(NamedTuple):
    """A session that runs now."""

    job: Job
    node: int
    takeable_from_seconds: float | None
    must_end_seconds: float | None


@dataclass(frozen=True, slots=True)
class Stage:
    """What all courses begin with."""

    now_seconds: float
    policy: Policy
    node_types: tuple[str, ...]
    free: tuple[int, ...]
    held: tuple[Held, ...]
    waiting: tuple[Job, ...]
    people: int
    """Number of different people."""
    arrivals: tuple[Job, ...] = ()
    """Past requests, the oldest first: on some day such requests come again."""
    days: int = 0
    """So many whole days of them are known."""


@dataclass(frozen=True, slots=True)
class Line:
    """Who waits at the beginning, in both orders."""

    fair: tuple[Entry, ...]
    short: tuple[Entry, ...]
    places: Mapping[int, tuple[Entry, Entry]]
    jobs: Mapping[int, Job]
    wholes: tuple[int, ...]
    """Those for a whole node that do not come first yet."""
    active: tuple[int, ...]
    """How much each person waits for or holds."""
    asked: int
    events: tuple[Event, ...]
    """When they come, ripen or are overdue."""
    ends: tuple[tuple[float, ...], ...]
    """When the sessions that run end, in each course."""
    nodes: tuple[OnNode, ...] = ()
    """Which of them are where, for each node that has some."""


class OnNode(NamedTuple):
    """The sessions that run on one node now: their numbers, 1 being the first of all, with what is the same in every course."""

    node: int
    numbers: tuple[int, ...]
    jobs: tuple[Job, ...]
    takeable: tuple[float | None, ...]

    @staticmethod
    def of(held: Sequence[Held], node: int) -> OnNode:
        """Return those of a node."""
        here = [(number, each.job, each.takeable_from_seconds) for number, each in enumerate(held, 1) if each.node == node]
        numbers, jobs, takeable = zip(*here, strict=True)
        return OnNode(node, numbers, jobs, takeable)


def line_of(stage: Stage) -> Line:
    """Return who waits at the beginning: the same in every course."""
    waiting = [job for job in stage.waiting if job.requested_seconds <= stage.now_seconds]
    places = {job.number: job.places(job.group, job.requested_seconds, stage.policy) for job in waiting}
    active = [0] * stage.people
    for job in (*waiting, *(held.job for held in stage.held)):
        active[job.person] += 1
    events = [event for job in waiting for event in ripening(job, job.group, job.requested_seconds, stage.policy)]
    events += [(job.requested_seconds, _COMES, job.number, 0) for job in stage.waiting if job.requested_seconds > stage.now_seconds]
    return Line(
        fair=tuple(sorted(fair for fair, _ in places.values())),
        short=tuple(sorted(short for _, short in places.values())),
        places=places,
        jobs={job.number: job for job in waiting},
        wholes=tuple(job.number for job in waiting if job.is_whole and job.group == OTHERS),
        active=tuple(active),
        asked=sum(job.gpus for job in waiting),
        events=tuple(events),
        ends=tuple(zip(*[_ends_of(held, stage.now_seconds) for held in stage.held], strict=True)) or ((),) * DRAWS,
        nodes=tuple(OnNode.of(stage.held, node) for node in sorted({held.node for held in stage.held})),
    )


def _ends_of(held: Held, now: float) -> list[float]:
    """Return when a session that runs ends, in every course."""
    ends, must_end = [now + left for left in held.job.in_turn()], held.must_end_seconds
    return ends if must_end is None else [end if must_end >= end else max(now, must_end) for end in ends]


def ripening(job: Job, group: int, requested_seconds: float, policy: Policy) -> list[Event]:
    """Return when a request comes before others for its age."""
    found = []
    if job.is_whole and group == OTHERS and policy.whole_node_first_after_seconds is not None:
        found.append((requested_seconds + policy.whole_node_first_after_seconds, _RIPENS, job.number, WHOLE))
    if policy.overdue_after_seconds is not None and group != OVERDUE:
        found.append((requested_seconds + policy.overdue_after_seconds, _RIPENS, job.number, OVERDUE))
    return found


class Course:
    """One draw of what is left of every session and of who asks next.

    Parameters
    ----------
    target
        Number of the request of which alone the start is asked; None for everybody's.
    """

    def __init__(self, stage: Stage, line: Line, draw: int, target: int | None = None) -> None:
        self._stage, self._draw, self._target = stage, draw, target
        self._ends_drawn, self._nodes = line.ends[draw], line.nodes
        self._policy = stage.policy
        self._now = stage.now_seconds
        self._free = list(stage.free)
        self._few = stage.policy.short_queue_fraction * (sum(stage.free) + sum(held.job.gpus for held in stage.held))
        self._on_node: list[dict[int, tuple[Job, float, float | None]]] = [{} for _ in stage.free]
        self._over_cap: list[dict[int, Job]] = [{} for _ in stage.free]
        self._active = list(line.active)
        self._fair, self._short = list(line.fair), list(line.short)
        self._jobs, self._places = dict(line.jobs), dict(line.places)
        self._wholes = list(line.wholes)
        self._asked = line.asked
        self._events = list(line.events)
        self._sessions = 0
        self._left = len(stage.waiting) if target is None else 1
        cap = stage.policy.session_cap_seconds
        self._cap_seconds = cap if stage.policy.is_releasing else None
        self.starts: dict[int, float] = {}
        """After how many seconds each request starts, by its number; those beyond the horizon are missing."""
        self.of_queue = self.of_all = 0.0
        """GPU-seconds of the sessions that began: of those who wait now, and of everybody."""

    def play(self) -> Course:
        """Play it until everybody who waits now has started, or the one who is asked for."""
        stage, events = self._stage, self._events
        self._hold(self._ends_drawn)
        heapify(events)
        for node in range(len(stage.free)):
            self._serve(node)
        last = self._now + HORIZON_SECONDS
        arrivals = _Arrivals(stage, self._draw)
        while self._left:
            at = events[0][0] if events else last
            if arrivals.at_seconds < at:
                self._now, job = arrivals.at_seconds, arrivals.job
                arrivals.advance()
                if not self._active[job.person]:
                    self._arrive(job)
                continue
            if at >= last:
                break
            self._now, kind, number, node = heappop(events)
            self._happen(kind, number, node)
        return self

    def _hold(self, ends: Sequence[float]) -> None:
        """Let the sessions that run end as drawn; the events are ordered afterwards."""
        events = self._events
        for node, numbers, jobs, takeable in self._nodes:
            here = [ends[number - 1] for number in numbers]
            self._on_node[node] = dict(zip(numbers, zip(jobs, here, takeable, strict=True), strict=True))
            events += zip(here, repeat(_ENDS), numbers, repeat(node))
            events += [(cap, _CAPPED, number, node) for cap, end, number in zip(takeable, here, numbers, strict=True) if cap is not None and cap < end]
        self._sessions = len(self._stage.held)

    def _happen(self, kind: int, number: int, node: int) -> None:
        if kind == _RIPENS:
            self._ripen(number, node)
            return
        if kind == _COMES:
            self._arrive(self._stage.waiting[number])
            return
        session = self._on_node[node].get(number)
        if session is None:
            return
        job = session[0]
        if kind == _CAPPED:
            self._over_cap[node][number] = job
        else:
            del self._on_node[node][number]
            self._over_cap[node].pop(number, None)
            self._active[job.person] -= 1
            self._free[node] += job.gpus
        if self._fair:
            self._serve(node)

    def _begin(self, job: Job, node: int, length: float, takeable_from: float | None) -> None:
        number = self._sessions = self._sessions + 1
        end = self._now + length
        self._on_node[node][number] = job, end, takeable_from
        if takeable_from is not None and takeable_from < end:
            heappush(self._events, (takeable_from, _CAPPED, number, node))
        heappush(self._events, (end, _ENDS, number, node))

    def _join(self, job: Job, group: int, requested_seconds: float) -> None:
        number, policy = job.number, self._policy
        self._jobs[number] = job
        self._active[job.person] += 1
        self._asked += job.gpus
        self._line_up(job, group, requested_seconds)
        if job.is_whole and group == OTHERS:
            self._wholes.append(number)
        for event in ripening(job, group, requested_seconds, policy):
            heappush(self._events, event)

    def _line_up(self, job: Job, group: int, requested_seconds: float) -> None:
        places = self._places[job.number] = job.places(group, requested_seconds, self._policy)
        insort(self._fair, places[0])
        insort(self._short, places[1])

    def _leave_line(self, number: int) -> float:
        """Take a request out of the line; return when it was made."""
        fair, short = self._places.pop(number)
        self._fair.remove(fair)
        self._short.remove(short)
        return fair[3]

    def _ripen(self, number: int, group: int) -> None:
        """Let a request come first that has waited long enough."""
        if number not in self._jobs or self._places[number][0][0] <= group:
            return
        self._line_up(self._jobs[number], group, self._leave_line(number))
        if number in self._wholes:
            self._wholes.remove(number)
        for node, free in enumerate(self._free):
            if free or self._over_cap[node]:
                self._serve(node)

    def _arrive(self, job: Job) -> None:
        """Let a past request come again."""
        self._join(job, OTHERS, self._now)
        for node, gpu_type in enumerate(self._stage.node_types):
            if job.gpu_type in {None, gpu_type} and (self._free[node] or self._over_cap[node]):
                self._serve(node)
                if job.number not in self._jobs:
                    break

    def _serve(self, node: int) -> None:
        """Start on a node whoever is next and fits."""
        if self._wholes:
            self._promote(node)
        while (self._free[node] or self._over_cap[node]) and self._start_one(node):
            pass

    def _start_one(self, node: int) -> bool:
        """Start the first who may; False if nobody may."""
        gpu_type, jobs = self._stage.node_types[node], self._jobs
        free, over_cap, reserved = self._free[node], self._over_cap[node], None
        line = self._short if self._asked <= self._few else self._fair
        for entry in line[:LOOKED_AT] if len(line) > LOOKED_AT else line:
            job = jobs[entry[4]]
            if job.gpu_type is not None and job.gpu_type != gpu_type:
                continue
            if job.gpus <= free or (over_cap and self._could_take(job, node)):
                if reserved is None or self._passes(job, reserved):
                    self._start(job, node)
                    return True
            elif reserved is None and self._is_reserving(job, entry):
                reserved = self._reservation(job, node)
        return False

    def _start(self, job: Job, node: int) -> None:
        if self._free[node] < job.gpus:
            self._take(job, node)
        self._leave_line(job.number)
        number, cap = job.number, self._cap_seconds
        del self._jobs[number]
        if job.is_whole and number in self._wholes:
            self._wholes.remove(number)
        self._asked -= job.gpus
        self._free[node] -= job.gpus
        length = job.drawn(self._draw)
        work = job.gpus * (length if cap is None else min(length, cap))
        self.of_all += work
        if number < len(self._stage.waiting):
            self.of_queue += work
            self.starts[number] = self._now - self._stage.now_seconds
            self._left -= self._target is None or self._target == number
        self._begin(job, node, length, None if cap is None else self._now + cap)

    def _could_take(self, job: Job, node: int) -> bool:
        """Whether free GPUs and those of sessions over their cap are enough for a request."""
        return self._free[node] + sum(held.gpus for held in self._over_cap[node].values() if self._may_take(job, held)) >= job.gpus

    def _take(self, job: Job, node: int) -> None:
        """End sessions over their cap for a request, those of who is least entitled first."""
        over = self._over_cap[node]
        for _, number in sorted((-held.rank, number) for number, held in over.items() if self._may_take(job, held)):
            if self._free[node] < job.gpus:
                held = over.pop(number)
                del self._on_node[node][number]
                self._active[held.person] -= 1
                self._free[node] += held.gpus

    def _may_take(self, job: Job, held: Job) -> bool:
        return self._policy.takes_from_equals or job.rank < held.rank or self._places[job.number][0][0] == OVERDUE

    def _is_reserving(self, job: Job, entry: Entry) -> bool:
        policy = self._policy
        after = policy.reserve_after_seconds if job.is_whole else policy.reserve_part_after_seconds
        return entry[0] == OVERDUE or (after is not None and self._now - entry[3] >= after)

    def _reservation(self, job: Job, node: int) -> tuple[float, int]:
        """Return until when somebody else may stay at most, and how many GPUs are left over from then on."""
        free, at = self._free[node], self._now
        for end, gpus in self._ends(job, node):
            if free >= job.gpus:
                break
            free, at = free + gpus, max(at, end)
        return at + self._policy.backfill_slack_seconds, free - job.gpus

    def _ends(self, job: Job, node: int) -> list[tuple[float, int]]:
        """Return when GPUs of a node come free as far as a request is concerned, the next first."""
        sessions = self._on_node[node].values()
        return sorted((end if cap is None or cap > end or not self._may_take(job, held) else cap, held.gpus) for held, end, cap in sessions)

    def _passes(self, job: Job, reserved: tuple[float, int]) -> bool:
        return self._now + job.safe_seconds <= reserved[0] or job.gpus <= reserved[1]

    def _promote(self, node: int) -> None:
        """Let the oldest request for a whole node come first where hardly anything would stand idle for it."""
        number = min(self._wholes, key=lambda each: self._places[each][0][3])
        job, policy = self._jobs[number], self._policy
        if job.gpu_type is not None and job.gpu_type != self._stage.node_types[node]:
            return
        free, at, idle = self._free[node], self._now, 0.0
        for end, gpus in self._ends(job, node):
            if free >= job.gpus:
                break
            until = max(at, end)
            idle += free * (until - at)
            free, at = free + gpus, until
        if idle <= policy.idle_allowed_gpu_seconds + policy.idle_allowed_per_second * (self._now - self._places[number][0][3]):
            self._wholes.remove(number)
            self._line_up(job, WHOLE, self._leave_line(number))


class _Arrivals:
    """Past requests of some days before now, as many days later; then the same again."""

    def __init__(self, stage: Stage, draw: int) -> None:
        self._jobs = stage.arrivals
        self.at_seconds = math.inf
        """When the next one comes."""
        if stage.days:
            self._span = (1 + draw % stage.days) * DAY_SECONDS
            self._first = bisect_left(self._jobs, stage.now_seconds - self._span, key=lambda job: job.requested_seconds)
            self._next, self._shift = self._first - 1, self._span
            self.advance()

    @property
    def job(self) -> Job:
        """The request that comes next."""
        return self._jobs[self._next]

    def advance(self) -> None:
        """Look at the one after it."""
        self._next += 1
        if self._next == len(self._jobs):
            self._next, self._shift = self._first, self._shift + self._span
        self.at_seconds = self._jobs[self._next].requested_seconds + self._shift if self._first < len(self._jobs) else math.inf
