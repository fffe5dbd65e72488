"""A month that was computed by hand is the same, to the cent, in every report and on the invoices."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from pypdf import PdfReader
from sqlalchemy import insert

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.budgets import Scope
from aiplatform_hub.domain.catalog import CostCentre, RateCard
from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.credits import Credit
from aiplatform_hub.domain.invoice_document import quantity_text, unit_of
from aiplatform_hub.domain.ledger import chained
from aiplatform_hub.domain.off_peak import OffPeak, Window
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.domain.session_moves import Account, SessionMove
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.charge_reporter import ReportQuery
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.reports.invoice_formats import INVOICE_FORMATS
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.schema import activity_intervals, allocations
from aiplatform_hub.storage.session_moves import SessionMoveStore
from tests.support.billing import CATALOG, DECEMBER, NOVEMBER, Office
from tests.support.charging import Charging
from tests.support.workbook import cells

FOLDER = Path(__file__).parents[1] / "data" / "made-month"
NIGHTS = OffPeak("Europe/Berlin", Decimal(50), (Window(frozenset(range(1, 8)), time(22), time(6)),))
CARDS = (
    RateCard("first", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"h100": Decimal("3.20"), "l4": Decimal("0.70")}, Decimal("0.04")),
    RateCard(
        "second",
        datetime(2026, 11, 15, tzinfo=UTC),
        "EUR",
        {"h100": Decimal("3.60"), "l4": Decimal("0.80")},
        Decimal("0.05"),
        idle_gpu_hour={"h100": Decimal("4.00")},
        off_peak=NIGHTS,
        project_discount_percent={"vision": Decimal(10)},
    ),
)
CENTRES = {name: CostCentre(name, name.title(), legal_entity="university", country="DE") for name in ("lab", "teaching")}
INVOICED = {"lab": "53.84", "teaching": "8.29"}
"""Without tax, and less what the credit paid."""
MADE = replace(CATALOG, rate_cards=CARDS, cost_centres=CENTRES)


def table(name: str) -> list[dict[str, str]]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def exact(line: dict[str, str]) -> Fraction:
    """Compute a line of the spreadsheet once more, from its own numbers."""
    discount = Fraction(line["discount"].removesuffix(" %") or 0)
    return Fraction(line["hours"]) * int(line["units"]) * Fraction(line["list_price"]) * (100 - discount) / 100


def by(key: str) -> dict[str, Fraction]:
    sums: dict[str, Fraction] = {}
    for line in table("lines"):
        sums[line[key]] = sums.get(line[key], Fraction(0)) + exact(line)
    return sums


@pytest.fixture
def month(database: Database, tmp_path: Path) -> Office:
    office = Office(database, tmp_path, catalog=MADE, now=DECEMBER.replace(day=3))
    for row in table("sessions"):
        meter(office, row)
    with database.write() as connection:
        for row in table("credits"):
            CreditStore().insert(connection, credit_of(row))
    return office


def credit_of(row: dict[str, str]) -> Credit:
    start, end = (datetime.fromisoformat(row[name]) for name in ("starts_at", "expires_at"))
    given = {"scope": Scope(row["scope"]), "name": row["name"], "amount_micros": int(Decimal(row["amount"]) * 10**6), "currency": row["currency"]}
    about = {"priority": int(row["priority"]), "reason": row["what it tries"], "created_by": "root", "created_at": NOVEMBER}
    return Credit(id=UUID(int=int(row["credit"])), **given, **about, starts_at=start, expires_at=end)


def meter(office: Office, row: dict[str, str]) -> None:
    whose = {"user_id": int(row["session"]), "user_name": row["user"], "project": row["project"], "cost_centre": row["cost_centre"]}
    shared = {**whose, "environment_template": "pytorch", "gpus": int(row["gpus"]), "gpu_type": row["gpu_type"] or None, "memory_bytes": 1, "cpu_cores": 1}
    ids = {"id": UUID(int=int(row["session"])), "allocation_id": UUID(int=100 + int(row["session"]))}
    one = UsageInterval(**ids, started_at=datetime.fromisoformat(row["started_at"]), **shared)
    ended = replace(one, ended_at=datetime.fromisoformat(row["ended_at"]), end_cause=EndCause(row["end_cause"]), estimated=row["estimated"] == "yes")
    with office.database.write() as connection:
        around = {"server_name": row["session"], "state": "ended", "devices": [], "door": "rest", "actor": row["user"], "requested_at": one.started_at}
        connection.execute(insert(allocations).values(id=one.allocation_id, **around, **shared))
        office.usage.open(connection, one)
        head = office.usage.head(connection)
        office.usage.close(connection, chained(ended, sequence=head.sequence + 1, previous_hash=head.hash))
        if row["idle_from"]:
            start, end = (datetime.fromisoformat(row[name]) for name in ("idle_from", "idle_until"))
            idle = {"started_at": start, "ended_at": end, "last_seen_at": end, "activity": "idle", "samples": 1}
            connection.execute(insert(activity_intervals).values(allocation_id=one.allocation_id, **idle))
        if row["moved_to"]:
            source, target = Account(row["project"], row["cost_centre"]), Account(*row["moved_to"].split(" of "))
            move = SessionMove(one.allocation_id, 1, source, target, one.started_at, ended.ended_at, DECEMBER.replace(day=2), "bea", "it was the course's")
            SessionMoveStore().insert(connection, move)


def report(office: Office, name: str, *groups: str, now: datetime | None = None) -> bytes:
    made = Charging(office.database, CARDS, lambda: now or office.clock()).reporter
    stream = io.BytesIO()
    made.write(ReportQuery(NOVEMBER, DECEMBER, name, groups), stream)
    return stream.getvalue()


def test_the_spreadsheet_agrees_with_itself() -> None:
    for line in table("lines"):
        assert rounded(exact(line), 6) == Decimal(line["amount"]), line
        hours = Fraction((datetime.fromisoformat(line["until"]) - datetime.fromisoformat(line["from"])).total_seconds()) / 3600
        assert abs(hours - Fraction(line["hours"])) < Fraction(1, 10**9)
    assert {name: rounded(amount, 4) for name, amount in by("cost_centre").items()} == {"lab": Decimal("67.8400"), "teaching": Decimal("8.2867")}


def test_every_piece_is_the_one_of_the_spreadsheet(month: Office) -> None:
    reader = ChargeReader(uses=ChargedUseStore(), cards=lambda: CARDS)
    with month.database.read() as connection:
        found = [(c.interval_id.int, c.project, c.start, c.end, c.units, c.amount) for c in reader.charges(connection, NOVEMBER, DECEMBER)]
    wanted = [
        (int(line["session"]), line["project"], datetime.fromisoformat(line["from"]), datetime.fromisoformat(line["until"]), int(line["units"]), exact(line))
        for line in table("lines")
    ]
    assert sorted(found) == sorted(wanted)


def test_every_payment_of_a_credit_is_the_one_of_the_spreadsheet(month: Office) -> None:
    reader = CreditReader(charges=ChargeReader(uses=ChargedUseStore(), cards=lambda: CARDS), credits_=CreditStore())
    with month.database.read() as connection:
        found = [(p.credit.id.int, p.charge.interval_id.int, p.start, p.end, p.amount) for p in reader.payments(connection, NOVEMBER, DECEMBER)]
    wanted = [
        (int(line["credit"]), int(line["session"]), datetime.fromisoformat(line["from"]), datetime.fromisoformat(line["until"]), exact(line))
        for line in table("credit-lines")
    ]
    assert sorted(found) == sorted(wanted)
    for line in table("credit-lines"):
        assert rounded(exact(line), 6) == Decimal(line["amount"]), line
    assert sum(amount for *_, amount in found) == 14


def test_every_format_says_the_same_of_credits(month: Office) -> None:
    wanted = {"vision": (Decimal(0), Decimal("48.44")), "nlp": (Decimal(14), Decimal("5.4")), "course": (Decimal(0), Decimal("8.286667"))}
    found = {
        "csv": list(csv.DictReader(io.StringIO(report(month, "csv", "project").decode()))),
        "json": [{**row, **row["keys"]} for row in json.loads(report(month, "json", "project"))["rows"]],
        "parquet": pq.read_table(io.BytesIO(report(month, "parquet", "project"))).to_pylist(),
        "xlsx": sheet(report(month, "xlsx", "project")),
    }
    for name, rows in found.items():
        said = {row["project"]: tuple(rounded(Fraction(row[number]), 6) for number in ("credits", "net_cost")) for row in rows}
        assert said == wanted, name
    paid = focus_costs(report(month, "focus"), "Credit")
    assert paid == {"nlp": Decimal("-14.0000000000")}
    gauges = report(month, "prometheus", "project").decode()
    assert 'aiplatform_report_credits{project="nlp",currency="EUR",rate_cards="first second"} 14.000000' in gauges
    assert 'aiplatform_report_net_cost{project="nlp",currency="EUR",rate_cards="first second"} 5.400000' in gauges


def test_every_format_says_the_same_to_the_cent(month: Office) -> None:
    wanted = {name: rounded(amount, 6) for name, amount in by("project").items()}
    found = {
        "csv": {row["project"]: Decimal(row["cost"]) for row in csv.DictReader(io.StringIO(report(month, "csv", "project").decode()))},
        "json": {row["keys"]["project"]: Decimal(row["cost"]) for row in json.loads(report(month, "json", "project"))["rows"]},
        "parquet": {row["project"]: row["cost"] for row in pq.read_table(io.BytesIO(report(month, "parquet", "project"))).to_pylist()},
        "xlsx": {row["project"]: Decimal(row["cost"]) for row in sheet(report(month, "xlsx", "project"))},
        "focus": focus_costs(report(month, "focus")),
    }
    for name, costs in found.items():
        assert {project: rounded(Fraction(cost), 6) for project, cost in costs.items()} == wanted, name
    (whole,) = json.loads(report(month, "json"))["totals"]
    assert (whole["cost"], whole["estimated_seconds"]) == ("76.126667", "3600.000000")


def test_a_corrected_piece_says_so_in_focus(month: Office) -> None:
    rows = list(csv.DictReader(io.StringIO(report(month, "focus").decode())))
    assert [(row["SubAccountId"], row["BilledCost"]) for row in rows if row["ChargeClass"] == "Correction"] == [
        ("vision", "-6.4800000000"),
        ("course", "7.2000000000"),
    ]


def test_the_next_day_writes_the_same_bytes(month: Office) -> None:
    for name in ("csv", "xlsx", "json", "parquet", "focus", "prometheus"):
        assert report(month, name) == report(month, name, now=datetime(2027, 5, 1, tzinfo=UTC)), name


def test_invoices_are_its_cost_centres(month: Office) -> None:
    drafts = month.invoices.draft("2026-11", by="bea").invoices
    assert {each.cost_centre: str(each.net) for each in drafts} == INVOICED
    (credit,) = [line for each in drafts for line in each.lines if line.sku is Sku.CREDIT]
    assert (credit.quantity, credit.price, credit.amount) == (Decimal(-14), 1, Decimal(-14))
    for each in drafts:
        assert sum((line.amount for line in each.lines), Decimal(0)) == each.net


def test_what_is_printed_is_the_spreadsheets_to_the_cent(month: Office) -> None:
    drafts = month.invoices.draft("2026-11", by="bea").invoices
    for each in month.invoices.issue([draft.id for draft in drafts], by="bea"):
        net = INVOICED[each.cost_centre]
        assert str(each.net) == net
        text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(INVOICE_FORMATS["pdf"].write(each))).pages)
        assert re.search(rf"Net\s+{re.escape(net)}\s", text), text
        for line in each.lines:
            assert re.search(rf"\s{re.escape(quantity_text(line.quantity))}\s+{unit_of(line, each.currency)}\s", text), line
        assert f'<td class="number">{net}</td>' in INVOICE_FORMATS["html"].write(each).decode()
        assert f'<cbc:TaxExclusiveAmount currencyID="EUR">{net}<' in INVOICE_FORMATS["ubl"].write(each).decode()


def focus_costs(content: bytes, category: str = "Usage") -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for row in (row for row in csv.DictReader(io.StringIO(content.decode())) if row["ChargeCategory"] == category):
        sums[row["SubAccountId"]] = sums.get(row["SubAccountId"], Decimal(0)) + Decimal(row["BilledCost"])
    return sums


def sheet(content: bytes) -> list[dict[str, str]]:
    """Return the rows of a workbook by the names in its first row; a row without a project is the total."""
    names, *rows = cells(content)
    return [found for row in rows if (found := dict(zip(names, row, strict=False))).get("project")]
