"""`aiplatform policy` shows, checks and applies the policy of an installation, and keeps the old one when a file is wrong."""

from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

from aiplatform_hub.cli.main import main
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.policy import SHIPPED
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import upgrade
from aiplatform_hub.supervisor.hub_config import demo_passwords_file


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A data directory with a database."""
    monkeypatch.delenv("AIPLATFORM_DATABASE_URL", raising=False)
    settings = Settings(data_dir=tmp_path / "data")
    settings.data_dir.mkdir()
    upgrade(settings.resolved_database_url)
    factory = Factory(settings)
    yield factory
    factory.close()


def run(place, *words, text=None):
    return CliRunner().invoke(main, ["policy", *map(str, words), "--data-dir", str(place.settings.data_dir)], input=text)


def told(place, *words, text=None):
    done = run(place, *words, "--json", text=text)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_shipped_policy_is_shown_key_by_key(place):
    done = run(place, "show")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "The shipped policy (version 0).")
    assert any(line.split() == ["idle_after", "10min"] for line in done.stdout.splitlines())
    shown = told(place, "show")
    assert (shown["version"], shown["applied_at"], shown["keys"]["session_cap"], shown["keys"]["project_limits"]) == (0, None, "6h", "none")


@pytest.mark.parametrize("way", ["file", "standard input"])
def test_applying_prints_what_changes_and_the_version(place, tmp_path, way):
    file = tmp_path / "policy.yaml"
    file.write_text("idle_after: 15min\nreserve_after: never\n")
    done = run(place, "apply", file) if way == "file" else run(place, "apply", "-", text=file.read_text())
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows == [["KEY", "BEFORE", "AFTER"], ["reserve_after", "2h", "never"], ["idle_after", "10min", "15min"], ["Version", "1", "counts", "now."]]
    assert place.policies.current().idle_after_seconds == 900
    again = run(place, "apply", file)
    assert (again.exit_code, again.stdout) == (0, "It says what counts already: version 1 stays.\n")


def test_wrong_file_tells_every_error_with_its_line_and_the_old_policy_stays(place, tmp_path):
    assert told(place, "apply", "-", text="session_cap: 8h\n")["version"] == 1
    file = tmp_path / "policy.yaml"
    file.write_text("sesion_cap: 9h\nidle_after: 15 parsecs\nproject_shares: {nobody: 2}\n")
    for command in ("check", "apply"):
        done = run(place, command, file)
        assert done.exit_code == 2
        assert [line.removeprefix(f"{file}:")[:2] for line in done.stderr.splitlines()[1:]] == ["1:", "2:", "3:"]
        assert "unknown project nobody; known: personal" in done.stderr
    wrong = run(place, "apply", file, "--json")
    assert (wrong.exit_code, len(json.loads(wrong.stderr)["reasons"])) == (2, 3)
    assert "standard input:1: unknown key" in run(place, "apply", "-", text="x: 1").stderr
    shown = told(place, "show")
    assert (shown["version"], shown["keys"]["session_cap"]) == (1, "8h")


def test_checking_changes_nothing(place):
    assert told(place, "check", "-", text="half_life: 1d\n") == {"changes": [{"key": "half_life", "before": "3d", "after": "1d"}]}
    assert run(place, "check", "-", text="").stdout == "It is right, and says what counts already.\n"
    assert place.policies.current() == SHIPPED


def test_history_lists_versions_and_what_they_changed(place):
    assert run(place, "history").stdout == "Nothing was applied: the shipped policy counts.\n"
    told(place, "apply", "-", text="session_cap: 8h\n")
    told(place, "apply", "-", text="")
    steps = told(place, "history")
    assert [(step["version"], step["changes"]) for step in steps] == [
        (2, [{"key": "session_cap", "before": "8h", "after": "6h"}]),
        (1, [{"key": "session_cap", "before": "6h", "after": "8h"}]),
    ]
    assert [step["document"] for step in steps] == ["", "session_cap: 8h\n"], "an earlier one can be applied again"
    assert "session_cap: 8h -> 6h" in run(place, "history").stdout


def test_classes_are_shown_with_their_windows(place):
    text = "reservations:\n- {project: personal, gpus: 2, gpu_type: h100, start: 2026-12-01T09:00:00+01:00, end: 2026-12-01T11:00:00+01:00}\n"
    assert told(place, "apply", "-", text=text)["changes"] == [
        {"key": "reservations", "before": "none", "after": "personal 2 GPUs of h100 2026-12-01 08:00 UTC to 2026-12-01 10:00 UTC"}
    ]


@pytest.mark.parametrize(("data", "says"), [(b"idle_after: \xff\n", ":1: is not UTF-8 text"), (None, "cannot be read")])
def test_file_that_is_no_text_is_refused_with_its_line(place, tmp_path, data, says):
    file = tmp_path / "policy.yaml"
    if data is not None:
        file.write_bytes(data)
    done = run(place, "apply", file)
    assert done.exit_code == 2
    assert says in done.stderr


def test_unreadable_newest_policy_is_shown_with_the_one_that_counts(place):
    told(place, "apply", "-", text="session_cap: 8h\n")
    with place.database.write() as connection:
        connection.exec_driver_sql("INSERT INTO policies (applied_at, applied_by, document) VALUES (0, 'x', 'later: 1')")
    done = run(place, "show")
    assert done.exit_code == 0
    assert "so version 1 counts" in done.stderr
    assert done.stdout.startswith("Version 1, applied ")


def test_who_applies_stands_in_the_audit_trail(place):
    told(place, "apply", "-", text="session_cap: 8h\n")
    (event,) = place.audit_trail.latest(limit=1)
    assert (event.action, event.target, event.detail["changes"]) == ("apply_policy", "policy:1", ["session_cap: 6h -> 8h"])
    assert event.actor == (os.environ.get("LOGNAME") or os.environ.get("USER") or event.actor)


def test_projects_of_a_trial_are_known_on_its_data_directory(place):
    text = "project_limits: {vision: 2}\n"
    assert run(place, "check", "-", text=text).exit_code == 2
    demo_passwords_file(place.settings).parent.mkdir(parents=True)
    demo_passwords_file(place.settings).write_text("{}")
    assert run(place, "check", "-", text=text).exit_code == 0
