"""``aiplatform grants``: a tier given and revoked, a limit raised and lowered, and what is typed wrongly."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from aiplatform_hub.cli.main import main
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import upgrade

WHY = ("--days", "3", "--reason", "deadline")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    upgrade(Settings(data_dir=tmp_path).resolved_database_url)
    return tmp_path


def typed(folder: Path, *words: str) -> Result:
    done = CliRunner().invoke(main, ["grants", *words, "--data-dir", str(folder)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def listed(folder: Path, what: str = "raised") -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(typed(folder, what, "--json").stdout)
    return found


def limits(folder: Path, caller: Caller) -> dict[str, str]:
    """Return a person's limits as they count."""
    factory = Factory(Settings(data_dir=folder))
    try:
        return {row.limit.dimension: format(row.limit.amount, "f") for row in factory.enforcer.quota_of(caller)}
    finally:
        factory.close()


def test_limit_is_raised_listed_and_lowered(folder: Path) -> None:
    ada = Caller(1, "ada", groups=frozenset({"course"}))
    before = limits(folder, ada)
    made = typed(folder, "raise", "ada", "gpus", "4", *WHY)
    assert (made.exit_code, "ada has 4 gpus until" in made.stdout) == (0, True), made.output
    number = made.stdout.split()[-1]
    storage = json.loads(typed(folder, "raise", "course", "storage_bytes", "200 GiB", "--group", *WHY, "--json").stdout)
    assert storage["amount"] == str(200 * 2**30)
    assert [(one["scope"], one["name"], one["limit"], one["reason"]) for one in listed(folder)] == [
        ("group", "course", "storage_bytes", "deadline"),
        ("user", "ada", "gpus", "deadline"),
    ]
    now = limits(folder, ada)
    assert (now["gpus"], now["storage_bytes"]) == ("4", str(200 * 2**30)) != (before["gpus"], before["storage_bytes"])
    assert "gpus" in typed(folder, "raised").stdout
    lowered = typed(folder, "lower", number)
    assert (lowered.exit_code, lowered.stdout) == (0, "ada has the gpus of the tier again.\n"), lowered.output
    assert json.loads(typed(folder, "lower", storage["id"], "--json").stdout)["revoked_at"]
    assert (limits(folder, ada), listed(folder)) == (before, [])
    assert typed(folder, "raised").stdout == "No raised limits are in force.\n"
    assert "over already" in typed(folder, "lower", number).output


def test_tier_is_given_listed_and_revoked(folder: Path) -> None:
    given = json.loads(typed(folder, "give", "ada", "premium", *WHY, "--json").stdout)
    assert (given["user"], given["tier"]) == ("ada", "premium")
    assert [(one["user"], one["reason"]) for one in listed(folder, "list")] == [("ada", "deadline")]
    assert typed(folder, "revoke", "ada").stdout == "1 ended.\n"
    assert typed(folder, "revoke", "ada").stdout == "ada has no grant.\n"
    assert typed(folder, "list").stdout == "No grants are in force.\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["raise", "ada", "gpus", "many", *WHY], 1, "a whole number, for example 6"),
        (["raise", "ada", "gpus", "0", *WHY], 1, "more than 0"),
        (["raise", "ada", "gpus", "2.5", *WHY], 1, "a whole number"),
        (["raise", "ada", "gpus", "٤", *WHY], 1, "a whole number"),
        (["raise", "ada", "memory_bytes", "64", *WHY], 1, "with its unit, for example 64 GiB"),
        (["raise", "ada", "memory_bytes", "9999999 TiB", *WHY], 1, "and smaller"),
        (["raise", "ada", "unicorns", "4", *WHY], 1, "No tier has the limit “unicorns”"),
        (["raise", "ada", "gpus", "4", "--gpu-type", "x9", *WHY], 1, "No tier has the limit"),
        (["raise", "ada", "gpu_hours", "4", "--window-days", "-1", *WHY], 1, "No tier has the limit"),
        (["raise", "", "gpus", "4", *WHY], 1, "Name the user or group"),
        (["raise", " ", "gpus", "4", *WHY], 1, "Name the user or group"),
        (["raise", "a" * 256, "gpus", "4", *WHY], 1, "at most 255"),
        (["raise", "a\x07da", "gpus", "4", *WHY], 1, "cannot be shown"),
        (["raise", "ada", "gpus", "4", "--days", "3", "--reason", " "], 1, "Say why"),
        (["raise", "ada", "gpus", "4", "--days", "3", "--reason", "x" * 501], 1, "at most 500"),
        (["raise", "ada", "gpus", "4", "--days", "3", "--reason", "a\udc80b"], 1, "cannot be shown"),
        (["raise", "ada", "gpus", "4", "--days", "0", "--reason", "r"], 2, "--days"),
        (["raise", "ada", "gpus", "4", "--days", "3"], 2, "--reason"),
        (["raise", "ada", "gpus"], 2, "AMOUNT"),
        (["lower", "not-an-id"], 2, "UUID"),
        (["lower", str(uuid4())], 1, "There is no such grant"),
        (["give", "ada", "gold", *WHY], 1, "There is no tier “gold”"),
        (["give", "", "premium", *WHY], 1, "Say who"),
        (["give", "ada", "premium", "--days", "3", "--reason", "a\x00b"], 1, "cannot be shown"),
    ],
)
def test_what_is_typed_wrongly_is_said_and_changes_nothing(folder: Path, words: list[str], code: int, said: str) -> None:
    done = typed(folder, *words)
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert (listed(folder), listed(folder, "list")) == ([], [])
