"""Lanes only save time, and a part of a line is enough for the verdict on one request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.planner import part_for, plan, verdict_on
from aiplatform_hub.domain.policy import HOUR_SECONDS, SHIPPED
from aiplatform_hub.domain.queue_lanes import lanes_of
from aiplatform_hub.domain.queue_reasons import behind
from aiplatform_hub.domain.queue_values import LeftOut, PlannerInput, ReasonCode, Waiting
from aiplatform_hub.domain.queueing import ExpectedLength, Outlook, RequestMemory
from aiplatform_hub.domain.requests import LaunchRequest
from tests.domain.test_queue_order import NODES, NOW, PEOPLE, policies, running, waiting

many = st.lists(waiting, max_size=14, unique_by=lambda request: request.id).map(tuple)
ranks = st.lists(st.integers(0, 2), min_size=4, max_size=4)


def line_of(asked, held, policy, places) -> PlannerInput:
    return PlannerInput(NOW, NODES, tuple(held), asked, dict(zip(PEOPLE, places, strict=True)), policy)


@settings(max_examples=60, deadline=None)
@given(asked=many, held=st.lists(running, max_size=3), policy=policies, places=ranks)
def test_lanes_that_are_brought_decide_nothing(asked, held, policy, places):
    line = line_of(asked, held, policy, places)
    grown = lanes_of(asked[:-2])
    for request in asked[-2:] if len(asked) > 1 else asked:
        grown = grown.with_last(request)
    assert grown == lanes_of(asked)
    assert plan(replace(line, lanes=lanes_of(asked))) == plan(line)
    assert plan(replace(line, lanes=lanes_of(asked[1:]))) == plan(line), "those of other requests are not used"


@settings(max_examples=60, deadline=None)
@given(asked=many, held=st.lists(running, max_size=3), policy=policies, places=ranks)
def test_the_part_that_a_verdict_depends_on_gives_the_same_verdict(asked, held, policy, places):
    line = line_of(asked, held, policy, places)
    found = plan(line)
    for request in asked:
        for made in (None, found):
            part = part_for(line, request.id, made)
            assert verdict_on(part, request.id) == verdict_on(line, request.id)
            left = [other for other in asked if other not in part.waiting and not other.blocked_by]
            assert part.left_out == LeftOut(sum(other.gpu_type in {None, request.gpu_type} for other in left), sum(other.gpus for other in left))
    assert part_for(line, "nobody") is line


def asks(number: int, gpus: int = 1, gpu_type: str | None = "h100") -> Waiting:
    return Waiting(f"r{number:04}", PEOPLE[number % 4], gpus, gpu_type, NOW - HOUR_SECONDS + number, 3600.0, 7200.0)


def test_of_a_thousand_few_are_named_and_the_sentence_counts_all():
    line = PlannerInput(NOW, NODES, (), tuple(asks(number, 2) for number in range(1000)), dict.fromkeys(PEOPLE, 0), SHIPPED)
    part = part_for(line, "r0999")
    assert len(part.waiting) == 3, "two of 2 GPUs take all four, and the last one can only wait"
    assert part.left_out == LeftOut(997, 2 * 997)
    request = LaunchRequest("pytorch", 2, "h100", 1, 1, "lab", "it")
    told = behind(request, line, ReasonCode.TAKEN, "r0999")
    assert "999 requests wait for h100 GPUs" in told.message
    assert behind(request, part, ReasonCode.TAKEN, "r0999") == told


def queued(number: int, user: str = "ana") -> Allocation:
    request = LaunchRequest("pytorch", 1, "h100", 1, 1, "lab", "it")
    at = datetime(2026, 7, 27, 12, tzinfo=UTC) + timedelta(seconds=number)
    return Allocation(
        id=UUID(int=number), user_id=1, user_name=user, server_name=f"s{number}", spawner_id=None, request=request,
        state=AllocationState.QUEUED, devices=(), door="rest", actor=user, requested_at=at, queued_at=at,
    )  # fmt: skip


OUTLOOK = Outlook(lengths={("", "", 1): ExpectedLength(3600.0, 7200.0)})
ROWS = tuple(queued(number, f"user{number % 3}") for number in range(20))
OTHER_LENGTHS = replace(OUTLOOK, lengths={("", "", 1): ExpectedLength(60.0, 120.0)})


@pytest.mark.parametrize(
    ("rows", "outlook"),
    [
        (ROWS, OUTLOOK),
        ((*ROWS, queued(20)), OUTLOOK),
        ((*ROWS, *(queued(number) for number in range(20, 60))), OUTLOOK),
        (ROWS[:-1], OUTLOOK),
        (ROWS[:4], OUTLOOK),
        ((), OUTLOOK),
        ((*ROWS[:7], *ROWS[8:], queued(20)), OUTLOOK),
        ((*ROWS[:7], replace(ROWS[7], moved_up_at=ROWS[7].requested_at), *ROWS[8:]), OUTLOOK),
        (ROWS, OTHER_LENGTHS),
        ((*ROWS, queued(20)), replace(OUTLOOK, blocked=frozenset({ROWS[3].id}))),
        (ROWS, replace(OUTLOOK, promised={ROWS[3].id: frozenset({UUID(int=99)})})),
    ],
)
def test_who_looks_often_is_told_the_same_as_who_looks_once(rows, outlook):
    memory = RequestMemory()
    memory.told(ROWS[:-3], OUTLOOK)
    memory.told(ROWS, OUTLOOK)
    assert memory.told(rows, outlook) == RequestMemory().told(rows, outlook)
    assert memory.told(ROWS, OUTLOOK) == RequestMemory().told(ROWS, OUTLOOK)


def test_those_who_wait_as_before_are_not_made_anew():
    memory = RequestMemory()
    before = memory.told(ROWS, OUTLOOK)
    again = memory.told((*ROWS[:-1], queued(20)), replace(OUTLOOK, at_seconds=9.0))
    assert all(one is other for one, other in zip(before.waiting[:-1], again.waiting, strict=False))
    assert again.by_owner[PEOPLE[0]._replace(project="lab", user="user0")] is before.by_owner[PEOPLE[0]._replace(project="lab", user="user0")]
