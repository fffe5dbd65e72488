"""What would happen is what then happens, and asking changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.domain.quota import Outcome
from aiplatform_hub.operations.prospects import Prospects
from tests.support.chain import Chain, person, want

STAFF = person(3, "staff")


@pytest.fixture
def line(chain: Chain) -> Chain:
    """Two persons hold three of four GPUs; submit times alone decide who is next."""
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(1))
    return Chain(chain.database, chain.head_file, chain.clock, policy=FIFO)


def prospects(chain: Chain) -> Prospects:
    return Prospects(database=chain.database, allocations=chain.allocations, reader=chain._reader(), forecaster=chain.forecaster, clock=chain.clock)


def test_launch_that_fits_would_start_and_one_that_does_not_would_be_next(line: Chain) -> None:
    found = prospects(line).of_launch(STAFF, {1: want(1), 4: want(4), 5: want(5)})
    assert (found[1].decision.outcome, found[1].before) == (Outcome.ADMIT, None)
    assert (found[4].decision.outcome, found[4].before) == (Outcome.QUEUE, 0)
    assert (found[5].decision.outcome, found[5].before) == (Outcome.DENY, None)
    assert line.queued() == ()
    assert len(line.open()) == 2


def test_those_who_come_first_are_counted(line: Chain) -> None:
    for number in (4, 5):
        line.queue(person(number), "x", want(2))
    assert prospects(line).of_launch(STAFF, {2: want(2)})[2].before == 2


def test_own_limit_has_no_place_in_line(line: Chain) -> None:
    found = prospects(line).of_launch(person(1), {1: want(1)})[1]
    assert (found.decision.outcome, found.before) == (Outcome.QUEUE, None)


def test_fewer_gpus_start_at_once_where_they_fit(line: Chain) -> None:
    queued = line.queue(STAFF, "c", want(4))
    found = prospects(line).of_fewer_gpus(STAFF, queued)
    assert {gpus: prospect.decision.outcome for gpus, prospect in found.items()} == {
        0: Outcome.ADMIT,
        1: Outcome.ADMIT,
        2: Outcome.QUEUE,
        3: Outcome.QUEUE,
    }
    line.desk.change_gpus(queued.id, STAFF, 1, by="user3")
    assert [held.id for held in line.dispatch(STAFF).held] == [queued.id]


def test_fewer_gpus_count_from_the_place_that_the_request_has(line: Chain) -> None:
    first = line.queue(STAFF, "c", want(4))
    line.clock.move(minutes=1)
    later = line.queue(person(4), "d", want(2))
    assert prospects(line).of_fewer_gpus(STAFF, first)[1].decision.is_admitted
    assert prospects(line).of_launch(STAFF, {2: want(2)})[2].before == 2
    line.desk.withdraw(later.id, by="user4")
    assert prospects(line).of_launch(STAFF, {2: want(2)})[2].before == 1


def test_alternatives_are_fewer_gpus_other_types_and_the_evening(line: Chain) -> None:
    found = prospects(line).alternatives(STAFF, want(3), ["h100", "l4"])
    assert [(each.kind, each.request.gpus, each.request.gpu_type) for each in found] == [
        ("fewer_gpus", 2, "h100"),
        ("fewer_gpus", 1, "h100"),
        ("gpu_type", 3, "l4"),
        ("evening", 3, "h100"),
    ]
    assert [each.prospect.decision.outcome for each in found[:2]] == [Outcome.QUEUE, Outcome.ADMIT]
    assert found[2].prospect.decision.outcome is Outcome.DENY
    assert found[3].asked_at is not None
    assert found[3].asked_at > line.clock()
    assert line.queued() == ()


def test_what_starts_now_is_not_put_off_to_the_evening(line: Chain) -> None:
    assert [each.kind for each in prospects(line).alternatives(STAFF, want(1), ["h100"])] == []


def test_environment_that_left_the_catalogue_offers_no_fewer(line: Chain) -> None:
    queued = line.queue(STAFF, "c", want(4))
    assert prospects(line).of_fewer_gpus(STAFF, replace(queued, request=replace(queued.request, environment_template="gone"))) == {}


def test_place_counts_everybody_who_waits_before(line: Chain) -> None:
    line.queue(STAFF, "c", want(4))
    seen = prospects(line)
    waiting = seen.of_one_launch(person(4), want(2), may_wait=True)
    assert (waiting.decision.outcome, waiting.position, waiting.before) == (Outcome.QUEUE, 2, 1)
    refused = seen.of_one_launch(person(4), want(2), may_wait=False)
    assert (refused.decision.outcome, refused.position) == (Outcome.DENY, None)
    assert seen.of_one_launch(person(4), want(0), may_wait=True).position is None
