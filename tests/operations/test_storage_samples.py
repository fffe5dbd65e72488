"""Storage is sampled once a day for each person, for ever, and charged to who paid for it on that day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from aiplatform_hub.domain.catalog import Catalog, CostCentre, Project, RateCard
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.storage_meter import StorageMeter
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.storage_sample_tables import storage_samples
from aiplatform_hub.storage.storage_samples import StorageSampleStore
from aiplatform_hub.storage.storage_usage import StorageUsageStore

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CARD = RateCard("a", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"*": Decimal(1)}, Decimal("0.04"), storage_gib_month=Decimal("0.30"))
PERSONAL = Project("personal", "Personal", "guests", is_personal=True)
CATALOG = Catalog({}, {}, {}, {"personal": PERSONAL}, {"guests": CostCentre("guests", "Guests")}, (CARD,))


def record(database: Database, sizes: dict[str, int], at: datetime, catalog: Catalog = CATALOG) -> None:
    made = StorageMeter(database=database, catalog=catalog, usage=StorageUsageStore(), storage_samples=StorageSampleStore(), clock=lambda: at)
    made.record(sizes)


def rows(database: Database) -> list[tuple[object, ...]]:
    columns = storage_samples.c
    with database.read() as connection:
        found = connection.execute(select(columns.user_name, columns.day, columns.storage_bytes, columns.cost_centre).order_by(columns.user_name, columns.day))
        return [tuple(row) for row in found]


def charged(database: Database, cards: tuple[RateCard, ...] = (CARD,), **filters: object) -> list[tuple[str, datetime, int]]:
    reader = ChargeReader(uses=ChargedUseStore(), cards=lambda: cards)
    with database.read() as connection:
        return [(c.user_name, c.start, c.units) for c in reader.charges(connection, NOON - 9 * DAY, NOON + 9 * DAY, filters=filters)]


def test_the_first_look_of_a_day_is_its_sample_and_the_latest_is_the_size(database: Database) -> None:
    midnight = NOON - timedelta(hours=12)
    record(database, {"ada": 1}, NOON)
    record(database, {"ada": 7, "ben": 2}, NOON + timedelta(hours=11, minutes=59))
    record(database, {"ada": 9}, midnight + DAY)
    record(database, {}, NOON + 5 * DAY)
    assert rows(database) == [("ada", midnight, 1, "guests"), ("ada", midnight + DAY, 9, "guests"), ("ben", midnight, 2, "guests")]
    with database.read() as connection:
        assert StorageUsageStore().find(connection, "ada") == 9


def test_another_cost_centre_pays_from_the_next_day_on(database: Database) -> None:
    other = replace(CATALOG, projects={"personal": replace(PERSONAL, cost_centre="lab")})
    record(database, {"ada": 1}, NOON)
    record(database, {"ada": 1}, NOON, other)
    record(database, {"ada": 1}, NOON + DAY, other)
    assert [row[3] for row in rows(database)] == ["guests", "lab"]


def test_nobody_writes_a_sample_again_or_takes_it_away(database: Database) -> None:
    record(database, {"ada": 1}, NOON)
    for statement in (update(storage_samples).values(storage_bytes=0), delete(storage_samples)):
        with pytest.raises(IntegrityError, match="a sample of storage never"), database.write() as connection:
            connection.execute(statement)
    assert len(rows(database)) == 1


@pytest.mark.parametrize("wrong", [{"storage_bytes": -1}, {"day": NOON}, {"measured_at": NOON + DAY}])
def test_the_database_refuses_what_is_no_sample_of_a_day(database: Database, wrong: dict[str, object]) -> None:
    right = {"user_name": "ada", "day": NOON - timedelta(hours=12), "measured_at": NOON, "storage_bytes": 1, "project": "personal", "cost_centre": "guests"}
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(insert(storage_samples).values(right | wrong))


def test_charges_are_of_the_days_that_were_sampled_and_of_whom_was_asked_for(database: Database) -> None:
    midnight = NOON - timedelta(hours=12)
    record(database, {"ben": GIB, "ada": 3 * GIB}, NOON)
    record(database, {"ada": 2 * GIB + 1}, NOON + 2 * DAY)
    assert charged(database) == [("ada", midnight, 3), ("ada", midnight + 2 * DAY, 3), ("ben", midnight, 1)]
    assert charged(database, user="ben") == charged(database, user=frozenset({"ben", "eve"})) == [("ben", midnight, 1)]
    assert charged(database, project="vision") == charged(database, cost_centre="lab") == []
    assert charged(database, environment_template="pytorch") == [], "storage is of no session"
    assert charged(database, (replace(CARD, storage_gib_month=Decimal(0)),)) == []
