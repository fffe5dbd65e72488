"""In which order the planner looks at the requests that wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heapreplace

from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.planner_board import Board
from aiplatform_hub.domain.queue_lanes import Lane, Lanes, Rest, by_owner, lanes_for
from aiplatform_hub.domain.queue_values import PlannerInput, Waiting

_PROMISED, _MOVED, _OVERDUE, _PROMOTED, _OTHERS = -2, -1, 0, 1, 2

Place = tuple[float, float]
"""What orders requests before the turns of their owners do."""


def is_overdue(request: Waiting, given: PlannerInput) -> bool:
    """Whether a request has waited so long that it comes before all others, whoever asks."""
    after = given.policy.overdue_after_seconds
    return after is not None and given.now_seconds - request.requested_seconds >= after


def in_order(given: PlannerInput, board: Board) -> Iterable[Waiting]:
    """Return the requests, the one that is next first. Places are found at once, by the board as it is; the rest of the order as it is asked for.

    Requests for which sessions are being stopped come first, so that nobody is stopped in vain. Then come those that an admin moved up,
    the last moved one first, then overdue ones, then those
    for a whole node that are old enough for it or would keep little idle (GPUs that come free one by one would pass them for ever),
    each by submit time; then all others by fair share. Those who tie there, by the GPUs that their owners hold or would have had by
    then, the fewest first, so that people who are equal take turns; then by what they
    probably use, the least first, then by submit time. While few wait, those expected to last longest come before the others,
    so that the GPUs have work when nobody is there to ask for more.
    """
    if not given.policy.is_fair:
        return sorted(given.waiting, key=lambda request: (*_place(request, _group(request, given, board)), request.requested_seconds, request.id))
    return _unfolded(_placed(given, board))


class _Owner:
    """Somebody with requests, and the GPUs that they hold or would have had by then."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = 0


class _Owners:
    """Everybody who runs or waits."""

    def __init__(self, given: PlannerInput) -> None:
        self._by_person: dict[Person, _Owner] = {}
        for session in given.running:
            self.of(session.person).held += session.gpus + session.drained_gpus

    def of(self, person: Person) -> _Owner:
        owner = self._by_person.get(person)
        if owner is None:
            owner = self._by_person[person] = _Owner()
        return owner


Row = tuple[_Owner, Lane]
"""Somebody's requests of one place."""


def _placed(given: PlannerInput, board: Board) -> dict[Place, list[Row]]:
    """Return the requests by their places, those of one place by owner."""
    lanes = lanes_for(given)
    before = _before_others(given, board, lanes)
    taken = {id(request) for requests in before.values() for request in requests}
    is_short = _is_short(given, lanes)
    if is_short or not given.policy.is_shortest_first:
        left = [request for request in given.waiting if id(request) not in taken]
        others = _by_second(left, given, is_short=is_short)
    else:
        others = _by_rank(given, lanes, before, taken)
    owners, by_time = _Owners(given), {place: by_owner(_by_time(requests)) for place, requests in before.items()}
    return {place: [(owners.of(person), lane) for person, lane in found.items()] for place, found in (by_time | others).items()}


def _by_second(left: Iterable[Waiting], given: PlannerInput, *, is_short: bool) -> dict[Place, dict[Person, Lane]]:
    """Return the others where what they use orders nobody: the longest first while few wait, else by fair share."""
    found: dict[Place, list[Waiting]] = {}
    for request in left:
        found.setdefault((_OTHERS, -request.expected_seconds if is_short else given.ranks[request.person]), []).append(request)
    return {place: by_owner(_by_time(requests)) for place, requests in found.items()}


def _by_rank(given: PlannerInput, lanes: Lanes, before: Mapping[Place, Sequence[Waiting]], taken: AbstractSet[int]) -> dict[Place, dict[Person, Lane]]:
    """Return the others by fair share."""
    fewer = {request.person for requests in before.values() for request in requests}
    found: dict[Place, dict[Person, Lane]] = {}
    for person, lane in lanes.by_owner.items():
        left = [row for row in lane if id(row[1]) not in taken] if person in fewer else lane
        if left:
            found.setdefault((_OTHERS, given.ranks[person]), {})[person] = left
    return found


def _by_time(requests: Iterable[Waiting]) -> list[tuple[Rest, Waiting]]:
    return [((request.requested_seconds, request.id), request) for request in requests]


def _before_others(given: PlannerInput, board: Board, lanes: Lanes) -> dict[Place, list[Waiting]]:
    """Return those who come before fair share says anything, by their places."""
    after, whole_after = given.policy.overdue_after_seconds, given.policy.whole_node_first_after_seconds
    sizes = set() if whole_after is None else {node.gpus for node in given.nodes}
    has_overdue = after is not None and given.now_seconds - lanes.oldest_seconds >= after
    found: dict[Place, list[Waiting]] = {}
    for request in given.waiting if has_overdue else lanes.special(sizes):
        group = _group(request, given, board)
        if group != _OTHERS:
            found.setdefault(_place(request, group), []).append(request)
    return found


def _unfolded(places: dict[Place, list[Row]]) -> Iterator[Waiting]:
    """Yield the requests place by place; those of one place in turns of their owners."""
    for place in sorted(places):
        yield from _in_turns(places[place])


def _in_turns(rows: list[Row]) -> Iterator[Waiting]:
    """Yield requests of one place, each time that of the owner who would have the fewest GPUs by then."""
    heap = [(owner.held, lane[0][0], 0, owner, lane) for owner, lane in rows]
    heapify(heap)
    while heap:
        _, _, number, owner, lane = heap[0]
        request, number = lane[number][1], number + 1
        owner.held += 0 if request.blocked_by else request.gpus
        if number < len(lane):
            heapreplace(heap, (owner.held, lane[number][0], number, owner, lane))
        else:
            heappop(heap)
        yield request


def _is_short(given: PlannerInput, lanes: Lanes) -> bool:
    """Whether so few wait that the longest come first."""
    asked = lanes.asked_gpus + given.left_out.gpus
    return asked <= given.policy.short_queue_fraction * sum(node.gpus for node in given.nodes)


def _place(request: Waiting, group: int) -> Place:
    """Return the place of a request whose owner's turn does not matter; among equals in a queue without shares, of every request."""
    if group == _MOVED and request.moved_seconds is not None:
        return (group, -request.moved_seconds)
    return (group, request.requested_seconds)


def _group(request: Waiting, given: PlannerInput, board: Board) -> int:
    if request.is_promised:
        return _PROMISED
    if request.moved_seconds is not None:
        return _MOVED
    if is_overdue(request, given):
        return _OVERDUE
    return _PROMOTED if request.gpus > 1 and is_promoted(request, given, board) else _OTHERS


def is_promoted(request: Waiting, given: PlannerInput, board: Board) -> bool:
    """Whether a request for a whole node comes before those that fit into what comes free one by one."""
    after = given.policy.whole_node_first_after_seconds
    if after is None or not board.is_whole_node(request):
        return False
    return given.now_seconds - request.requested_seconds >= after or _is_cheap(request, given, board)


def _is_cheap(request: Waiting, given: PlannerInput, board: Board) -> bool:
    """Whether the GPUs of a whole node would hardly stand idle if they were kept from now on."""
    policy, opening = given.policy, board.opening(request)
    allowed = policy.idle_allowed_gpu_seconds + policy.idle_allowed_per_second * (given.now_seconds - request.requested_seconds)
    return opening is not None and opening.idle_gpu_seconds <= allowed
