"""Charges read from the ledger are those of the domain, and add up to what the sums of the database say."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from sqlalchemy import insert
from test_cost_reporter import CARDS, FROM, TO, random_interval, reporter, store

from aiplatform_hub.domain.charges import Sku, total
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.cost_reporter import UsageQuery
from aiplatform_hub.storage import charged_use
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.schema import activity_intervals

IDLE_CARDS = tuple(replace(card, idle_gpu_hour={"*": Decimal("0.10")}) for card in CARDS)


def read(database, cards=CARDS, start=FROM, end=TO, **filters):
    reader = ChargeReader(uses=ChargedUseStore(), cards=lambda: cards)
    with database.read() as connection:
        return list(reader.charges(connection, start, end, filters=filters))


def test_charges_add_up_to_what_the_report_says(database: Database, monkeypatch) -> None:
    monkeypatch.setattr(charged_use, "BATCH", 7)
    chance = random.Random(8)
    store(database, [random_interval(chance, number) for number in range(150)])
    found = read(database)
    report = reporter(database).costs(UsageQuery(FROM, TO))
    assert {currency: rounded(amount, 6) for currency, amount in total(found).items()} == {row.currency: row.amount for row in report.totals}
    order = [(c.cost_centre, c.project, c.user_name) for c in found]
    assert order == sorted(order)
    assert all(start <= c.start < c.end <= end for c in found for start, end in [(FROM, TO)])
    half = FROM + (TO - FROM) / 2
    parts = [total(read(database, start=low, end=high)) for low, high in ((FROM, half), (half, TO))]
    assert {name: sum((part.get(name, Fraction(0)) for part in parts), Fraction(0)) for name in total(found)} == total(found), "no instant is charged twice"
    assert {c.project for c in read(database, project="p1")} == {"p1"}
    assert {c.user_name for c in read(database, user=frozenset({"user1", "user2"}))} == {"user1", "user2"}


def test_idle_time_has_its_own_price_and_only_where_the_card_has_one(database: Database) -> None:
    start = datetime(2026, 2, 28, 8, tzinfo=UTC)
    one = replace(random_interval(random.Random(1), 1), gpus=2, gpu_type="h100", started_at=start, ended_at=start + timedelta(hours=4), end_cause=None)
    store(database, [one])
    with database.write() as connection:
        for offset, activity, ended in ((0, "used", 1), (1, "idle", 2), (2, "unknown", 3), (3, "idle", None)):
            values = {"started_at": start + timedelta(hours=offset), "ended_at": None if ended is None else start + timedelta(hours=ended)}
            last = start + timedelta(hours=offset, minutes=30)
            connection.execute(insert(activity_intervals).values(allocation_id=one.allocation_id, activity=activity, last_seen_at=last, samples=1, **values))
    found = read(database, IDLE_CARDS)
    hours = {sku: sum((c.quantity for c in found if c.sku is sku), Fraction(0)) for sku in Sku}
    assert (hours[Sku.GPU_HOUR], hours[Sku.IDLE_GPU_HOUR]) == (5, 3), "2 GPUs; an open span counts up to the last look, unknown is not idle"
    assert {c.sku for c in read(database)} == {Sku.GPU_HOUR}


def test_an_open_session_counts_up_to_its_last_proof_of_life(database: Database) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    one = replace(random_interval(random.Random(1), 11), gpus=1, gpu_type="l4", started_at=start, last_seen_at=start + timedelta(hours=1))
    store(database, [replace(one, ended_at=None, end_cause=None)])
    assert sum((c.quantity for c in read(database)), Fraction(0)) == 1
