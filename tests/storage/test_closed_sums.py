"""What is remembered of closed intervals gives the same sums as reading them all, whatever closes in between."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, insert, update

from aiplatform_hub.storage.activity_sums import ActivitySums
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.schema import activity_intervals, allocations, usage_intervals
from aiplatform_hub.storage.usage_sums import Sum, SumQuery, UsageSums

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MONTH = datetime(2026, 11, 1, tzinfo=UTC)
QUERIES = (
    SumQuery(MONTH, NOW + timedelta(days=20)),
    SumQuery(MONTH, NOW, ("project",)),
    SumQuery(MONTH, NOW, ("user",), by_day=True),
    SumQuery(MONTH + timedelta(days=3), MONTH + timedelta(days=9), ("project",), by_day=True),
    SumQuery(MONTH, NOW, ("gpu_type",), {"project": "p1"}),
    SumQuery(MONTH, NOW, (), {"user": "user1"}),
)


class Ledger:
    """Intervals that close one after another."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.chance = random.Random(3)
        self.sequence = 0

    def close(self, count: int, *, before: datetime = NOW) -> None:
        for _ in range(count):
            with self.database.write() as connection:
                self.close_one(connection, before)

    def close_one(self, connection: Connection, before: datetime = NOW) -> None:
        self.sequence += 1
        number = self.chance.randrange(4)
        start = before - timedelta(seconds=self.chance.randrange(30 * 86_400))
        end = min(before, start + timedelta(seconds=self.chance.randrange(3 * 86_400)))
        id_ = uuid4()
        shared = {
            "user_id": number, "user_name": f"user{number}", "environment_template": "pytorch", "gpus": number, "gpu_type": "h100" if number else None,
            "memory_bytes": 1, "cpu_cores": 1, "project": f"p{number % 2}", "cost_centre": "c", "started_at": start,
        }  # fmt: skip
        own = {"server_name": str(id_), "state": "ended", "devices": [], "door": "rest", "actor": "x", "requested_at": start}
        connection.execute(insert(allocations).values(id=id_, **own, **shared))
        chained = {"ended_at": end, "sequence": self.sequence, "hash": str(uuid4()), "estimated": not number}
        connection.execute(insert(usage_intervals).values(id=uuid4(), allocation_id=id_, **shared, **chained))
        middle = start + (end - start) / 2
        done = {"allocation_id": id_, "samples": 1}
        for activity, since, until in (("used", start, middle), ("idle", middle, end)):
            connection.execute(insert(activity_intervals).values(activity=activity, started_at=since, ended_at=until, last_seen_at=until, **done))


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    ledger.close(30)
    return ledger


def told(sums: list[Sum]) -> dict[Any, tuple[int, ...]]:
    """Return the amounts by group; several sums of one group are one."""
    found: dict[Any, tuple[int, ...]] = {}
    for one in sums:
        key = tuple(sorted((name, str(value)) for name, value in one.keys.items()))
        amounts = (one.gpu_microseconds, one.session_microseconds, one.estimated_microseconds, one.intervals)
        found[key] = tuple(a + b for a, b in zip(found.get(key, (0, 0, 0, 0)), amounts, strict=True))
    return found


def read(sums: UsageSums | ActivitySums, connection: Connection, query: SumQuery) -> dict[Any, tuple[int, ...]]:
    return told(sums.sums(connection, query))


@pytest.mark.parametrize("make", [UsageSums, ActivitySums])
def test_what_closed_since_is_added_to_what_is_remembered(ledger: Ledger, make: Callable[[], UsageSums | ActivitySums]) -> None:
    remembering = make()
    for _ in range(3):
        with ledger.database.read() as connection:
            for query in QUERIES:
                assert read(remembering, connection, query) == read(make(), connection, query)
                assert read(remembering, connection, query) == read(make(), connection, query)
        ledger.close(5)


def test_only_what_closed_since_is_read(ledger: Ledger) -> None:
    sums, seen = UsageSums(), list[str]()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    with ledger.database.read() as connection:
        first = sums.sums(connection, QUERIES[1])
    event.listen(ledger.database.engine, "before_cursor_execute", note)
    with ledger.database.read() as connection:
        assert sums.sums(connection, QUERIES[1]) == first
    assert sum("sum(" in statement for statement in seen) == 1, "of the open ones alone"
    ledger.close(1)
    seen.clear()
    with ledger.database.read() as connection:
        sums.sums(connection, QUERIES[1])
    closed = [statement for statement in seen if "sum(" in statement and "usage_intervals.id IN" in statement]
    assert len(closed) == 1, "one statement, by the ids of the few"
    event.remove(ledger.database.engine, "before_cursor_execute", note)


def test_a_span_until_now_is_the_same_question_each_time(ledger: Ledger) -> None:
    sums = UsageSums()
    with ledger.database.read() as connection:
        before = read(sums, connection, SumQuery(MONTH, NOW))
        assert len(sums._closed._known) == 1
        assert read(sums, connection, SumQuery(MONTH, NOW + timedelta(seconds=5))) == before
        assert len(sums._closed._known) == 1
    ledger.close(3, before=NOW + timedelta(hours=1))
    with ledger.database.read() as connection:
        query = SumQuery(MONTH, NOW)
        assert read(sums, connection, query) == read(UsageSums(), connection, query), "what ended after the span is cut off"


def test_a_transaction_that_began_earlier_sees_no_later_row(ledger: Ledger) -> None:
    if not ledger.database.is_sqlite:
        pytest.skip("each statement of PostgreSQL sees the newest rows")
    sums, query = UsageSums(), QUERIES[1]
    with ledger.database.read() as earlier:
        before = read(UsageSums(), earlier, query)
        ledger.close(4)
        with ledger.database.read() as later:
            assert read(sums, later, query) != before
        assert read(sums, earlier, query) == before


def test_another_history_of_the_same_length_is_read_again(ledger: Ledger) -> None:
    sums, query = UsageSums(), QUERIES[1]
    with ledger.database.read() as connection:
        before = read(sums, connection, query)
    with ledger.database.write() as connection:  # as if the file had been put back from elsewhere
        connection.execute(update(usage_intervals).values(gpus=7, hash="other"))
    with ledger.database.read() as connection:
        assert read(sums, connection, query) != before
        assert read(sums, connection, query) == read(UsageSums(), connection, query)
