"""A report says the same in every format, to the last digit, in the same bytes each time."""

from __future__ import annotations

import csv
import gc
import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from aiplatform_hub.domain.budgets import Scope
from aiplatform_hub.domain.charge_report import MEASURED, NUMBERS, Activity, charge_report
from aiplatform_hub.domain.charges import Charge, Sku
from aiplatform_hub.domain.credits import Credit, Payment
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.reports.formats import FORMATS
from tests.support import focus
from tests.support.workbook import cells

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def charge(day=2, hours=1, units=1, price="3.20", **changes) -> Charge:
    start = START + timedelta(days=day - 1, microseconds=1)
    made = Charge(
        interval_id=UUID(int=day), allocation_id=UUID(int=100 + day), user_name="ada", project="vision", cost_centre="4711", environment_template="pytorch",
        gpu_type="h100", sku=Sku.GPU_HOUR, start=start, end=start + timedelta(hours=hours), units=units, list_price=Decimal("3.20"), price=Decimal(price),
        currency="EUR", rate_card="2026-01", is_off_peak=False, is_estimated=False,
    )  # fmt: skip
    return replace(made, **changes)


CHARGES = (
    charge(2, hours=1 / 3),
    charge(3, hours=1 / 3, user_name="=cmd|' /C calc'!A0", price="1.60", is_off_peak=True, rate_card="2026-11"),
    charge(4, hours=7, units=2, project="nlp", is_estimated=True),
    charge(5, hours=2, sku=Sku.IDLE_GPU_HOUR, list_price=Decimal("0.10"), price="0.10"),
    charge(6, units=-1, is_correction=True),
    charge(7, sku=Sku.CPU_ONLY_HOUR, gpu_type=None, list_price=Decimal("0.04"), price="0.04", cost_centre=""),
    charge(8, hours=24 - 1e-3, sku=Sku.STORAGE_GIB_MONTH, units=50, gpu_type=None, list_price=Decimal("0.02"), price="0.02"),
)
GIVEN = Credit(UUID(int=9), Scope.PERSON, "ada", 2_000_000, "EUR", 0, START, None, "=a course", "root", START)
PAYMENTS = (Payment(GIVEN, CHARGES[0], CHARGES[0].start, CHARGES[0].end, Fraction(1, 3)), Payment(GIVEN, CHARGES[2], START, END, Fraction(5, 3)))
ACTIVITY = (Activity(("ada",), "EUR", 3 * 3_600_000_000, 1_800_000_000),)


def report(*groups, charges=CHARGES, activity=(), payments=PAYMENTS):
    return charge_report(charges, activity, payments, start=START, end=END, complete_until=datetime(2027, 1, 5, tzinfo=UTC), group_by=groups)


def written(name, *groups, activity=()) -> bytes:
    stream = io.BytesIO()
    format_ = FORMATS[name]
    if format_.write_charges is not None:
        format_.write_charges(iter(CHARGES), END, stream, PAYMENTS)
    else:
        format_.write(report(*groups, activity=activity), stream)
    return stream.getvalue()


def expected() -> Decimal:
    return rounded(sum((each.amount for each in CHARGES), Fraction(0)), 6)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-4, 4).filter(bool), st.floats(0.001, 23), st.decimals(0, 9, places=4)), max_size=12))
@settings(max_examples=40, deadline=None)
def test_rows_add_up_to_the_exact_total_rounded(found) -> None:
    charges = [charge(2, hours, units, price=str(price), list_price=price + 1, user_name=user) for user, units, hours, price in found]
    made = report("user", charges=charges, payments=())
    totals = {row.currency: row.numbers for row in made.totals}
    if charges:
        assert totals["EUR"]["cost"] == rounded(sum((each.amount for each in charges), Fraction(0)), 6)
        assert totals["EUR"]["gpu_hours"] == rounded(sum((each.quantity for each in charges), Fraction(0)), 6)
        assert all(row.numbers["list_cost"] - row.numbers["discount"] == row.numbers["cost"] for row in made.rows)


def test_numbers_by_hand() -> None:
    (total,) = report().totals
    assert {name: str(number) for name, number in total.numbers.items() if number} == {
        "gpu_hours": "15.666667", "unknown_gpu_hours": "15.666667", "cpu_only_hours": "1.000000", "storage_gib_months": "1.666597",
        "estimated_seconds": "25200.000000", "list_cost": "44.006665", "discount": "0.533333", "cost": "43.473332",
        "credits": "2.000000", "net_cost": "41.473332",
    }  # fmt: skip
    assert total.rate_cards == ("2026-01", "2026-11")
    ada, other = report("user", activity=ACTIVITY).rows[1], report("user", activity=ACTIVITY).rows[0]
    assert (ada.keys, other.keys) == (("ada",), ("=cmd|' /C calc'!A0",))
    assert [str(ada.numbers[name]) for name in ("used_gpu_hours", "idle_gpu_hours", "unknown_gpu_hours")] == ["3.000000", "0.500000", "11.833333"]


def test_every_format_says_the_same() -> None:
    rows = list(csv.DictReader(io.StringIO(written("csv", "project", "user").decode())))
    as_json = json.loads(written("json", "project", "user"))
    table = pq.read_table(io.BytesIO(written("parquet", "project", "user"))).to_pylist()
    found = cells(written("xlsx", "project", "user"))
    metrics = {family.name: family for family in text_string_to_metric_families(written("prometheus", "project").decode())}
    for name in NUMBERS:
        numbers = [row[name] for row in rows]
        assert [row[name] for row in as_json["rows"]] == numbers
        assert [str(row[name]) for row in table] == numbers
        assert [Decimal(line[found[0].index(name)]).quantize(Decimal("1E-6")) for line in found[1:]] == [Decimal(number) for number in numbers]
        assert round(sum(sample.value for sample in metrics[f"aiplatform_report_{name}"].samples), 6) == pytest.approx(float(sum(map(Decimal, numbers))))
    costs = sum(Decimal(row["cost"]) for row in rows)
    assert costs == expected() == Decimal(as_json["totals"][0]["cost"])
    lines = list(csv.DictReader(io.StringIO(written("focus").decode())))
    assert rounded(Fraction(sum(Decimal(line["BilledCost"]) for line in lines)), 6) == expected() - 2
    assert [line["BilledCost"] for line in lines if line["ChargeCategory"] == "Credit"] == ["-0.3333333333", "-1.6666666667"]
    assert sum(Decimal(row["credits"]) for row in rows) == 2
    assert sum(Decimal(row["net_cost"]) for row in rows) == expected() - 2
    assert {row["complete_until"] for row in rows} == {"2026-12-01T00:00:00.000000Z"}, "what is over cannot become more complete"
    assert table[0]["complete_until"] == END
    assert as_json["rate_cards"] == ["2026-01", "2026-11"]


def test_the_workbook_has_numbers_and_dates_and_no_formula() -> None:
    with zipfile.ZipFile(io.BytesIO(written("xlsx", "user"))) as book:
        xml = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in xml
    assert "=cmd" in xml
    assert xml.count('t="inlineStr"') == len(NUMBERS) + len(MEASURED) + 4 + 2 * 3, "all but header, keys, currency and cards is numeric"


def test_no_cell_of_csv_is_a_formula() -> None:
    for name in ("csv", "focus"):
        for line in csv.reader(io.StringIO(written(name, *([] if name == "focus" else ["user"])).decode())):
            assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for cell in line)
    assert "'=cmd" in written("csv", "user").decode()
    assert written("csv", "project").decode().count("-") > 0


@pytest.mark.parametrize("name", FORMATS)
def test_same_charges_give_the_same_bytes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = () if name == "focus" else ("month", "cost_centre", "gpu_type")
    first = written(name, *groups)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert written(name, *groups) == first


def test_focus_meets_the_published_rules() -> None:
    text = written("focus").decode()
    assert focus.problems(text) == []
    mandatory = [name for name, rule in focus.COLUMNS.items() if rule["level"] == "Mandatory"]
    assert len(mandatory) == 21
    assert [row["ChargeClass"] for row in csv.DictReader(io.StringIO(text))] == ["", "", "", "", "Correction", *[""] * 4]


def test_the_checker_of_focus_finds_breaches() -> None:
    text = written("focus").decode()
    assert "header: BilledCost is mandatory" in focus.problems(text.replace("BilledCost", "x_Billed", 1))
    for right, wrong in (
        ("EUR", "Euro"),
        ("-0.3333333333", "0.3333333333"),
        ("Usage,", "Use,"),
        ("3.20", "4.20"),
        ("2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z"),
        (",Compute,", ",Computing,"),
    ):
        assert focus.problems(text.replace(right, wrong)), right


def test_an_empty_month_is_a_file_too() -> None:
    for name, format_ in FORMATS.items():
        stream = io.BytesIO()
        if format_.write is not None:
            format_.write(report("user", charges=(), payments=()), stream)
        else:
            format_.write_charges(iter(()), END, stream)
        assert stream.getvalue(), name


@pytest.mark.parametrize("name", ["csv", "focus"])
def test_charges_are_let_go_as_they_are_written(name: str) -> None:
    alive = []

    def many():
        for number in range(500):
            yield replace(CHARGES[0], interval_id=UUID(int=number))
        alive.append(sum(isinstance(each, Charge) for each in gc.get_objects()) - len(CHARGES))

    if name == "focus":
        FORMATS[name].write_charges(many(), END, io.BytesIO())
    else:
        FORMATS[name].write(report("user", charges=many(), payments=()), io.BytesIO())
    assert alive[0] < 10
