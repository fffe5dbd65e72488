"""Who starts now, who reserves, and whose GPUs are asked for: the one planner of queue, estimate and twin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile

from aiplatform_hub.domain.planner_board import Board
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.queue_order import in_order, is_overdue
from aiplatform_hub.domain.queue_values import Decision, LeftOut, Plan, PlannerInput, ReasonCode, Reservation, Running, Start, Verdict, Waiting

MOST_RESERVATIONS = 4
"""How many requests reserve at once, each on a node of its own; on a single machine it is always one."""


def plan(given: PlannerInput) -> Plan:
    """Return what to do now: the same for the same input.

    Requests are looked at in order. One that fits starts; one that would fit without sessions that are idle or over their
    cap claims those. The first on a node that does neither and has waited long enough reserves: GPUs that come free there are kept for it,
    and others start only if, by known and expected ends, they do not delay it.

    Parameters
    ----------
    given
        The instant, the nodes, who runs, who waits, the places of the Fair Tree and the policy.
    """
    return _Planning(given).run()


def verdict_on(given: PlannerInput, request_id: str) -> Verdict:
    """Return what :func:`plan` says of one request; it plans no further than it has to."""
    target = next((request for request in reversed(given.waiting) if request.id == request_id), None)
    return Verdict() if target is None else _Planning(given).run_to(target)


def part_for(given: PlannerInput, request_id: str, made: Plan | None = None) -> PlannerInput:
    """Return what of a line the verdict on one request depends on: those who are looked at before it, and how many others wait.

    The verdict on both is the same. Of a thousand who wait that is mostly a handful.

    Parameters
    ----------
    made
        The plan of the line, where there is one.
    """
    target = next((request for request in reversed(given.waiting) if request.id == request_id), None)
    if target is None:
        return given
    seen = {request_id, *_looked_at(given, target, made)}
    others = [request for request in given.waiting if request.id not in seen and not request.blocked_by]
    like_it = sum(request.gpu_type in {None, target.gpu_type} for request in others)
    left_out = LeftOut(given.left_out.like_it + like_it, given.left_out.gpus + sum(request.gpus for request in others))
    return replace(given, waiting=tuple(request for request in given.waiting if request.id in seen), left_out=left_out, lanes=None)


def _looked_at(given: PlannerInput, target: Waiting, made: Plan | None) -> Iterator[str]:
    """Yield who is looked at before a request, or up to where it is known that it can only wait."""
    if made is not None:
        return takewhile(lambda id_: id_ != target.id, (decision.request_id for decision in made.decisions))
    planning = _Planning(given)
    planning.run_to(target)
    return (decision.request_id for decision in planning.decisions)


class _Planning:
    def __init__(self, given: PlannerInput) -> None:
        self._given = given
        self._board = Board(given)
        self._starts: list[Start] = []
        self._reservations: dict[str, tuple[Reservation, Waiting]] = {}
        self._closed: dict[str, str] = {}
        self._position = 0
        self._reserves_after = _least_age(given.policy)
        self._out_of_reach: set[tuple[int, str | None]] = set()
        self._is_plain = not given.policy.project_limits and not given.policy.reservations and given.policy.backfill
        self.decisions: list[Decision] = []
        """One for each request that it has looked at, in order."""

    def run(self) -> Plan:
        for position, request in enumerate(in_order(self._given, self._board), 1):
            self._position = position
            self.decisions.append(self._waits_like_others(request) or self._decide(request))
        return Plan(
            starts=tuple(self._starts),
            claims=frozenset(self._board.claimed | self._idle_wanted()),
            reservations=tuple(reservation for reservation, _ in self._reservations.values()),
            decisions=tuple(self.decisions),
        )

    def run_to(self, target: Waiting) -> Verdict:
        """Return what becomes of one request."""
        if self._can_only_wait(target):
            return Verdict(code=self._taken(target).code)
        for request in in_order(self._given, self._board):
            decision = self._decide(request)
            self.decisions.append(decision)
            if request is target:
                return Verdict(self._starts[-1] if decision.code is ReasonCode.STARTS else None, decision.code)
            if decision.code in _PLACED and self._can_only_wait(target):
                break
        return Verdict(code=self._taken(target).code)

    def _waits_like_others(self, request: Waiting) -> Decision | None:
        """Return what is said of a request for GPUs that are out of everybody's reach; None where more has to be looked at."""
        if (request.gpus, request.gpu_type) not in self._out_of_reach or request.blocked_by or request.moved_seconds is not None:
            return None
        if self._given.now_seconds - request.requested_seconds >= self._reserves_after:
            return None
        return Decision(request.id, self._position, ReasonCode.TAKEN)

    def _can_only_wait(self, request: Waiting) -> bool:
        """Whether a request can neither start nor claim nor reserve whatever becomes of the others: room only gets less."""
        is_refused = bool(request.blocked_by) or not self._board.nodes_for(request) or request.person.project in self._given.policy.project_limits
        return not is_refused and not self._board.nodes_with_room(request) and not self._is_reserving(request)

    def _decide(self, request: Waiting) -> Decision:
        refused = self._refusal(request)
        if refused:
            return refused
        in_the_way: list[Decision] = []
        for node in self._board.nodes_with_room(request):
            decision = self._try(request, node)
            if decision.code in _PLACED:
                return decision
            in_the_way.append(decision)
        if not self._given.policy.backfill:
            self._closed |= {node.name: self._closed.get(node.name, request.id) for node in self._board.nodes_for(request)}
        reserved = self._reserve(request)
        if reserved is not None:
            return reserved
        if not in_the_way:
            if self._is_plain:  # room only gets less
                self._out_of_reach.add((request.gpus, request.gpu_type))
            return self._taken(request)
        return min((self._taken(request), *in_the_way), key=lambda decision: _TELLING.index(decision.code))

    def _taken(self, request: Waiting) -> Decision:
        """Return what there is to say where no node has room: a class that keeps GPUs, or nothing."""
        over = self._board.class_over(request)
        return self._decision(request, ReasonCode.TAKEN if over is None else ReasonCode.CLASS, until_seconds=over)

    def _refusal(self, request: Waiting) -> Decision | None:
        """Return why the request cannot start whatever comes free; it holds up nobody."""
        if request.blocked_by:
            return self._decision(request, ReasonCode.BLOCKED, because_of=(request.blocked_by,))
        if not self._board.nodes_for(request):
            return self._decision(request, ReasonCode.NEVER_FITS)
        project = request.person.project
        limit = self._given.policy.project_limits.get(project)
        if limit is not None and self._board.held_by_project(project) + request.gpus > limit:
            return self._decision(request, ReasonCode.PROJECT_LIMIT, because_of=(project,))
        return None

    def _try(self, request: Waiting, node: str) -> Decision:
        """Start the request on a node, or claim what it needs there, or say what is in the way."""
        held_up = self._held_up(request, node)
        if held_up:
            return held_up
        must_end = self._board.class_end(request, node)
        if must_end is not None and must_end - self._given.now_seconds < self._given.policy.guaranteed_seconds:
            return self._decision(request, ReasonCode.CLASS, node, must_end)
        claims = self._claims(request, node)
        if claims is not None:
            return self._place(request, node, claims, must_end)
        return self._taken(request)

    def _place(self, request: Waiting, node: str, claims: list[Running], must_end: float | None) -> Decision:
        if self._board.place(request, node, claims, must_end):
            self._starts.append(Start(request.id, node, must_end))
            return self._decision(request, ReasonCode.STARTS, node, self._given.now_seconds)
        because_of = tuple(session.id for session in claims) or self._board.claimed_on(node)
        return self._decision(request, ReasonCode.RELEASE, node, self._given.now_seconds, because_of)

    def _held_up(self, request: Waiting, node: str) -> Decision | None:
        """Return which reservation of the node the request would delay; a class's own GPUs are never reserved for others."""
        if self._board.is_class_member(request, node):
            return None
        if node in self._closed:
            return self._decision(request, ReasonCode.BEHIND_RESERVATION, node, because_of=(self._closed[node],))
        if node not in self._reservations:
            return None
        reservation, reserving = self._reservations[node]
        if not self._board.delays(request, reservation, reserving, is_overdue=is_overdue(reserving, self._given)):
            return None
        return self._decision(request, ReasonCode.BEHIND_RESERVATION, node, reservation.from_seconds, (reserving.id,))

    def _claims(self, request: Waiting, node: str) -> list[Running] | None:
        """Return the fewest sessions that make room for the request on a node; none if it fits, None if they cannot."""
        missing = request.gpus - self._board.free(request, node)
        chosen: list[Running] = []
        for session in self._board.takeable(request, node, is_overdue=is_overdue(request, self._given)):
            if missing > 0:
                chosen.append(session)
                missing -= session.gpus
        if missing > 0:
            return None
        for session in reversed(tuple(chosen)):
            if missing + session.gpus <= 0:
                chosen.remove(session)
                missing += session.gpus
        return chosen

    def _reserve(self, request: Waiting) -> Decision | None:
        """Keep for an old request what comes free on the node where it has its GPUs first."""
        if len(self._reservations) >= MOST_RESERVATIONS or not self._is_reserving(request):
            return None
        opening = self._board.opening(request, is_overdue=is_overdue(request, self._given), besides=frozenset(self._reservations))
        if opening is None:
            return None
        reservation = Reservation(request.id, opening.node, request.gpus, opening.at_seconds)
        self._reservations[opening.node] = (reservation, request)
        return self._decision(request, ReasonCode.RESERVED, opening.node, opening.at_seconds)

    def _is_reserving(self, request: Waiting) -> bool:
        """Whether a request is so old, or so much an admin's wish, that GPUs may be kept for it."""
        if request.moved_seconds is not None:
            return True
        policy = self._given.policy
        after = policy.reserve_after_seconds if self._board.is_whole_node(request) else policy.reserve_part_after_seconds
        return (after is not None and self._given.now_seconds - request.requested_seconds >= after) or is_overdue(request, self._given)

    def _decision(self, request: Waiting, code: ReasonCode, node: str = "", until_seconds: float | None = None, because_of: tuple[str, ...] = ()) -> Decision:
        return Decision(request.id, self._position, code, node, until_seconds, because_of)

    def _idle_wanted(self) -> set[str]:
        """Return the idle sessions on nodes where somebody could use GPUs, and what is claimed for them so far is not enough."""
        idle = [session for session in self._given.running if session.is_idle]
        if not idle:
            return set()
        nodes = {node.name for request in self._left() for node in self._board.nodes_for(request)}
        return {session.id for session in idle if session.node in nodes}

    def _left(self) -> list[Waiting]:
        """Return who waits for GPUs, and has got neither GPUs nor a claim to those that are coming free."""
        served = {decision.request_id for decision in self.decisions if decision.code in _PLACED}
        return [request for request in self._given.waiting if request.id not in served and not self._refusal(request)]


def _least_age(policy: Policy) -> float:
    """Return the age below which no request reserves that nobody has moved."""
    ages = (policy.reserve_after_seconds, policy.reserve_part_after_seconds, policy.overdue_after_seconds)
    return min((age for age in ages if age is not None), default=math.inf)


_PLACED = frozenset({ReasonCode.STARTS, ReasonCode.RELEASE})
"""What the planner says of those who have a place on a node now."""
_TELLING = (ReasonCode.BEHIND_RESERVATION, ReasonCode.CLASS, ReasonCode.TAKEN)
"""Of several nodes' reasons the one that says most."""
