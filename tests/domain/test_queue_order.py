"""The order that is found bit by bit is the order that sorting everybody gives."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.planner_board import Board
from aiplatform_hub.domain.policy import FIFO, HOUR_SECONDS, SHIPPED
from aiplatform_hub.domain.queue_order import in_order, is_overdue, is_promoted
from aiplatform_hub.domain.queue_values import Node, PlannerInput, Running, Waiting

NOW = 1_000_000.0
PEOPLE = [Person("lab", "ana"), Person("lab", "ben"), Person("course", "ana"), Person("other", "eva")]
NODES = (Node("box", "h100", 4), Node("small", "a100", 1))
waiting = st.builds(
    Waiting,
    id=st.uuids().map(str),
    person=st.sampled_from(PEOPLE).map(lambda person: Person(*person)),  # equal, and not the same object
    gpus=st.integers(1, 4),
    gpu_type=st.sampled_from([None, "h100", "a100"]),
    requested_seconds=st.sampled_from([0.0, 0.5, 1, 2.5, 3, 49, 50]).map(lambda hours: NOW - hours * HOUR_SECONDS),
    expected_seconds=st.sampled_from([600.0, 3600.0, 7200.0]),
    safe_seconds=st.just(7200.0),
    blocked_by=st.sampled_from(["", "", "own"]),
    is_promised=st.sampled_from([False, False, False, True]),
    moved_seconds=st.sampled_from([None, None, None, NOW - 60, NOW - 5]),
)
running = st.builds(
    Running, id=st.uuids().map(str), person=st.sampled_from(PEOPLE), gpus=st.just(1), node=st.just("box"), expected_end_seconds=st.just(NOW + 60)
)
policies = st.builds(
    replace,
    st.sampled_from([SHIPPED, FIFO]),
    is_shortest_first=st.booleans(),
    short_queue_fraction=st.sampled_from([0.0, 0.75, 9.0]),
    idle_allowed_gpu_seconds=st.sampled_from([0.0, 1800.0]),
)


def sorted_as_a_whole(line: PlannerInput) -> list[Waiting]:
    """Return the order as its rules say it, at the cost of two sorts of everybody."""
    board, policy = Board(line), line.policy
    is_short = sum(w.gpus for w in line.waiting if not w.blocked_by) <= policy.short_queue_fraction * sum(node.gpus for node in line.nodes)

    def key(request: Waiting) -> tuple[float, ...]:
        if request.is_promised or request.moved_seconds is not None:
            return (-2,) if request.is_promised else (-1, -(request.moved_seconds or 0))
        if is_overdue(request, line):
            return (0,)
        if is_promoted(request, line, board):
            return (1,)
        if not policy.is_fair:
            return (2,)
        if is_short:
            return (2, -request.expected_seconds)
        return (2, line.ranks[request.person], request.gpus * request.expected_seconds if policy.is_shortest_first else 0.0)

    keys = {request.id: (*key(request), request.requested_seconds, request.id) for request in line.waiting}
    order = sorted(line.waiting, key=lambda request: keys[request.id])
    if not policy.is_fair:
        return order
    held = Counter({person: sum(s.gpus for s in line.running if s.person == person) for person in PEOPLE})
    turns = {}
    for request in order:
        turns[request.id] = held[request.person]
        held[request.person] += 0 if request.blocked_by else request.gpus
    return sorted(order, key=lambda request: (*keys[request.id][:2], turns[request.id], *keys[request.id][2:]))


@settings(max_examples=300, deadline=None)
@given(
    waiting=st.lists(waiting, max_size=14, unique_by=lambda request: request.id),
    running=st.lists(running, max_size=4),
    policy=policies,
    ranks=st.lists(st.integers(0, 2), min_size=4, max_size=4),
)
def test_the_order_is_that_of_sorting_everybody(waiting, running, policy, ranks):
    line = PlannerInput(NOW, NODES, tuple(running), tuple(waiting), dict(zip(PEOPLE, ranks, strict=True)), policy)
    assert list(in_order(line, Board(line))) == sorted_as_a_whole(line)
