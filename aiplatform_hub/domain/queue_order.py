"""In which order the planner looks at the requests that wait."""

from __future__ import annotations

from collections.abc import Iterable

from aiplatform_hub.domain.planner_board import Board
from aiplatform_hub.domain.queue_values import PlannerInput, Waiting

Key = tuple[float, ...]


def is_overdue(request: Waiting, given: PlannerInput) -> bool:
    """Whether a request has waited so long that it comes before all others, whoever asks."""
    after = given.policy.overdue_after_seconds
    return after is not None and given.now_seconds - request.requested_seconds >= after


def in_order(given: PlannerInput, board: Board) -> list[Waiting]:
    """Return the requests, the one that is next first.

    Requests for which sessions are being stopped come first, so that nobody is stopped in vain. Then come overdue ones, then those for a whole node that are old enough for it or would keep little idle (GPUs that
    come free one by one would pass them for ever), each by submit time; then all others by fair share. Those who tie there, by what they
    probably use, the least first, then by submit time. While few wait, those expected to last longest come before the others,
    so that the GPUs have work when nobody is there to ask for more.
    """
    is_short = _asked(given.waiting) <= given.policy.short_queue_fraction * sum(node.gpus for node in given.nodes)
    return sorted(given.waiting, key=lambda request: (*_key(request, given, board, is_short=is_short), request.requested_seconds, request.id))


def _asked(waiting: Iterable[Waiting]) -> int:
    return sum(request.gpus for request in waiting if not request.blocked_by)


def _key(request: Waiting, given: PlannerInput, board: Board, *, is_short: bool) -> Key:
    policy = given.policy
    if request.is_promised:
        return (-1,)
    if is_overdue(request, given):
        return (0,)
    if is_promoted(request, given, board):
        return (1,)
    if not policy.is_fair:
        return (2,)
    if is_short:
        return (2, -request.expected_seconds)
    return (2, given.ranks[request.person], request.gpus * request.expected_seconds if policy.is_shortest_first else 0.0)


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
