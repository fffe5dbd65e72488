"""Reports read from the ledger: what the sums of the database say, in the same bytes from any database and at any time."""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import insert
from test_cost_reporter import CARDS, FROM, TO, random_interval, reporter, store

from aiplatform_hub.domain.report_months import span_of_month
from aiplatform_hub.errors import InvalidOptionError
from aiplatform_hub.operations.charge_reporter import ChargeReporter, ReportQuery
from aiplatform_hub.operations.cost_reporter import UsageQuery
from aiplatform_hub.reports.formats import FORMATS
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.schema import activity_intervals
from tests.support import focus
from tests.support.charging import Charging

LATER = datetime(2026, 6, 1, tzinfo=UTC)
ONE_CURRENCY = tuple(replace(card, currency="EUR") for card in CARDS)


def charge_reporter(database: Database, *, now=LATER, cards=CARDS) -> ChargeReporter:
    return Charging(database, cards, lambda: now).reporter


def write(database: Database, name: str, *groups: str, now=LATER, cards=CARDS, **filters) -> bytes:
    stream = io.BytesIO()
    charge_reporter(database, now=now, cards=cards).write(ReportQuery(FROM, TO, name, groups, filters), stream)
    return stream.getvalue()


def made(count=120):
    """Sessions of a made week, always the same; every one is closed."""
    chance = random.Random(5)
    found = [random_interval(chance, number) for number in range(count) if number % 11]
    return [replace(each, id=UUID(int=number + 1), allocation_id=UUID(int=number + 1)) for number, each in enumerate(found)]


def know_activity(database: Database, rows) -> None:
    with database.write() as connection:
        for number, row in enumerate(row for row in rows if row.gpus):
            half = row.started_at + (row.ended_at - row.started_at) / 2
            for activity, start, end in (("used", row.started_at, half), ("idle", half, row.ended_at))[: 1 + number % 2]:
                values = {"started_at": start, "ended_at": end, "last_seen_at": end, "activity": activity, "samples": 1}
                connection.execute(insert(activity_intervals).values(allocation_id=row.allocation_id, **values))


@pytest.mark.parametrize("group", ["user", "day", "month", "gpu_type", "cost_centre"])
def test_groups_are_those_of_the_sums(database: Database, group: str) -> None:
    rows = made()
    store(database, rows)
    know_activity(database, rows)
    found = json.loads(write(database, "json", group))
    said = reporter(database).costs(UsageQuery(FROM, TO, (group,)))
    wanted = {(str(row.keys[group] or ""), row.currency): row for row in said.rows}
    assert {(row["keys"][group] or "", row["currency"]) for row in found["rows"]} == set(wanted)
    for row in found["rows"]:
        one = wanted[row["keys"][group] or "", row["currency"]]
        pairs = (
            (row["cost"], one.amount), (row["gpu_hours"], one.gpu_seconds / 3600), (row["used_gpu_hours"], one.used_gpu_seconds / 3600),
            (row["idle_gpu_hours"], one.idle_gpu_seconds / 3600), (row["unknown_gpu_hours"], one.unknown_gpu_seconds / 3600),
        )  # fmt: skip
        for written, exact in pairs:
            assert abs(Decimal(written) - Decimal(exact)) <= Decimal("0.000003")
        assert Decimal(row["estimated_seconds"]) == pytest.approx(one.estimated_seconds, abs=Decimal("0.000002"))
    assert {row["currency"]: Decimal(row["cost"]) for row in found["totals"]} == {row.currency: row.amount for row in said.totals}


def test_every_format_has_the_same_bytes_on_each_database_and_next_year(sqlite_and_postgresql) -> None:
    rows = made()
    for database in sqlite_and_postgresql:
        store(database, rows)
        know_activity(database, rows)
    for name in FORMATS:
        groups = () if name == "focus" else ("month", "cost_centre", "project", "environment_template")
        found = {write(database, name, *groups, now=now) for database in sqlite_and_postgresql for now in (LATER, LATER + timedelta(days=366))}
        assert len(found) == 1, name


@pytest.fixture
def sqlite_and_postgresql(request, tmp_path):
    from aiplatform_hub.storage.migrate import upgrade
    from tests.support.database import _postgresql_database

    upgrade(f"sqlite:///{tmp_path / 'one.sqlite'}")
    addresses = _postgresql_database(request.getfixturevalue("postgresql"), "migrated")
    databases = (Database(url=f"sqlite:///{tmp_path / 'one.sqlite'}"), Database(url=next(addresses)))
    yield databases
    for database in databases:
        database.close()
    next(addresses, None)


def test_focus_of_a_ledger_meets_the_published_rules_and_adds_up(database: Database) -> None:
    store(database, made())
    text = write(database, "focus", cards=ONE_CURRENCY).decode()
    assert focus.problems(text) == []
    lines = list(csv.DictReader(io.StringIO(text)))
    (total,) = json.loads(write(database, "json", cards=ONE_CURRENCY))["totals"]
    assert abs(sum(Decimal(line["EffectiveCost"]) for line in lines) - Decimal(total["cost"])) <= Decimal("0.0000005")


def test_only_what_was_asked_for(database: Database) -> None:
    store(database, made())
    found = json.loads(write(database, "json", "user", user="user1"))
    assert {row["keys"]["user"] for row in found["rows"]} == {"user1"}


def test_an_open_session_makes_the_report_incomplete(database: Database) -> None:
    start = FROM + timedelta(hours=3)
    closed = made(2)[0]
    store(database, [replace(closed, started_at=start, ended_at=None, end_cause=None, last_seen_at=start + timedelta(hours=1))])
    assert json.loads(write(database, "json"))["complete_until"] == "2026-02-27T16:30:00.000000Z"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (ReportQuery(FROM, TO, "pdf"), "There is no format 'pdf'; use one of csv, xlsx, json, parquet, focus, prometheus."),
        (ReportQuery(TO, FROM, "csv"), "The span is empty"),
        (ReportQuery(LATER + timedelta(1), LATER + timedelta(2), "csv"), "Nothing is charged yet"),
        (ReportQuery(FROM, TO, "csv", ("colour",)), "There is no group 'colour'; use one of day,"),
        (ReportQuery(FROM, TO, "focus", ("user",)), "FOCUS 1.2 has one line for each charge. Leave group_by out"),
        (ReportQuery(FROM, TO, "prometheus", ("user",)), "people's names are no labels"),
    ],
)
def test_a_wrong_question_is_named_and_nothing_is_written(query: ReportQuery, words: str) -> None:
    stream = io.BytesIO()
    closed = Database(url="sqlite:////nowhere/at/all.sqlite")
    with pytest.raises(InvalidOptionError, match=words[:20].replace("(", ".")) as caught:
        charge_reporter(closed).write(query, stream)
    assert words in caught.value.message
    assert stream.getvalue() == b""


def test_months() -> None:
    assert span_of_month("2028-02").days == 29
    assert span_of_month("2026-12").end == datetime(2027, 1, 1, tzinfo=UTC)
    for text in ("2026-13", "2026-1", "November", "0000-01", "9999-12", "2026-11-01", "٢٠٢٦-11"):
        with pytest.raises(InvalidOptionError, match="is no month; write it as 2026-11"):
            span_of_month(text)
