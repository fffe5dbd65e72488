"""Sums by the database equal the domain's cost lines, interval by interval."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.costs import cost_lines, round_amount
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.errors import InvalidOptionError
from aiplatform_hub.operations.cost_reporter import CostReporter, UsageQuery
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.schema import allocations, usage_intervals
from tests.support.charging import Charging

FROM = datetime(2026, 2, 27, 13, 30, tzinfo=UTC)
TO = datetime(2026, 3, 4, 7, 0, 0, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 3, tzinfo=UTC)
CARDS = (
    RateCard("a", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"h100": Decimal("2.50"), "*": Decimal("0.70")}, Decimal("0.03")),
    RateCard("b", datetime(2026, 3, 1, 11, 17, tzinfo=UTC), "EUR", {"h100": Decimal("3.10"), "*": Decimal("0.90")}, Decimal("0.04")),
    RateCard("c", datetime(2026, 3, 3, tzinfo=UTC), "credits", {"*": Decimal(1)}, Decimal("0.01")),
)


def random_interval(chance: random.Random, number: int) -> UsageInterval:
    gpus = chance.randrange(4)
    start = FROM - timedelta(days=1) + timedelta(microseconds=chance.randrange(7 * 86_400_000_000))
    end = start + timedelta(microseconds=int(chance.expovariate(1 / 40_000_000_000)))
    is_open = number % 11 == 0
    return UsageInterval(
        id=uuid4(), allocation_id=uuid4(), user_id=number % 5, user_name=f"user{number % 5}", project=f"p{number % 3}", cost_centre=f"c{number % 2}",
        environment_template="pytorch", gpus=gpus, gpu_type=chance.choice(["h100", "l4"]) if gpus else None, memory_bytes=1, cpu_cores=1,
        started_at=start, ended_at=None if is_open else end, last_seen_at=end,
        end_cause=None if is_open else chance.choice([EndCause.STOPPED, EndCause.START_FAILED]), estimated=not is_open and number % 4 == 0,
    )  # fmt: skip


def store(database: Database, rows: list[UsageInterval], first: int = 0) -> None:
    with database.write() as connection:
        for number, row in enumerate(rows, first):
            shared = {name: getattr(row, name) for name in ("user_id", "user_name", "environment_template", "gpus", "gpu_type", "memory_bytes", "cpu_cores", "project", "cost_centre")}  # fmt: skip
            connection.execute(insert(allocations).values(id=row.allocation_id, server_name=str(number), state="ended", devices=[], door="rest", actor="x", requested_at=FROM, **shared))  # fmt: skip
            closed = {} if row.ended_at is None else {"sequence": number + 1, "previous_hash": "0", "hash": "1"}
            connection.execute(insert(usage_intervals).values(
                id=row.id, allocation_id=row.allocation_id, started_at=row.started_at, ended_at=row.ended_at, last_seen_at=row.last_seen_at,
                end_cause=row.end_cause.value if row.end_cause else None, estimated=row.estimated, **shared, **closed))  # fmt: skip


def reporter(database: Database) -> CostReporter:
    return Charging(database, CARDS, lambda: NOW).costs()


def expected(rows: list[UsageInterval], key: str) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    """GPU-seconds and cost by (key, currency), one interval at a time with the domain's rules."""
    groups: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for row in rows:
        end = min(row.ended_at or row.last_seen_at or row.started_at, TO)
        clipped = replace(row, started_at=max(row.started_at, FROM), ended_at=end)
        for line in cost_lines(clipped, CARDS, TO) if clipped.started_at < end else ():
            name = (
                f"{line.start:%Y-%m-%d}" if key == "day" else f"{line.start:%Y-%m}" if key == "month" else getattr(row, "user_name" if key == "user" else key)
            )
            group = groups[name, line.currency]
            group[0] += Decimal((line.end - line.start) // timedelta(microseconds=1)) * line.gpus / 1_000_000
            group[1] += line.numerator
    return {name: (seconds, round_amount(numerator)) for name, (seconds, numerator) in groups.items()}


@pytest.mark.parametrize("key", ["user", "project", "cost_centre", "day", "month"])
def test_costs_equal_the_sum_of_cost_lines(database: Database, key: str) -> None:
    rows = [random_interval(random.Random(number), number) for number in range(150)]
    store(database, rows)
    report = reporter(database).costs(UsageQuery(FROM, TO, (key,)))
    wanted = expected(rows, key)
    assert {(row.keys[key], row.currency): row.gpu_seconds for row in report.rows} == {name: seconds for name, (seconds, _) in wanted.items()}
    assert all(abs(row.amount - wanted[row.keys[key], row.currency][1]) <= Decimal("0.000001") for row in report.rows)
    for total in report.totals:
        assert sum(row.amount for row in report.rows if row.currency == total.currency) == total.amount, "rows add up, digit by digit"


@pytest.mark.parametrize("key", ["project", "day"])
def test_usage_has_the_same_seconds_as_costs(database: Database, key: str) -> None:
    store(database, [random_interval(random.Random(number), number) for number in range(100)])
    usage, costs = reporter(database).usage(UsageQuery(FROM, TO, (key,))), reporter(database).costs(UsageQuery(FROM, TO, (key,)))
    by_key: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    for row in costs.rows:
        by_key[row.keys[key]] = [a + b for a, b in zip(by_key[row.keys[key]], (row.gpu_seconds, row.session_seconds, row.estimated_seconds), strict=True)]
    assert {row.keys[key]: [row.gpu_seconds, row.session_seconds, row.estimated_seconds] for row in usage.rows} == by_key
    assert usage.totals[0].gpu_seconds == sum(row.gpu_seconds for row in usage.rows)


def test_complete_until_is_the_start_of_the_oldest_open_interval(database: Database) -> None:
    one = replace(random_interval(random.Random(0), 0), started_at=FROM, ended_at=None, last_seen_at=None)
    assert reporter(database).usage(UsageQuery(FROM, TO)).complete_until == NOW
    store(database, [one])
    assert reporter(database).usage(UsageQuery(FROM, TO)).complete_until == FROM


def test_filters_leave_other_people_out(database: Database) -> None:
    rows = [random_interval(random.Random(number), number) for number in range(60)]
    store(database, rows)
    report = reporter(database).usage(UsageQuery(FROM, TO, ("user",), {"user": "user3"}))
    assert [row.keys for row in report.rows] == [{"user": "user3"}]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (UsageQuery(TO, FROM), "from"),
        (UsageQuery(FROM, FROM), "from"),
        (UsageQuery(FROM, TO, ("colour",)), "group_by"),
        (UsageQuery(FROM, TO, (), {"colour": "red"}), "colour"),
    ],
)
def test_bad_query_names_its_field(database: Database, query: UsageQuery, field: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        reporter(database).usage(query)
    assert caught.value.reasons[0].field == field


def test_an_empty_ledger_gives_an_empty_report(database: Database) -> None:
    report = reporter(database).costs(UsageQuery(FROM, TO, ("project",)))
    assert (report.rows, report.totals) == ((), ())


def test_allocation_is_a_group(database: Database) -> None:
    one = replace(random_interval(random.Random(1), 1), started_at=FROM, ended_at=FROM + timedelta(hours=1), gpus=2, gpu_type="h100")
    store(database, [one])
    row = reporter(database).costs(UsageQuery(FROM, TO, ("allocation",))).rows[0]
    assert UUID(str(row.keys["allocation"])) == one.allocation_id
    assert row.gpu_seconds == 7200


def test_reports_that_are_asked_for_together_are_of_one_moment(database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(4)
    store(database, [random_interval(chance, number) for number in range(20)])
    costs, other, more = reporter(database), Database(url=database_url), [random_interval(chance, number) for number in range(20, 40)]
    read = costs._costs

    def read_and_write(*given: object) -> object:
        found = read(*given)
        if more:
            store(other, more, 20)
            more.clear()
        return found

    monkeypatch.setattr(costs, "_costs", read_and_write)
    by_user, by_project = costs.costs_together([UsageQuery(FROM, TO, (group,)) for group in ("user", "project")])
    monkeypatch.undo()
    assert by_user.totals == by_project.totals
    assert costs.costs(UsageQuery(FROM, TO, ("user",))).totals != by_user.totals, "something came in between"
    other.close()
