"""Whoever waits leaves the queue for want of interest only after time that the dispatcher really saw pass."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from aiplatform_hub.domain.allocations import Allocation, EndCause
from aiplatform_hub.domain.interest import LONGEST_STEP
from tests.support.chain import NOON, Chain, person, want


@dataclass
class Seconds:
    """A clock that never jumps."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Keeper:
    """A dispatcher whose two clocks a test moves."""

    def __init__(self, chain: Chain) -> None:
        self.chain, self.seconds = chain, Seconds()
        self.start()

    def start(self) -> None:
        """Be another life of the keeper, with a monotonic clock of its own."""
        self.seconds = Seconds()
        made = Chain(self.chain.database, self.chain.head_file, self.chain.clock)
        made.dispatcher._interest = made.interest_clock(self.seconds, LONGEST_STEP)
        self.running = made

    def live(self, **span: float) -> dict[object, EndCause]:
        """Let time pass with a pass each minute; return who left."""
        left: dict[object, EndCause] = {}
        for _ in range(int(timedelta(**span) / LONGEST_STEP)):
            self.seconds.now += 60
            self.chain.clock.move(minutes=1)
            left |= self.running.dispatch().ended
        return left

    def look(self) -> dict[object, EndCause]:
        self.seconds.now += 1
        self.chain.clock.move(seconds=1)
        return dict(self.running.dispatch().ended)


@pytest.fixture
def keeper(chain: Chain) -> Keeper:
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(2))
    return Keeper(chain)


def word(keeper: Keeper, queued: Allocation) -> datetime:
    said = keeper.chain.find(queued).confirmed_at
    assert said is not None
    return said


def age(keeper: Keeper, queued: Allocation, hours: float) -> None:
    """Let an owner's word be so old, as the dispatcher saw it."""
    with keeper.chain.database.write() as connection:
        keeper.chain.allocations.set_confirmed(connection, {queued.id: keeper.chain.clock() - timedelta(hours=hours)})


def test_time_that_passes_while_it_looks_counts(keeper: Keeper) -> None:
    queued = keeper.chain.queue(person(3), "c", want(2))
    keeper.look()
    age(keeper, queued, 23.9)
    assert keeper.live(minutes=5) == {}
    assert word(keeper, queued) == NOON + timedelta(seconds=1) - timedelta(hours=23.9)
    assert keeper.live(minutes=2) == {queued.id: EndCause.INTEREST_EXPIRED}


@pytest.mark.parametrize("hours", [24, 25, 24 * 365])
def test_clock_that_jumps_forward_expires_nobody(keeper: Keeper, hours: float) -> None:
    old, new = keeper.chain.queue(person(3), "c", want(2)), keeper.chain.queue(person(4), "d", want(2))
    keeper.look()
    age(keeper, old, 10)
    keeper.chain.clock.move(hours=hours)
    assert keeper.look() == {}
    assert keeper.chain.clock() - word(keeper, old) == pytest.approx(timedelta(hours=10), abs=timedelta(seconds=5))
    assert keeper.chain.clock() - word(keeper, new) < timedelta(seconds=5)
    assert keeper.live(minutes=5) == {}


def test_everybody_has_time_to_answer_after_the_keeper_was_down(keeper: Keeper) -> None:
    late, fresh = keeper.chain.queue(person(3), "c", want(2)), keeper.chain.queue(person(4), "d", want(2))
    keeper.look()
    age(keeper, late, 23.5)
    keeper.chain.clock.move(days=3)
    keeper.start()
    assert keeper.look() == {}
    assert timedelta(hours=24) - (keeper.chain.clock() - word(keeper, late)) == pytest.approx(timedelta(hours=6), abs=timedelta(seconds=5))
    assert keeper.chain.clock() - word(keeper, fresh) < timedelta(minutes=2)


def test_keeper_that_takes_over_at_once_goes_on_counting(keeper: Keeper) -> None:
    queued = keeper.chain.queue(person(3), "c", want(2))
    keeper.look()
    age(keeper, queued, 23.99)
    said = word(keeper, queued)
    keeper.chain.clock.move(seconds=20)
    keeper.start()
    assert keeper.look() == {}
    assert word(keeper, queued) == said
    assert keeper.live(minutes=1) == {queued.id: EndCause.INTEREST_EXPIRED}


def test_what_is_asked_for_after_a_long_quiet_time_is_left_as_it_is(keeper: Keeper) -> None:
    keeper.look()
    keeper.seconds.now += 3600
    keeper.chain.clock.move(hours=1)
    queued = keeper.chain.queue(person(3), "c", want(2))
    keeper.look()
    assert word(keeper, queued) == queued.confirmed_at


def test_hub_away_for_a_day_costs_nobody_their_place(keeper: Keeper) -> None:
    """Passes are not made while the hub does not tell who waits; nobody can confirm anything then."""
    queued = keeper.chain.queue(person(3), "c", want(2))
    keeper.look()
    keeper.seconds.now += 30 * 3600
    keeper.chain.clock.move(hours=30)
    assert keeper.look() == {}
    assert keeper.chain.clock() - word(keeper, queued) < timedelta(minutes=2)


def test_clock_that_went_forward_and_comes_back_leaves_no_word_in_the_future(keeper: Keeper) -> None:
    queued = keeper.chain.queue(person(3), "c", want(2))
    keeper.look()
    keeper.chain.clock.move(days=30)
    keeper.look()
    keeper.chain.clock.move(days=-30)
    assert keeper.look() == {}
    assert word(keeper, queued) <= keeper.chain.clock()
