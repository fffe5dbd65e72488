"""The GPUs as a plan deals them out: who has them, when they come free, and what a class keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.policy import ClassReservation
from aiplatform_hub.domain.queue_values import Node, PlannerInput, Reservation, Running, Waiting


@dataclass(frozen=True, slots=True)
class Opening:
    """When a node could have the GPUs of a request."""

    node: str
    at_seconds: float
    idle_gpu_seconds: float
    """What would stand idle until then if they were kept as they come free."""


@dataclass(frozen=True, slots=True)
class _Placed:
    person: Person
    node: str
    gpus: int
    end_seconds: float
    must_end_seconds: float | None


class Board:
    """Free GPUs of each node while one plan is made; it starts empty and ends with the plan."""

    def __init__(self, given: PlannerInput) -> None:
        self.given = given
        self._now = given.now_seconds
        self._nodes = {node.name: node for node in given.nodes}
        self._on_node: dict[str, list[Running]] = {name: [] for name in self._nodes}
        for session in given.running:
            self._on_node.setdefault(session.node, []).append(session)
        self._free = {name: node.gpus - sum(s.gpus for s in self._on_node[name]) for name, node in self._nodes.items()}
        self._at_once = dict(self._free)
        self._takeable = {name: [s for s in sessions if _is_past(s.takeable_from_seconds, self._now)] for name, sessions in self._on_node.items()}
        self._within_reach = {name: free + sum(s.gpus for s in self._takeable[name]) for name, free in self._free.items()}
        self._fitting: dict[tuple[int, str | None], list[Node]] = {}
        self._whole: dict[tuple[int, str | None], bool] = {}
        self._room: dict[tuple[int, str | None], list[str]] = {}
        self._placed: list[_Placed] = []
        self._openings: dict[tuple[object, ...], Opening | None] = {}
        self._ends_by: dict[tuple[object, ...], list[tuple[float, int]]] = {}
        self.claimed: set[str] = set()

    def nodes_for(self, request: Waiting) -> list[Node]:
        """Return the nodes that are large enough, whoever holds their GPUs."""
        key = (request.gpus, request.gpu_type)
        if key not in self._fitting:
            fitting = [node for node in self.given.nodes if node.gpus >= request.gpus and request.gpu_type in {None, node.gpu_type}]
            self._fitting[key] = fitting
        return self._fitting[key]

    def nodes_with_room(self, request: Waiting) -> list[str]:
        """Return the nodes that might have the GPUs now: those with the least loss first, of equal ones the fullest, so that large gaps stay whole."""
        key = (request.gpus, request.gpu_type)
        if key not in self._room:
            room = [node.name for node in self.nodes_for(request) if self._within_reach[node.name] >= request.gpus]
            self._room[key] = sorted(room, key=lambda name: (self._loss(request, name), self._free[name], name)) if len(room) > 1 else room
        return self._room[key]

    def _loss(self, request: Waiting, node: str) -> int:
        """Return what it takes to have the GPUs on a node: 0 nothing, 1 what ends or is idle, 2 a new node, 3 somebody's work."""
        if self._free[node] >= request.gpus:
            return 2 if self._nodes[node].is_yet_to_start else 0
        unused = sum(s.gpus for s in self._takeable[node] if (s.is_ending or s.is_idle) and s.id not in self.claimed)
        return 1 if self._free[node] + unused >= request.gpus and not self._nodes[node].is_yet_to_start else 3

    def free(self, request: Waiting, node: str) -> int:
        """Return how many GPUs of a node the request may count on now, without those that a class keeps."""
        if not self.given.policy.reservations:
            return self._free[node]
        gpu_type = self._nodes[node].gpu_type
        free_of_type = sum(free for name, free in self._free.items() if self._nodes[name].gpu_type == gpu_type)
        return min(self._free[node], free_of_type - self._kept(request.person.project, gpu_type))

    def is_whole_node(self, request: Waiting) -> bool:
        """Whether no node that the request may have is larger than it."""
        key = (request.gpus, request.gpu_type)
        if key not in self._whole:
            self._whole[key] = request.gpus > 1 and max((node.gpus for node in self.nodes_for(request)), default=0) == request.gpus
        return self._whole[key]

    def takeable(self, request: Waiting, node: str, *, is_overdue: bool) -> list[Running]:
        """Return the sessions of a node whose GPUs the request may have now: those that end anyway first, then idle ones, then of those who are least entitled."""
        found = [s for s in self._takeable[node] if s.id not in self.claimed and self.may_take(request, s, is_overdue=is_overdue)]
        return sorted(found, key=lambda s: (not s.is_ending, not s.is_idle, -self.given.ranks[s.person], s.takeable_from_seconds or 0.0, s.id))

    def may_take(self, request: Waiting, session: Running, *, is_overdue: bool) -> bool:
        """Whether a session that ends, is idle or is over its cap makes room for this request."""
        if session.is_ending or session.is_idle or is_overdue or self.given.policy.takes_from_equals:
            return True
        return self.given.ranks[request.person] < self.given.ranks[session.person]

    def place(self, request: Waiting, node: str, claims: Sequence[Running] = (), must_end_seconds: float | None = None) -> bool:
        """Give the request its GPUs, those of the claimed sessions among them; return whether they are all there now."""
        self.claimed |= {session.id for session in claims}
        self._free[node] += sum(session.gpus for session in claims) - request.gpus
        self._within_reach[node] -= request.gpus
        self._room.clear()
        self._placed.append(_Placed(request.person, node, request.gpus, self._now + request.safe_seconds, must_end_seconds))
        is_there = self._at_once[node] >= request.gpus
        self._at_once[node] -= max(0, min(self._at_once[node], request.gpus))
        return is_there

    def claimed_on(self, node: str) -> tuple[str, ...]:
        """Return the ids of the sessions of a node that make room for somebody."""
        return tuple(sorted(session.id for session in self._on_node[node] if session.id in self.claimed))

    def opening(self, request: Waiting, *, is_overdue: bool = False, besides: frozenset[str] = frozenset()) -> Opening | None:
        """Return where the request's GPUs are expected first, by expected ends and session caps; None if no other node is so large."""
        key = (request.gpus, request.gpu_type, request.person, is_overdue, besides, len(self._placed))
        if key not in self._openings:
            found = [self._opening(request, node.name, is_overdue=is_overdue) for node in self.nodes_for(request) if node.name not in besides]
            self._openings[key] = min(found, key=lambda opening: (opening.at_seconds, opening.node), default=None)
        return self._openings[key]

    def _opening(self, request: Waiting, node: str, *, is_overdue: bool) -> Opening:
        free, at_seconds, idle = self.free(request, node), self._now, 0.0
        for end, gpus in self._ends(request, node, is_overdue=is_overdue):
            if free >= request.gpus:
                break
            until = max(at_seconds, end)
            idle += max(0, free) * (until - at_seconds)
            free, at_seconds = free + gpus, until
        return Opening(node, at_seconds, idle)

    def delays(self, request: Waiting, reservation: Reservation, reserving: Waiting, *, is_overdue: bool) -> bool:
        """Whether the request, started on the reservation's node now, would probably delay it; ``is_overdue`` is of the one that reserves."""
        at_seconds = reservation.from_seconds
        if self._now + request.safe_seconds <= at_seconds + self.given.policy.backfill_slack_seconds:
            return False
        ends = self._ends(reserving, reservation.node, is_overdue=is_overdue)
        then_free = self._free[reservation.node] + sum(gpus for end, gpus in ends if end <= at_seconds)
        return then_free - request.gpus < reservation.gpus

    def held_by_project(self, project: str, gpu_type: str | None = None) -> int:
        """Return how many GPUs a project holds, those dealt out now among them."""
        holders = [(s.person.project, s.node, s.gpus + s.drained_gpus) for s in self.given.running if s.id not in self.claimed]
        holders += [(p.person.project, p.node, p.gpus) for p in self._placed]
        return sum(gpus for name, node, gpus in holders if name == project and (gpu_type is None or self._type_of(node) == gpu_type))

    def class_end(self, request: Waiting, node: str) -> float | None:
        """Return when a session started now on the node has to end for a class; None if no class needs its GPUs."""
        if not self.given.policy.reservations:
            return None
        gpu_type = self._type_of(node)
        total = sum(n.gpus for n in self.given.nodes if n.gpu_type == gpu_type)
        bound = [w.start_seconds for w in self._coming(request, gpu_type) if total - w.gpus < self._staying(w, gpu_type) + request.gpus]
        return min(bound, default=None)

    def class_over(self, request: Waiting) -> float | None:
        """Return when the classes that keep GPUs from this request now are over; None if there are none."""
        if not self.given.policy.reservations:
            return None
        types = {node.gpu_type for node in self.nodes_for(request)}
        ends = [
            w.end_seconds for w in self.given.policy.reservations if self._is_on(w) and w.project != request.person.project and w.gpu_type in {None, *types}
        ]
        return max(ends, default=None)

    def is_class_member(self, request: Waiting, node: str) -> bool:
        """Whether GPUs are kept now for the request's project and not yet used up."""
        if not self.given.policy.reservations:
            return False
        gpu_type, project = self._type_of(node), request.person.project
        return any(w.project == project and self._left(w, gpu_type) >= request.gpus for w in self.given.policy.reservations if self._is_on(w))

    def _ends(self, request: Waiting, node: str, *, is_overdue: bool) -> list[tuple[float, int]]:
        """Return when GPUs of a node come free as far as this request is concerned, the next first."""
        key = (request.person, is_overdue, node, len(self._placed))
        if key not in self._ends_by:
            untouched = [session for session in self._on_node[node] if session.id not in self.claimed]
            ends = [(self._end(request, session, is_overdue=is_overdue), session.gpus) for session in untouched]
            self._ends_by[key] = sorted(ends + [(placed.end_seconds, placed.gpus) for placed in self._placed if placed.node == node])
        return self._ends_by[key]

    def _end(self, request: Waiting, session: Running, *, is_overdue: bool) -> float:
        ends = [session.expected_end_seconds]
        if session.takeable_from_seconds is not None and self.may_take(request, session, is_overdue=is_overdue):
            ends.append(session.takeable_from_seconds)
        if session.must_end_seconds is not None:
            ends.append(session.must_end_seconds)
        return max(self._now, min(ends))

    def _type_of(self, node: str) -> str:
        return self._nodes[node].gpu_type if node in self._nodes else ""

    def _is_on(self, window: ClassReservation) -> bool:
        return window.start_seconds <= self._now < window.end_seconds

    def _left(self, window: ClassReservation, gpu_type: str) -> int:
        """Return how many of a window's GPUs its project does not hold."""
        if window.gpu_type not in {None, gpu_type}:
            return 0
        return max(0, window.gpus - self.held_by_project(window.project, gpu_type))

    def _kept(self, project: str, gpu_type: str) -> int:
        """Return how many GPUs of a type classes of other projects keep now."""
        return sum(self._left(w, gpu_type) for w in self.given.policy.reservations if self._is_on(w) and w.project != project)

    def _coming(self, request: Waiting, gpu_type: str) -> list[ClassReservation]:
        """Return the windows of other projects that a session started now could run into."""
        horizon = self._now + self.given.policy.session_ceiling_seconds
        windows = self.given.policy.reservations
        return [w for w in windows if self._now < w.start_seconds < horizon and w.project != request.person.project and w.gpu_type in {None, gpu_type}]

    def _staying(self, window: ClassReservation, gpu_type: str) -> int:
        """Return how many GPUs sessions of other projects hold that need not end when the window begins."""
        holders: list[Running | _Placed] = [s for s in self.given.running if s.id not in self.claimed]
        holders += self._placed
        return sum(
            h.gpus
            for h in holders
            if self._type_of(h.node) == gpu_type
            and h.person.project != window.project
            and (h.must_end_seconds is None or h.must_end_seconds > window.start_seconds)
        )


def _is_past(instant_seconds: float | None, now_seconds: float) -> bool:
    return instant_seconds is not None and instant_seconds <= now_seconds
