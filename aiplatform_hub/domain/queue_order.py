"""In which order the planner looks at the requests that wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heapreplace

from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.planner_board import Board
from aiplatform_hub.domain.queue_values import PlannerInput, Waiting

_PROMISED, _MOVED, _OVERDUE, _PROMOTED, _OTHERS = -2, -1, 0, 1, 2

Place = tuple[float, float]
"""What orders requests before the turns of their owners do."""
Rest = tuple[float | str, ...]
"""What orders requests of one place whose owners' turns are equal; it ends with the id, so that no two are equal."""


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
    return _unfolded(_placed(given, board), _rest(given, is_short=_is_short(given)))


class _Owner:
    """Somebody with requests, and the GPUs that they hold or would have had by then."""

    __slots__ = ("held", "rank")

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.held = 0


class _Owners:
    """Finds them by the identity of the person first: hashing a person takes most of the time that ordering takes."""

    def __init__(self, given: PlannerInput) -> None:
        self._ranks = given.ranks
        self._by_person: dict[Person, _Owner] = {}
        self.by_id: dict[int, _Owner] = {}
        for session in given.running:
            self.of(session.person).held += session.gpus + session.drained_gpus

    def of(self, person: Person) -> _Owner:
        owner = self.by_id.get(id(person))
        if owner is None:
            owner = self._by_person.get(person)
            if owner is None:
                owner = self._by_person[person] = _Owner(self._ranks[person])
            self.by_id[id(person)] = owner
        return owner


def _placed(given: PlannerInput, board: Board) -> dict[Place, list[tuple[_Owner, Waiting]]]:
    """Return the requests by their places."""
    owners, is_short, places = _Owners(given), _is_short(given), dict[Place, list[tuple[_Owner, Waiting]]]()
    known, of = owners.by_id, owners.of
    others: dict[float, list[tuple[_Owner, Waiting]]] = {}
    for request in given.waiting:
        person = request.person
        owner = known.get(id(person)) or of(person)
        group = _group(request, given, board)
        if group == _OTHERS:
            others.setdefault(-request.expected_seconds if is_short else owner.rank, []).append((owner, request))
        else:
            places.setdefault(_place(request, group), []).append((owner, request))
    return places | {(_OTHERS, second): rows for second, rows in others.items()}


def _unfolded(places: dict[Place, list[tuple[_Owner, Waiting]]], rest: Callable[[Waiting, int], Rest]) -> Iterator[Waiting]:
    """Yield the requests place by place; those of one place in turns of their owners."""
    for place in sorted(places):
        rows = places[place]
        if len(rows) == 1:
            owner, request = rows[0]
            owner.held += 0 if request.blocked_by else request.gpus
            yield request
        else:
            yield from _in_turns(rows, rest, int(place[0]))


def _in_turns(rows: list[tuple[_Owner, Waiting]], rest: Callable[[Waiting, int], Rest], group: int) -> Iterator[Waiting]:
    """Yield requests of one place, each time that of the owner who would have the fewest GPUs by then."""
    own: dict[_Owner, list[tuple[Rest, Waiting]]] = {}
    for owner, request in rows:
        own.setdefault(owner, []).append((rest(request, group), request))
    for mine in own.values():
        mine.sort(key=_first, reverse=True)
    heap = [(owner.held, mine[-1][0], owner, mine) for owner, mine in own.items()]
    heapify(heap)
    while heap:
        _, _, owner, mine = heap[0]
        request = mine.pop()[1]
        owner.held += 0 if request.blocked_by else request.gpus
        if mine:
            heapreplace(heap, (owner.held, mine[-1][0], owner, mine))
        else:
            heappop(heap)
        yield request


def _first(row: tuple[Rest, Waiting]) -> Rest:
    return row[0]


def _rest(given: PlannerInput, *, is_short: bool) -> Callable[[Waiting, int], Rest]:
    is_by_use = given.policy.is_shortest_first and not is_short

    def rest(request: Waiting, group: int) -> Rest:
        if group != _OTHERS:
            return (request.requested_seconds, request.id)
        return (request.gpus * request.expected_seconds if is_by_use else 0.0, request.requested_seconds, request.id)

    return rest


def _is_short(given: PlannerInput) -> bool:
    """Whether so few wait that the longest come first."""
    asked = sum([request.gpus for request in given.waiting if not request.blocked_by])
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
