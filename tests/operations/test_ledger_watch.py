"""The watch over the ledger finds what the verifier finds, a few rows at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.operations.ledger_watch import AGAIN_AFTER, LedgerWatch
from aiplatform_hub.storage.schema import usage_intervals as intervals
from tests.support.chain import NOON, Chain, person, want


def close(chain: Chain, numbers: range) -> None:
    for number in numbers:
        taken = chain.take_up(person(number), "a", want(number % 2))
        chain.meter.started(taken.id, NOON + timedelta(seconds=number))
        chain.meter.ended(taken.id, NOON + timedelta(minutes=number + 1), EndCause.EXITED)


def change(chain: Chain, statement: object) -> None:
    with chain.database.write() as connection:
        connection.execute(statement)


@pytest.fixture
def watch(chain: Chain) -> LedgerWatch:
    close(chain, range(5))
    return LedgerWatch(database=chain.database, usage=chain.usage, head=chain.head, clock=chain.clock, rows_at_once=2)


def test_it_walks_to_the_end_and_goes_on_with_new_rows(chain: Chain, watch: LedgerWatch) -> None:
    found = [watch.step() for _ in range(3)]
    assert [(each.rows, each.whole_at is not None) for each in found] == [(2, False), (4, False), (5, True)]
    assert found[-1].verified_until == NOON + timedelta(minutes=5)
    close(chain, range(5, 7))
    watch.step()
    assert (watch.step().rows, watch.found.trouble) == (7, "")


def test_changed_row_is_named_until_it_is_right_again(chain: Chain, watch: LedgerWatch) -> None:
    change(chain, update(intervals).where(intervals.c.sequence == 3).values(gpus=7))
    watch.step()
    assert "(sequence 3," in watch.step().trouble
    change(chain, update(intervals).where(intervals.c.sequence == 3).values(gpus=0))
    steps = [watch.step() for _ in range(3)]
    assert "(sequence 3," in steps[0].trouble, "only a walk to the end takes it back"
    assert (steps[-1].trouble, steps[-1].rows) == ("", 5)


def test_removed_end_is_found(chain: Chain, watch: LedgerWatch) -> None:
    change(chain, delete(intervals).where(intervals.c.sequence == 5))
    watch.step()
    watch.step()
    assert "The row with sequence 5 was removed" in watch.step().trouble


def test_an_old_row_that_is_changed_later_is_found_within_a_day(chain: Chain, watch: LedgerWatch) -> None:
    for _ in range(3):
        watch.step()
    change(chain, update(intervals).where(intervals.c.sequence == 1).values(gpus=7))
    assert watch.step().trouble == ""
    chain.clock.now += AGAIN_AFTER
    assert "(sequence 1," in watch.step().trouble
