"""`aiplatform report` writes a whole file or none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from aiplatform_hub.cli.main import main
from aiplatform_hub.config import Settings
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.charge_reporter import ChargeReporter
from aiplatform_hub.reports.formats import FORMATS
from aiplatform_hub.storage.migrate import upgrade


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
