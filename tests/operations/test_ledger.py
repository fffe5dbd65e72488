"""The ledger's verifier names the first row that was changed, removed or inserted."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, insert, select, text, update

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.ledger import chained
from aiplatform_hub.errors import LedgerError
from aiplatform_hub.storage.schema import usage_intervals as intervals
from aiplatform_hub.storage.usage import ChainHead
from tests.support.chain import NOON, Chain, person, want


@pytest.fixture
def rows(chain: Chain) -> list[UUID]:
    """Ids of five closed intervals, in close order."""
    for number in range(5):
        taken = chain.take_up(person(number), "a", want(number % 2))
        chain.meter.started(taken.id, NOON + timedelta(seconds=number))
        chain.meter.ended(taken.id, NOON + timedelta(minutes=number + 1), EndCause.EXITED)
    with chain.database.read() as connection:
        return list(connection.execute(select(intervals.c.id).order_by(intervals.c.sequence)).scalars())


def fault(chain: Chain) -> str:
    with pytest.raises(LedgerError) as error:
        chain.verifier.verify()
    return error.value.message


def change(chain: Chain, statement: object) -> None:
    with chain.database.write() as connection:
        connection.execute(statement)


def test_untouched_ledger_verifies(chain: Chain, rows: list[UUID]) -> None:
    verified = chain.verifier.verify()
    assert verified.rows == 5
    assert chain.head.read() == ChainHead(5, verified.head_hash)


def test_empty_ledger_verifies(chain: Chain) -> None:
    assert chain.verifier.verify().rows == 0


@pytest.mark.parametrize(
    "values",
    [
        {"gpus": 4},
        {"user_name": "mallory"},
        {"user_id": 99},
        {"project": "vision"},
        {"cost_centre": "lab"},
        {"environment_template": "other"},
        {"gpu_type": "a100"},
        {"memory_bytes": 1},
        {"cpu_cores": 9},
        {"started_at": NOON},
        {"ended_at": NOON + timedelta(days=1)},
        {"end_cause": "start_failed"},
        {"estimated": True},
        {"hash": "0" * 64},
        {"previous_hash": "0" * 64},
        {"allocation_id": None},
    ],
    ids=lambda values: next(iter(values)),
)
def test_changed_row_is_named(chain: Chain, rows: list[UUID], values: dict[str, object]) -> None:
    if values == {"allocation_id": None}:
        with chain.database.read() as connection:
            values = {"allocation_id": connection.execute(select(intervals.c.allocation_id).where(intervals.c.id == rows[0])).scalar_one()}
    change(chain, update(intervals).where(intervals.c.id == rows[2]).values(**values))
    message = fault(chain)
    assert str(rows[2]) in message
    assert "sequence 3" in message
    assert "changed" in message


def test_row_with_a_recomputed_hash_breaks_the_next_one(chain: Chain, rows: list[UUID]) -> None:
    with chain.database.read() as connection:
        third = list(chain.usage.chained(connection))[2]
    from dataclasses import replace

    forged = chained(replace(third, gpus=7), sequence=3, previous_hash=third.previous_hash or "")
    change(chain, update(intervals).where(intervals.c.id == rows[2]).values(gpus=7, hash=forged.hash))
    assert str(rows[3]) in fault(chain)


def test_last_row_with_a_recomputed_hash_does_not_match_the_head(chain: Chain, rows: list[UUID]) -> None:
    from dataclasses import replace

    with chain.database.read() as connection:
        last = list(chain.usage.chained(connection))[4]
    forged = chained(replace(last, gpus=7), sequence=5, previous_hash=last.previous_hash or "")
    change(chain, update(intervals).where(intervals.c.id == rows[4]).values(gpus=7, hash=forged.hash))
    message = fault(chain)
    assert str(rows[4]) in message
    assert "head file" in message


@pytest.mark.parametrize("gone", [0, 2])
def test_removed_row_is_named(chain: Chain, rows: list[UUID], gone: int) -> None:
    change(chain, delete(intervals).where(intervals.c.id == rows[gone]))
    assert f"sequence {gone + 1} was removed" in fault(chain)


def test_truncated_ledger_is_shorter_than_its_head(chain: Chain, rows: list[UUID]) -> None:
    change(chain, delete(intervals).where(intervals.c.sequence > 3))
    assert "sequence 4 to 5 were removed" in fault(chain)
    change(chain, delete(intervals))
    assert "sequence 1 to 5 were removed" in fault(chain)


def _copy(chain: Chain, row: UUID, **values: object) -> UUID:
    with chain.database.write() as connection:
        original = dict(connection.execute(select(intervals).where(intervals.c.id == row)).mappings().one())
        copy = {**original, "id": uuid4(), **values}
        connection.execute(insert(intervals).values(**copy))
        return copy["id"]


def test_inserted_row_outside_the_chain_is_named(chain: Chain, rows: list[UUID]) -> None:
    copy = _copy(chain, rows[1], sequence=None)
    message = fault(chain)
    assert str(copy) in message
    assert "inserted" in message


def test_inserted_row_at_the_end_is_named(chain: Chain, rows: list[UUID]) -> None:
    copy = _copy(chain, rows[1], sequence=6)
    assert str(copy) in fault(chain)


def test_inserted_row_in_the_middle_is_named(chain: Chain, rows: list[UUID]) -> None:
    for sequence in (5, 4, 3):
        change(chain, update(intervals).where(intervals.c.sequence == sequence).values(sequence=sequence + 1))
    copy = _copy(chain, rows[1], sequence=3)
    assert str(copy) in fault(chain)


def test_head_that_lags_after_a_crash_verifies_and_catches_up(chain: Chain, rows: list[UUID]) -> None:
    with chain.database.read() as connection:
        third = list(chain.usage.chained(connection))[2]
    chain.head_file.write_text(json.dumps({"sequence": 3, "hash": third.hash}))
    assert chain.verifier.verify().rows == 5
    taken = chain.take_up(person(9), "z", want(0))
    chain.meter.started(taken.id, NOON)
    chain.meter.ended(taken.id, NOON, EndCause.EXITED)
    assert chain.head.read().sequence == 6


def test_head_never_moves_back(chain: Chain, rows: list[UUID]) -> None:
    before = chain.head.read()
    chain.head.write(2, "older")
    assert chain.head.read() == before


def test_damaged_head_is_said(chain: Chain, rows: list[UUID]) -> None:
    chain.head_file.write_text("{}")
    assert "head file" in fault(chain)


def test_head_that_cannot_be_written_does_not_stop_the_meter(chain: Chain) -> None:
    chain.head_file.with_name("ledger-head.json.lock").mkdir()
    taken = chain.take_up(person(1), "a", want(1))
    chain.meter.started(taken.id, NOON)
    assert chain.meter.ended(taken.id, NOON, EndCause.EXITED)
    assert not chain.find(taken).is_open


def test_closed_row_without_a_hash_is_impossible(chain: Chain, rows: list[UUID]) -> None:
    from sqlalchemy.exc import IntegrityError

    with pytest.raises(IntegrityError):
        change(chain, text("UPDATE usage_intervals SET hash = NULL WHERE sequence = 2"))
