"""A month of storage that was computed by hand is the same, to the cent, in every report and on the invoices."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from test_made_month import CENTRES, focus_costs, sheet

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.domain.storage_samples import StorageSample
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.charge_reporter import ReportQuery
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.storage_samples import StorageSampleStore
from tests.support.billing import CATALOG, DECEMBER, NOVEMBER, Office
from tests.support.charging import Charging
from tests.support.focus import problems

FOLDER = Path(__file__).parents[1] / "data" / "made-storage"
FIRST = RateCard("first", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"*": Decimal(1)}, Decimal("0.04"), storage_gib_month=Decimal("0.30"))
SECOND = replace(
    FIRST,
    version="second",
    effective_from=datetime(2026, 11, 15, tzinfo=UTC),
    storage_gib_month=Decimal("0.50"),
    project_discount_percent={"vision": Decimal(10)},
)
MADE = replace(CATALOG, rate_cards=(FIRST, SECOND), cost_centres=CENTRES)


def table(name: str) -> list[dict[str, str]]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def exact(line: dict[str, str]) -> Fraction:
    """Compute a line once more, from its own numbers."""
    discount = Fraction(line["discount"].removesuffix(" %") or 0)
    return int(line["gib"]) * Fraction(line["list_price"]) * (100 - discount) / 100 / 30


def by_project() -> dict[str, Decimal]:
    sums: dict[str, Fraction] = {}
    for line in table("lines"):
        sums[line["project"]] = sums.get(line["project"], Fraction(0)) + exact(line)
    return {name: rounded(amount, 6) for name, amount in sums.items()}


@pytest.fixture
def month(database: Database, tmp_path: Path) -> Office:
    office = Office(database, tmp_path, catalog=MADE, now=DECEMBER.replace(day=3))
    days = [(row, datetime.fromisoformat(row["day"]).replace(tzinfo=UTC)) for row in table("samples")]
    found = [StorageSample(row["user"], day, day + timedelta(hours=1), int(row["bytes"]), row["project"], row["cost_centre"]) for row, day in days]
    with database.write() as connection:
        StorageSampleStore().add(connection, found[::-1])
    return office


def reader() -> ChargeReader:
    return ChargeReader(uses=ChargedUseStore(), cards=lambda: MADE.rate_cards)


def report(office: Office, name: str, *groups: str) -> bytes:
    made = Charging(office.database, MADE.rate_cards, office.clock).reporter
    stream = io.BytesIO()
    made.write(ReportQuery(NOVEMBER, DECEMBER, name, groups), stream)
    return stream.getvalue()


def test_every_day_is_the_one_of_the_spreadsheet(month: Office) -> None:
    with month.database.read() as connection:
        found = [(c.user_name, c.start, c.end, c.units, rounded(c.amount, 6)) for c in reader().charges(connection, NOVEMBER, DECEMBER)]
    wanted = [
        (line["user"], datetime.fromisoformat(line["from"]), datetime.fromisoformat(line["until"]), int(line["gib"]), Decimal(line["amount"]))
        for line in table("lines")
    ]
    assert sorted(found) == sorted(wanted)
    assert all(rounded(exact(line), 6) == Decimal(line["amount"]) for line in table("lines"))


def test_every_format_says_the_same_to_the_cent(month: Office) -> None:
    found = {
        "csv": {row["project"]: Decimal(row["cost"]) for row in csv.DictReader(io.StringIO(report(month, "csv", "project").decode()))},
        "json": {row["keys"]["project"]: Decimal(row["cost"]) for row in json.loads(report(month, "json", "project"))["rows"]},
        "parquet": {row["project"]: row["cost"] for row in pq.read_table(io.BytesIO(report(month, "parquet", "project"))).to_pylist()},
        "xlsx": {row["project"]: Decimal(row["cost"]) for row in sheet(report(month, "xlsx", "project"))},
        "focus": focus_costs(report(month, "focus")),
    }
    for name, costs in found.items():
        assert {project: rounded(Fraction(cost), 6) for project, cost in costs.items()} == by_project(), name
    (whole,) = json.loads(report(month, "json"))["totals"]
    assert (whole["cost"], whole["storage_gib_months"], whole["gpu_hours"]) == ("83.810000", "168.066667", "0.000000")


def test_storage_is_of_no_environment_and_of_a_resource_of_its_own(month: Office) -> None:
    (row,) = json.loads(report(month, "json", "environment_template", "gpu_type"))["rows"]
    assert row["keys"] == {"environment_template": None, "gpu_type": None}
    text = report(month, "focus").decode()
    assert problems(text) == []
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {(row["ResourceId"], row["ResourceName"], row["ServiceCategory"]) for row in rows if row["SubAccountId"] == "nlp"} == {
        ("storage/bob", "Storage of bob", "Storage")
    }


def test_invoices_have_a_line_for_it(month: Office) -> None:
    drafts = month.invoices.draft("2026-11", by="bea").invoices
    assert {each.buyer.name: each.net for each in drafts} == {"Lab": Decimal("0.48"), "Teaching": Decimal("83.33")}
    lines = [(line.project, line.sku, line.quantity, line.price) for each in drafts for line in each.lines]
    assert ("course", Sku.STORAGE_GIB_MONTH, Decimal("166.666667"), Decimal("0.50")) in lines
    assert len(lines) == 4, "vision has one of each card"


def test_sums_of_days_have_it_too(month: Office) -> None:
    groups = (("project", "user"), ("day", "environment_template"), ())
    before = [report(month, "csv", *each) for each in groups]
    charging = Charging(month.database, MADE.rate_cards, month.clock)
    for number in range(30):
        assert charging.rollup.build(NOVEMBER + timedelta(days=number))
    assert [report(month, "csv", *each) for each in groups] == before
    assert charging.rollup.verify() == 30
    late = StorageSample("zoe", NOVEMBER, NOVEMBER + timedelta(hours=1), 1, "personal", "lab")
    with month.database.write() as connection:
        StorageSampleStore().add(connection, [late])  # by a clock that was set back
    with month.database.snapshot() as connection:
        assert [day.start.day for day in charging.sums.valid_days(connection)] == list(range(2, 31))
    assert report(month, "csv", *groups[1]) != before[1]
