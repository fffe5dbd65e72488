"""The users' commands, as typed, against the running platform."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.hub import wait_for


@pytest.fixture(autouse=True)
def nothing_runs(place):
    yield
    place.stop_everything()


def test_a_session_from_launch_to_costs(typed):
    launched = typed("launch", "trivial", "--gpus", "2", "--name", "mine", "--wait")
    assert launched.returncode == 0, launched.stderr
    assert "/user/user1/mine/" in launched.stdout
    listed = typed("list")
    assert re.search(r"^[0-9a-f]{8} +user1 +mine +trivial +2 \S+ +active +.*JST", listed.stdout, re.MULTILINE), listed.stdout
    key = listed.stdout.splitlines()[1].split()[0]
    shown = json.loads(typed("show", key, "--json").stdout)
    assert shown["server_name"] == "mine"
    assert shown["started_at"].endswith("Z")
    assert "JST" in typed("show", "mine").stdout
    why = typed("why", key)
    assert "Admitted" in why.stdout
    assert "The same inputs give the same decision" in why.stdout
    quota = typed("quota")
    assert re.search(r"gpus +2 +2 +0 +mine", quota.stdout), quota.stdout
    refused = typed("launch", "trivial", "--gpus", "1", "--no-queue")
    assert refused.returncode == 1
    assert "mine" in refused.stderr
    assert "  - " in refused.stderr
    stopped = typed("stop", key)
    assert stopped.returncode == 0
    wait_for(lambda: "No open sessions." in typed("list").stdout, "it ended")
    assert typed("stop", key).stdout == "It was over already.\n"
    usage = json.loads(typed("usage", "--json", "--group-by", "project").stdout)
    costs = json.loads(typed("costs", "--json", "--group-by", "project").stdout)
    assert [row["gpu_seconds"] for row in usage["rows"]] == [row["gpu_seconds"] for row in costs["rows"]]
    assert costs["rows"][0]["currency"]
    assert "total" in typed("costs", "--group-by", "day").stdout


def test_what_is_on_offer(typed):
    assert "trivial" in typed("catalog").stdout
    free = json.loads(typed("capacity", "--json").stdout)
    assert free["gpu_types"][0]["total"] == 4
    assert typed("capacity").stdout.split("\n")[0].split() == ["GPU", "TYPE", "TOTAL", "FREE", "HELD", "UNHEALTHY", "SIMULATED"]


def test_a_dry_run_exits_by_its_outcome(typed, place):
    admitted = typed("launch", "trivial", "--gpus", "1", "--dry-run")
    assert admitted.returncode == 0
    assert "per hour" in admitted.stdout
    denied = typed("launch", "trivial", "--gpus", "4", "--dry-run")
    assert denied.returncode == 1
    assert not place.hub.open_allocations()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("launch",), 2, "TEMPLATE"),
        (("launch", "trivial", "--gpus", "two"), 2, "two"),
        (("launch", "trivial", "--gpus", "99"), 2, "gpus"),
        (("launch", "nonsense"), 2, "environment_template"),
        (("launch", "trivial", "--name", "A B"), 2, "A server's name has 1 to 30 characters"),
        (("costs", "--group-by", "colour"), 2, "colour"),
        (("costs", "--from", "yesterday"), 2, "from"),
        (("dance",), 2, "dance"),
        (("show", "nothing-like-it"), 1, "nothing-like-it"),
        (("quota", "user2"), 1, "user2"),
        (("stop", "00000000-0000-0000-0000-000000000000"), 1, "no such allocation"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_use_and_refusals_are_told_apart(typed, words, code, says):
    answer = typed(*words)
    assert answer.returncode == code, answer.stdout + answer.stderr
    assert says in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "\x1b" not in answer.stderr


def test_what_is_missing_is_named(typed):
    without_token = typed("list", user=None)
    assert without_token.returncode == 2
    assert "AIPLATFORM_TOKEN" in without_token.stderr
    without_url = typed("list", AIPLATFORM_URL="")
    assert without_url.returncode == 2
    assert "AIPLATFORM_URL" in without_url.stderr
    assert typed("list", AIPLATFORM_URL="nonsense").returncode == 2
    wrong = typed("list", user=None, AIPLATFORM_TOKEN="0" * 32)
    assert wrong.returncode == 1
    assert "token" in wrong.stderr


def test_an_address_where_nothing_listens_is_unavailable(typed):
    answer = typed("list", AIPLATFORM_URL="http://127.0.0.1:9")
    assert answer.returncode == 3
    assert "does not answer" in answer.stderr
    as_json = typed("launch", "trivial", "--json", AIPLATFORM_URL="http://127.0.0.1:9")
    assert json.loads(as_json.stderr)["code"] == "service_unavailable"
