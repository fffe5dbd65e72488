"""Commands about money that are typed wrongly: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import getpass
import os
import time
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from aiplatform_hub.cli.main import main
from aiplatform_hub.cli.user import local
from aiplatform_hub.config import Settings
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.migrate import upgrade
from tests.support.billing import Office

REST = ["--url", "http://127.0.0.1:9/", "--token", "none"]
"""Nobody listens there."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("place") / "data"
    made.mkdir()
    upgrade(Settings(data_dir=made).resolved_database_url)
    return made


def typed(*words):
    done = CliRunner().invoke(main, list(words))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.mark.parametrize("where", ["/etc/passwd/x.csv", "/no/such/folder/x.csv", "", "/tmp/" + "x" * 300, "/proc/x.csv"])
def test_a_report_goes_only_where_a_file_can_be(folder, where) -> None:
    done = typed("report", "--data-dir", str(folder), "--month", "2026-01", "-o", where)
    assert done.exit_code == 2
    assert "annot" in done.output or "directory" in done.output


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["report", "--month", "2026-13"], 1, "is no month; write it as 2026-11"),
        (["report", "--month", "٢٠٢٦-٠١"], 1, "is no month"),
        (["report", "--month", "9999-12"], 1, "is no month"),
        (["report", "--month", "2999-01"], 1, "Nothing is charged yet"),
        (["report", "--month", "2026-01", "--group-by", "colour"], 1, "There is no group 'colour'"),
        (["report", "--month", "2026-01", "--group-by", "user", "--format", "prometheus"], 1, "Take another format"),
        (["report", "--month", "2026-01", "--group-by", "user", "--format", "focus"], 1, "Leave group_by out"),
        (["invoices", "draft", "--month", "0001-01"], 1, "is before 1970; write for example 2026-11"),
        (["invoices", "draft", "--month", "2026-1"], 1, "is not a month"),
        (["invoices", "draft", "--month", "9999-12"], 1, "is not a month"),
        (["invoices", "draft", "--month", "2999-01"], 1, "is not over"),
        (["invoices", "draft", "--month", "2026-01", "--cost-centre", "nobody"], 1, "There is no cost centre “nobody”"),
        (["invoices", "list", "--month", "x"], 1, "is not a month"),
        (["invoices", "show", ""], 1, "There is no invoice"),
        (["invoices", "show", "00000000-0000-0000-0000-000000000000"], 1, "There is no invoice"),
        (["invoices", "issue"], 2, "Name drafts by their ids, or a --month"),
        (["invoices", "issue", "x"], 1, "see: aiplatform invoices list"),
        (["invoices", "pay", "x"], 1, "There is no invoice x"),
        (["invoices", "credit", "x", "--reason", "r", "--line", "1=1e999999999"], 1, "There is no invoice x"),
        (["invoices", "credit", "x", "--reason", "r", "--line", "x"], 1, "There is no invoice x"),
        (["invoices", "export"], 2, "Name an invoice, or a --month"),
        (["invoices", "export", "--month", "2026-01", "--format", "pdf"], 2, "needs a folder that exists"),
        (["invoices", "drop", "x"], 1, "There is no invoice x"),
    ],
)
def test_an_operator_is_told_what_would_be_right(folder, words, code, said) -> None:
    done = typed(*words, "--data-dir", str(folder))
    assert (done.exit_code, said in done.output) == (code, True), done.output


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["budgets", "set", "person", "ada", "x", "EUR", "--reason", "r"], 3),
        (["budgets", "set", "planet", "ada", "1", "EUR", "--reason", "r"], 2),
        (["budgets", "set", "person", "ada", "1", "EUR", "--reason", "r", "--warn-at", "a,b"], 2),
        (["budgets", "set", "person", "ada", "1", "EUR", "--reason", "r", "--warn-at", "9" * 5000], 2),
        (["budgets", "set", "person", "ada", "1", "EUR", "--reason", "r", "--until", "2026-13-01"], 2),
        (["budgets", "set", "person", "ada", "1", "EUR", "--reason", "r", "--from", "0001-01-01"], 3),
        (["budgets", "end", ".."], 1),
        (["budgets", "end", ""], 1),
        (["credits", "end", "."], 1),
        (["credits", "grant", "person", "ada", "1", "EUR", "--reason", "r", "--priority", "x"], 2),
        (["memberships", "end", ""], 1),
        (["disputes", "show", ""], 1),
        (["disputes", "reply", "..", "--text", "t"], 1),
        (["disputes", "open", "UE-1", "0", "--text", "t"], 2),
        (["rate-cards", "check", "v", "/no/such/file"], 2),
        (["rate-cards", "check", "v", "/"], 2),
        (["rate-cards", "withdraw", "v\udcff", "--reason", "r"], 2),
        (["chargeback", "--month", "\udcff"], 2),
        (["chargeback", "--month", "2026-01"], 3),
        (["showback", "maybe"], 2),
        (["costs", "--group-by", "colour"], 2),
        (["sessions", "move", "x", "y"], 3),
    ],
)
def test_a_user_is_told_what_would_be_right(words, code) -> None:
    done = typed(*words, *REST)
    assert (done.exit_code, bool(done.output.strip())) == (code, True), done.output


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_last_day_of_all_is_shown_in_every_zone(monkeypatch, zone) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert local("9999-12-31T23:59:00.000000Z").startswith("9999-12-31")
        assert local("0001-01-01T00:00:00.000000Z")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_account_without_a_name_still_stands_in_the_audit_trail(folder, monkeypatch) -> None:
    """As in a container whose account is a number."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000650000")

    monkeypatch.setattr(getpass, "getuser", nameless)
    database = Database(url=Settings(data_dir=folder).resolved_database_url)
    Office(database, folder).used("lab", datetime(2026, 1, 5, tzinfo=UTC), 1)
    database.close()
    assert typed("invoices", "draft", "--month", "2026-01", "--data-dir", str(folder)).exit_code == 0
    given = typed("grants", "give", "ada", "premium", "--days", "3", "--reason", "r", "--data-dir", str(folder))
    assert given.exit_code == 0, given.output
    factory = Factory(Settings(data_dir=folder))
    assert factory.audit_trail.latest(limit=1)[0].actor == f"uid {os.getuid()}"
    factory.close()
