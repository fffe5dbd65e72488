"""Used, idle and unknown GPU time of reports: the database's sums equal the same sums made interval by interval, and the three are the whole."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Connection, insert

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.operations.cost_reporter import ReportRow, UsageQuery
from aiplatform_hub.storage.activity_sums import ActivitySums
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.schema import activity_intervals
from aiplatform_hub.storage.usage_sums import Sum, SumQuery
from tests.operations.test_cost_reporter import FROM, TO, random_interval, reporter, store
from tests.support.charging import Charging

Piece = tuple[UsageInterval, str, datetime, datetime, bool]
MICROSECOND = timedelta(microseconds=1)


def random_pieces(chance: random.Random, usage: UsageInterval) -> list[Piece]:
    """Return what a keeper would have recorded of a session: end to end, the last one sometimes open or beyond the session's end."""
    end = usage.ended_at or usage.last_seen_at or usage.started_at
    at = usage.started_at + timedelta(microseconds=chance.randrange(30_000_000))
    pieces = []
    while at < end + timedelta(minutes=1):
        until = at + timedelta(microseconds=int(chance.expovariate(1 / 9_000_000_000)) + 1)
        pieces.append((usage, chance.choice(["used", "idle", "idle", "unknown"]), at, until, False))
        at = until
    if pieces and usage.ended_at is None:
        pieces[-1] = (*pieces[-1][:4], True)
    return pieces


def store_pieces(database: Database, pieces: list[Piece]) -> None:
    rows = [
        {"allocation_id": usage.allocation_id, "activity": activity, "started_at": start, "ended_at": None if is_open else end, "last_seen_at": end, "samples": 1}
        for usage, activity, start, end, is_open in pieces
    ]  # fmt: skip
    with database.write() as connection:
        connection.execute(insert(activity_intervals), rows)


def expected(pieces: list[Piece], key: str) -> dict[object, dict[str, int]]:
    """Return GPU-microseconds by group and activity, one piece and one day at a time."""
    sums: dict[object, dict[str, int]] = defaultdict(lambda: {"used": 0, "idle": 0})
    for usage, activity, start, end, _ in pieces:
        low = max(start, usage.started_at, FROM)
        high = min(end, usage.ended_at or usage.last_seen_at or usage.started_at, TO)
        while low < high and activity != "unknown":
            midnight = low.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            until = min(high, midnight)
            name = {"day": f"{low:%Y-%m-%d}", "month": f"{low:%Y-%m}"}.get(key) or getattr(
                usage, {"user": "user_name", "allocation": "allocation_id"}.get(key, key)
            )
            sums[name][activity] += (until - low) // MICROSECOND * usage.gpus
            low = until
    return sums


def microseconds(seconds: Decimal) -> int:
    whole = seconds * 1_000_000
    assert whole == int(whole)
    return int(whole)


def check_whole(row: ReportRow) -> None:
    assert row.used_gpu_seconds + row.idle_gpu_seconds + row.unknown_gpu_seconds == row.gpu_seconds
    assert min(row.used_gpu_seconds, row.idle_gpu_seconds, row.unknown_gpu_seconds) >= 0


@pytest.mark.parametrize("key", ["user", "project", "gpu_type", "allocation", "day", "month"])
def test_sums_equal_the_pieces_one_by_one(database: Database, key: str) -> None:
    chance = random.Random(5)
    rows = [random_interval(random.Random(number), number) for number in range(120)]
    pieces = [piece for row in rows for piece in random_pieces(chance, row)]
    store(database, rows)
    store_pieces(database, pieces)
    wanted = expected(pieces, key)
    report = reporter(database).usage(UsageQuery(FROM, TO, (key,)))
    assert report.rows
    for row in report.rows:
        check_whole(row)
        found = {"used": microseconds(row.used_gpu_seconds), "idle": microseconds(row.idle_gpu_seconds)}
        assert found == wanted[row.keys[key]], row.keys
    check_whole(report.totals[0])
    assert microseconds(report.totals[0].idle_gpu_seconds) == sum(one["idle"] for one in wanted.values()) > 0


@pytest.mark.parametrize("key", ["project", "day"])
def test_costs_are_split_as_usage_is(database: Database, key: str) -> None:
    chance = random.Random(7)
    rows = [random_interval(random.Random(number), number) for number in range(60)]
    store(database, rows)
    store_pieces(database, [piece for row in rows for piece in random_pieces(chance, row)])
    by_key: dict[object, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    for row in reporter(database).costs(UsageQuery(FROM, TO, (key,))).rows:
        check_whole(row)
        parts = (row.used_gpu_seconds, row.idle_gpu_seconds, row.unknown_gpu_seconds)
        by_key[row.keys[key]] = [a + b for a, b in zip(by_key[row.keys[key]], parts, strict=True)]
    usage = reporter(database).usage(UsageQuery(FROM, TO, (key,)))
    assert {row.keys[key]: [row.used_gpu_seconds, row.idle_gpu_seconds, row.unknown_gpu_seconds] for row in usage.rows} == by_key


def test_without_any_record_all_time_is_unknown(database: Database) -> None:
    one = replace(random_interval(random.Random(1), 1), started_at=FROM, ended_at=FROM + timedelta(hours=1), gpus=2, gpu_type="h100")
    store(database, [one])
    row = reporter(database).usage(UsageQuery(FROM, TO)).totals[0]
    assert (row.used_gpu_seconds, row.idle_gpu_seconds, row.unknown_gpu_seconds) == (0, 0, 7200)


def test_what_is_recorded_beyond_the_session_does_not_count(database: Database) -> None:
    one = replace(random_interval(random.Random(1), 1), started_at=FROM, ended_at=FROM + timedelta(hours=1), gpus=1, gpu_type="h100")
    store(database, [one])
    store_pieces(database, [(one, "idle", FROM - timedelta(hours=5), FROM + timedelta(hours=9), False)])
    row = reporter(database).usage(UsageQuery(FROM - timedelta(days=1), TO)).totals[0]
    assert (row.used_gpu_seconds, row.idle_gpu_seconds, row.unknown_gpu_seconds) == (0, 3600, 0)


def test_only_the_people_asked_about_count(database: Database) -> None:
    chance = random.Random(9)
    rows = [random_interval(random.Random(number), number) for number in range(40)]
    pieces = [piece for row in rows for piece in random_pieces(chance, row)]
    store(database, rows)
    store_pieces(database, pieces)
    row = reporter(database).usage(UsageQuery(FROM, TO, (), {"user": "user3"})).totals[0]
    mine = expected([piece for piece in pieces if piece[0].user_name == "user3"], "user")["user3"]
    assert (microseconds(row.used_gpu_seconds), microseconds(row.idle_gpu_seconds)) == (mine["used"], mine["idle"])


class Ahead(ActivitySums):
    """Statements that see a later moment than those before them, as on PostgreSQL."""

    def sums(self, connection: Connection, query: SumQuery) -> list[Sum]:
        found = super().sums(connection, query)
        return [replace(one, gpu_microseconds=one.gpu_microseconds + 5_000_000) for one in found]


def test_parts_never_exceed_the_whole_that_was_read_before(database: Database) -> None:
    one = replace(random_interval(random.Random(1), 1), started_at=FROM, ended_at=FROM + timedelta(hours=1), gpus=1, gpu_type="h100")
    store(database, [one])
    half = FROM + timedelta(minutes=30)
    store_pieces(database, [(one, "idle", FROM, half, False), (one, "used", half, FROM + timedelta(hours=1), False)])
    made = Charging(database, load_catalog().rate_cards, lambda: TO).costs(Ahead())
    check_whole(made.usage(UsageQuery(FROM, TO)).totals[0])
