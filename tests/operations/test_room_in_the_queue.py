"""Who waits is told by when the sessions in the way make room, where a class bounds them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from aiplatform_hub.domain.policy import SHIPPED, ClassReservation
from aiplatform_hub.domain.queueing import WaitCode
from tests.support.chain import NOON, Chain, person, want


def test_reason_names_the_sessions_that_make_room_and_by_when(chain: Chain) -> None:
    begins = (NOON + timedelta(hours=3)).timestamp()
    window = ClassReservation("vision", 4, "h100", begins, begins + 3600)
    bound = Chain(chain.database, chain.head_file, chain.clock, policy=replace(SHIPPED, reservations=(window,)))
    held = [bound.hold(person(number), "a", want(2)) for number in (1, 2)]
    bound.queue(person(3), "c", want(2))
    bound.dispatch()
    (entry,) = bound.desk.entries()
    assert entry.reason.code is WaitCode.CAPACITY
    assert entry.reason.room_by_seconds == begins
    assert set(entry.reason.room_of) < {str(each.id) for each in held}


def test_nothing_is_promised_where_nothing_bounds_them(chain: Chain) -> None:
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "a", want(2))
    chain.queue(person(3), "c", want(2))
    chain.dispatch()
    (entry,) = chain.desk.entries()
    assert (entry.reason.room_by_seconds, entry.reason.room_of) == (None, ())
