"""Estimates are stored when something has happened, and are the same whoever asks."""

from __future__ import annotations

import pytest

from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.domain.session_lengths import ENOUGH_SESSIONS
from aiplatform_hub.operations.prospects import Prospects
from aiplatform_hub.operations.wait_forecaster import LIFETIME, Waits
from tests.support.chain import Chain, person, want


@pytest.fixture
def busy(chain: Chain) -> Chain:
    """Sessions of 1, 2, 3, … hours have ended here, and persons 1 and 2 hold all four GPUs since a while."""
    for hours in range(1, ENOUGH_SESSIONS + 12):
        held = chain.hold(person(9), "x", want(1))
        chain.meter.started(held.id, chain.clock())
        chain.clock.move(hours=hours)
        chain.end(held)
    made = Chain(chain.database, chain.head_file, chain.clock, policy=FIFO)
    for number in (1, 2):
        made.meter.started(made.hold(person(number), "a", want(2)).id, made.clock())
    made.clock.move(minutes=30)
    return made


def stored(chain: Chain) -> Waits:
    with chain.database.read() as connection:
        return chain.forecaster.stored(connection)


def test_everybody_who_waits_has_an_estimate_and_who_is_before_waits_less(busy: Chain) -> None:
    queued = [busy.queue(person(number), "c", want(2)) for number in (3, 4, 5)]
    busy.dispatch()
    assert busy.forecaster.refresh()
    found = stored(busy)
    assert found.as_of == busy.clock()
    assert set(found.by_id) == {each.id for each in queued}
    in_line = [found.by_id[each.id].p50_seconds for each in queued]
    assert in_line == sorted(in_line)
    assert 0 < in_line[0] < in_line[2]


def test_nothing_is_stored_again_while_nothing_happens(busy: Chain) -> None:
    busy.queue(person(3), "c", want(2))
    busy.dispatch()
    assert busy.forecaster.refresh()
    assert not busy.forecaster.refresh()
    busy.clock.move(seconds=LIFETIME.total_seconds())
    assert busy.forecaster.refresh(), "time has passed"
    busy.queue(person(4), "c", want(2))
    busy.dispatch()
    assert busy.forecaster.refresh(), "somebody has come"


def test_queue_that_is_empty_is_told_once(busy: Chain) -> None:
    queued = busy.queue(person(3), "c", want(2))
    busy.dispatch()
    busy.forecaster.refresh()
    busy.desk.withdraw(queued.id, by="user3")
    busy.dispatch()
    assert busy.forecaster.refresh()
    assert stored(busy).by_id == {}
    busy.clock.move(hours=1)
    assert not busy.forecaster.refresh()


def test_before_sessions_have_ended_nobody_knows(chain: Chain) -> None:
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(2))
    chain.queue(person(3), "c", want(2))
    chain.dispatch()
    assert chain.forecaster.refresh()
    assert stored(chain).by_id == {}


def test_launch_that_would_wait_is_told_the_same_as_once_it_waits(busy: Chain) -> None:
    prospects = Prospects(database=busy.database, allocations=busy.allocations, reader=busy._reader(), forecaster=busy.forecaster, clock=busy.clock)
    busy.queue(person(3), "c", want(2))
    busy.dispatch()
    would = prospects.of_one_launch(person(4), want(2), may_wait=True).wait
    queued = busy.queue(person(4), "c", want(2))
    busy.dispatch()
    busy.forecaster.refresh()
    assert would
    assert stored(busy).by_id[queued.id].p50_seconds == pytest.approx(would.p50_seconds, rel=0.05)


def test_launch_that_would_start_has_no_estimate(busy: Chain) -> None:
    prospects = Prospects(database=busy.database, allocations=busy.allocations, reader=busy._reader(), forecaster=busy.forecaster, clock=busy.clock)
    found = prospects.of_launch(person(4), {0: want(0), 1: want(1)})
    assert found[0].wait is None
    assert found[1].wait is not None
