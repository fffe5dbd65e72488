"""Dispatchers, doors and owners at the same moment: nothing is granted twice, nothing lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from aiplatform_hub.domain.allocations import AllocationState
from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.storage.database import Database
from tests.support.chain import Chain, person, want
from tests.support.hold_worker import PATIENCE

REQUESTS = 12


class CutOffError(BaseException):
    """The process ends here."""


@pytest.fixture
def others(chain: Chain, database_url: str) -> Iterator[Callable[[], Chain]]:
    """Make further processes' views of the same platform."""
    made: list[Database] = []

    def other() -> Chain:
        made.append(Database(url=database_url, lock_timeout=PATIENCE))
        return replace(chain, database=made[-1], policy=FIFO)

    yield other
    for database in made:
        database.close()


def fill(chain: Chain, requests: int = REQUESTS) -> list[Any]:
    """Let two people hold everything, and others wait for one GPU each."""
    holds = [chain.hold(person(number), "a", want(2)) for number in (1, 2)]
    for number in range(requests):
        chain.queue(person(10 + number), "q", want(1))
        chain.clock.move(seconds=1)
    return holds


def together(*calls: Callable[[], Any]) -> list[Any]:
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return call()
        except AIPlatformError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def check_grants(chain: Chain) -> None:
    """Every lease is of an open allocation with those devices, and each device is leased once."""
    opened = chain.open()
    with chain.database.read() as connection:
        leased = chain.allocations.leased(connection)
    assert leased == {device: allocation.id for allocation in opened for device in allocation.devices}
    assert sum(len(allocation.devices) for allocation in opened) == len(leased) <= 4


def test_two_dispatchers_at_once_grant_each_gpu_once_and_in_order(chain: Chain, others: Callable[[], Chain]) -> None:
    holds = fill(chain)
    for hold in holds:
        chain.end(hold)
    one, other = others(), others()
    passes = together(one.dispatch, other.dispatch)
    held = [allocation.user_id for done in passes for allocation in done.held]
    assert sorted(held) == [10, 11, 12, 13]
    check_grants(chain)
    assert [a.user_id for a in chain.queued()] == list(range(14, 10 + REQUESTS))


def test_withdrawals_against_dispatches_lose_and_grant_nothing(chain: Chain, others: Callable[[], Chain]) -> None:
    holds = fill(chain)
    waiting = chain.queued()
    for hold in holds:
        chain.end(hold)
    one, other, desk = others(), others(), others()
    results = together(one.dispatch, other.dispatch, *(lambda a=a: desk.desk.withdraw(a.id, by=a.user_name) for a in waiting[:6]))
    assert results[2:] == [True] * 6
    for allocation in waiting[:6]:
        assert chain.find(allocation).state is AllocationState.WITHDRAWN
    one.dispatch()
    check_grants(chain)
    assert sorted(a.user_id for a in chain.open()) == [16, 17, 18, 19]


def test_stock_doors_against_dispatches_overtake_nobody(chain: Chain, others: Callable[[], Chain]) -> None:
    holds = fill(chain)
    for hold in holds:
        chain.end(hold)
    dispatcher, door = others(), others()
    starts = [lambda number=number: door.take_up(person(number), "door", want(1), spawner_id=number) for number in range(50, 58)]
    results = together(dispatcher.dispatch, *starts)
    assert {getattr(result, "code", None) for result in results[1:]} == {"capacity"}
    assert sorted(a.user_id for a in chain.open()) == [10, 11, 12, 13]
    check_grants(chain)


def test_changes_against_dispatches_hold_what_the_row_says(chain: Chain, others: Callable[[], Chain]) -> None:
    holds = fill(chain, 4)
    waiting = chain.queued()
    for hold in holds:
        chain.end(hold)
    dispatcher, desk = others(), others()
    together(dispatcher.dispatch, *(lambda a=a: desk.desk.change_gpus(a.id, person(a.user_id), 2, by=a.user_name) for a in waiting))
    dispatcher.dispatch()
    for allocation in chain.open():
        assert len(allocation.devices) == allocation.request.gpus
    check_grants(chain)


def test_pass_that_is_cut_off_at_any_statement_loses_nothing_and_is_made_up_for(chain: Chain, others: Callable[[], Chain]) -> None:
    """Every point at which a process may die inside a pass, one after the other, until one runs through."""
    holds = fill(chain, 6)
    for hold in holds:
        chain.end(hold)
    before = [a.id for a in chain.queued()]
    count, is_through = 0, False
    while not is_through:
        dying, left = others(), [count]

        def cut(*_: Any, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise CutOffError

        event.listen(dying.database.writer, "before_cursor_execute", cut)
        try:
            dying.dispatch()
            is_through = True
        except CutOffError:
            pass
        check_grants(chain)
        granted = [a.id for a in sorted(chain.open(), key=lambda a: a.requested_at)]
        waiting = [a.id for a in chain.queued()]
        assert granted + waiting == before, "the order is kept and nobody is lost"
        others().dispatch()
        assert [a.id for a in sorted(chain.open(), key=lambda a: a.requested_at)] == before[:4], "the next pass makes up for it"
        for id_ in before[:4]:
            assert chain.dispatcher.give_back(id_)
        count += 1
    assert count > 30, "there are many statements to die at"
