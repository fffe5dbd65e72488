"""`aiplatform report` writes a whole file or none."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from sqlalchemy import delete

from aiplatform_hub.cli.main import main
from aiplatform_hub.config import Settings
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.charge_reporter import ChargeReporter
from aiplatform_hub.reports.formats import FORMATS
from aiplatform_hub.storage.charge_rollup_tables import charge_sums
from aiplatform_hub.storage.migrate import upgrade
from tests.support.billing import Office

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("place") / "data"
    made.mkdir()
    factory = Factory(Settings(data_dir=made), lambda: datetime(2026, 11, 28, tzinfo=UTC))
    upgrade(factory.settings.resolved_database_url)
    factory.close()
    return made


def run(folder, *options):
    return CliRunner().invoke(main, ["report", "--data-dir", str(folder), *options])


def test_output_and_file_are_the_same(folder, tmp_path) -> None:
    for name in FORMATS:
        file = tmp_path / name
        done = run(folder, "--month", "2026-01", "--format", name, "-o", str(file))
        assert (done.exit_code, done.output) == (0, "")
        assert run(folder, "--month", "2026-01", "--format", name).stdout_bytes == file.read_bytes() != b""
    assert {each.name for each in tmp_path.iterdir()} == set(FORMATS)


def test_sums_of_days_are_compared_with_the_ledger(tmp_path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    factory = Factory(Settings(data_dir=data), lambda: datetime(2026, 1, 28, 12, tzinfo=UTC))
    upgrade(factory.settings.resolved_database_url)
    Office(factory.database, data).used("lab", JANUARY, 30)
    before = run(data, "--month", "2026-01").stdout_bytes
    while factory.charge_rollup.step():
        pass
    assert run(data, "--month", "2026-01").stdout_bytes == before

    def verify(*options):
        return CliRunner().invoke(main, ["verify-ledger", "--sums", "--data-dir", str(data), *options])

    assert "The sums of 27 days are those of the ledger." in verify().stdout
    assert json.loads(verify("--json").stdout)["days"] == 27
    with factory.database.write() as connection:
        connection.execute(delete(charge_sums).where(charge_sums.c.day == JANUARY))
    done = verify()
    assert (done.exit_code, "The sums of 2026-01-01 are not those of the ledger" in done.stderr) == (1, True)
    factory.close()


def test_what_is_wrong_is_said(folder, tmp_path) -> None:
    done = run(folder, "--month", "2026-13")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "'2026-13' is no month; write it as 2026-11." in done.stderr
    done = run(folder, "--month", "2026-01", "--group-by", "project, colour")
    assert "There is no group 'colour'" in done.stderr
    done = run(folder, "--month", "2026-01", "-o", str(tmp_path / "missing" / "file"))
    assert done.exit_code == 2
    assert "No such file or directory" in done.stderr


def test_an_older_file_stays_when_a_report_fails(folder, tmp_path, monkeypatch) -> None:
    file = tmp_path / "report.csv"
    file.write_text("older")

    def fail(_reporter, _query, stream) -> None:
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ChargeReporter, "write", fail)
    assert run(folder, "--month", "2026-01", "-o", str(file)).exit_code == 2
    assert [each.name for each in tmp_path.iterdir()] == ["report.csv"]
    assert file.read_text() == "older"
