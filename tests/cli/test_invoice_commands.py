"""A month is invoiced on the command line, and exported for the accounting."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from aiplatform_hub.cli.main import main
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.migrate import upgrade
from tests.support.billing import Office

ENTITIES = """
university:
  display_name: University of Example
  address: [Hauptstrasse 1, 12345 Exampletown]
  country: DE
  tax_id: DE123456789
  number_prefix: UE-
  currency: EUR
  tax_percent: "19"
"""
CENTRES = """
lab: {display_name: Lab, legal_entity: university, code: "=1+1", country: DE}
guests: {display_name: Guests}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data directory whose lab used a GPU for ten hours in January 2026."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "catalog").mkdir()
    (folder / "catalog" / "legal_entities.yaml").write_text(ENTITIES)
    (folder / "catalog" / "cost_centres.yaml").write_text(CENTRES)
    url = f"sqlite:///{folder / 'aiplatform.sqlite'}"
    upgrade(url)
    database = Database(url=url)
    office = Office(database, folder)
    office.used("lab", datetime(2026, 1, 5, tzinfo=UTC), 10)
    office.used("guests", datetime(2026, 1, 5, tzinfo=UTC), 1)
    database.close()
    return folder


@pytest.fixture
def typed(folder):
    def run(*words, code=0):
        done = CliRunner().invoke(main, ["invoices", *words, "--data-dir", str(folder)])
        assert done.exit_code == code, done.output
        return done.output

    return run


def test_a_month_is_drafted_issued_paid_taken_back_and_exported(typed, folder):
    said = typed("draft", "--month", "2026-01")
    assert "38.08" in said
    assert "guests has no legal entity" in said
    (draft,) = json.loads(typed("list", "--json"))
    assert "10.000000" in typed("show", draft["id"])
    assert "UE-20" in typed("issue", draft["id"])
    (issued,) = json.loads(typed("list", "--state", "issued", "--month", "2026-01", "--json"))
    assert (issued["id"], issued["total"], issued["tax"]) == (draft["id"], "38.08", "6.08")
    number = issued["number"]
    assert f"Invoice {number} is issued and never goes" in typed("drop", number, code=1)
    for name, start in (("pdf", b"%PDF-"), ("html", b"<!doctype html>"), ("ubl", b"<?xml"), ("csv", b"number,kind")):
        file = folder / f"one.{name}"
        assert f"Invoice {number} in {file}" in typed("export", number, "--format", name, "-o", str(file))
        assert file.read_bytes().startswith(start)
    assert json.loads(typed("pay", number, "--reference", "SEPA 1", "--json"))["state"] == "paid"
    part = json.loads(typed("credit", number, "--reason", "a slow node", "--line", "1=12.00", "--json"))
    assert (part["credits"], part["is_partial"], part["net"]) == (number, True, "12.00")
    assert "There is no line 7" in typed("credit", number, "--reason", "x", "--line", "7", code=1)
    assert "is no line; write for example 3, or 3=12.50" in typed("credit", number, "--reason", "x", "--line", "1:5", code=2)
    note = json.loads(typed("credit", number, "--reason", "wrong address", "--json"))
    assert (note["credits"], note["kind"], note["net"]) == (number, "credit_note", "20.00")
    assert "Accounting: paid, waits" in typed("show", number)
    assert "3 documents in" in typed("export", "--month", "2026-01", "-o", str(folder / "january.csv"))
    rows = list(csv.DictReader((folder / "january.csv").open(newline="")))
    assert {(row["kind"], row["line_amount"], row["invoice_total"], row["quantity"], row["unit_price"]) for row in rows} == {
        ("invoice", "32.00", "38.08", "10.000000", "3.20"),
        ("credit_note", "-12.00", "-14.28", "-3.750000", "3.20"),
        ("credit_note", "-20.00", "-23.80", "-6.250000", "3.20"),
    }
    assert {row["cost_centre_code"] for row in rows} == {"'=1+1"}, "no spreadsheet takes it for a formula"
    assert typed("export", "--month", "2026-01") == (folder / "january.csv").read_text(), "in a file or not"
    papers = folder / "papers"
    assert "needs a folder that exists" in typed("export", "--month", "2026-01", "--format", "pdf", "-o", str(papers), code=2)
    papers.mkdir()
    typed("export", "--month", "2026-01", "--format", "pdf", "-o", str(papers))
    assert sorted(each.name for each in papers.iterdir()) == sorted(f"{name}.pdf" for name in (number, part["number"], note["number"]))
    typed("export", number, "-o", str(folder / "again.pdf"))
    assert (folder / "again.pdf").read_bytes() == (folder / "one.pdf").read_bytes() == (papers / f"{number}.pdf").read_bytes(), "paid and void is no matter"
    again = json.loads(typed("draft", "--month", "2026-01", "--json"))
    assert "it is a draft; issue it first" in typed("export", again["drafts"][0]["id"], "--format", "ubl", "-o", str(folder / "draft.xml"), code=1)
    assert not (folder / "draft.xml").exists()
    assert "Dropped the draft for lab, 2026-01" in typed("drop", again["drafts"][0]["id"])


def test_wrong_words_are_named(typed):
    assert "not a month; write for example 2026-11" in typed("draft", "--month", "January", code=1)
    assert "is not over" in typed("draft", "--month", "2999-01", code=1)
    assert "There is no invoice UE-1. Give a number, or the id of a draft" in typed("show", "UE-1", code=1)
    assert "Name drafts by their ids, or a --month" in typed("issue", code=2)
    assert "Name an invoice, or a --month" in typed("export", code=2)
    assert "Name an invoice, or a --month" in typed("export", "UE-1", "--month", "2026-01", code=2)
