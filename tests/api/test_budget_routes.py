"""A budget on a live hub: who reads it, who sets it, and that the keeper counts what was used."""

from __future__ import annotations

import subprocess
from decimal import Decimal

import pytest

from tests.support.hub import ADMIN, wait_for

BODY = {"scope": "person", "name": "user3", "amount": "5", "currency": "EUR", "period": "once", "reason": "a try"}


def budgets_of(place, user):
    return place.call("GET", "budgets", user=user).json()["items"]


@pytest.fixture
def budget(place):
    made = place.call("POST", "budgets", user=ADMIN, json={**BODY, "amount": "0.05"})
    assert made.status_code == 201, made.text
    yield made.json()
    place.call("DELETE", f"budgets/{made.json()['id']}", user=ADMIN)


def test_each_sees_what_they_are_paid_from_and_what_has_no_gpus_starts(place, budget):
    assert [one["id"] for one in budgets_of(place, "user3")] == [budget["id"]]
    assert budgets_of(place, "user4") == []
    assert budget["id"] in {one["id"] for one in budgets_of(place, ADMIN)}
    assert "Your budget" in place.call("GET", "../../home", user="user3").text
    told = place.call("POST", "decisions", user="user3", json={"environment_template": "trivial", "gpus": 0}).json()
    assert told["outcome"] == "admit"


def test_the_keeper_counts_what_a_session_costs(kept, budget):
    session = kept.launch("user3", "paid", gpus=0).json()
    kept.wait_ready("user3", session["id"])
    wait_for(lambda: Decimal(budgets_of(kept, "user3")[0]["committed"]) > 0, lambda: f"it is counted: {budgets_of(kept, 'user3')}", 60)
    kept.call("DELETE", f"allocations/{session['id']}", user="user3")
    kept.wait_state("user3", session["id"], "ended")
    cost = Decimal(kept.call("GET", f"allocations/{session['id']}", user="user3").json()["cost_so_far"]["amount"])
    wait_for(lambda: abs(Decimal(budgets_of(kept, "user3")[0]["committed"]) - cost) <= Decimal("0.000001"), "what it cost is committed", 60)


def test_it_is_set_listed_and_ended_on_the_command_line(place):
    def typed(*words, user=ADMIN):
        command, environment = place.typed("budgets", *words, user=user)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    made = typed("set", "person", "user5", "12.50", "EUR", "--period", "month", "--reason", "a course")
    assert made.returncode == 0, made.stderr
    number = made.stdout.rsplit(" ", 1)[1].strip()
    assert "12.50" in typed("list", user="user5").stdout
    assert "has a budget already" in typed("set", "person", "user5", "1", "EUR", "--reason", "again").stderr
    wrong = typed("set", "project", "none", "1", "EUR", "--reason", "x")
    assert (wrong.returncode, "There is no project" in wrong.stderr) == (2, True)
    assert "decimal string" in typed("set", "person", "user6", "much", "EUR", "--reason", "x").stderr
    assert typed("set", "person", "user6", "1", "EUR", "--reason", "x", user="user5").returncode == 1
    assert typed("end", number).returncode == 0
    assert "No budget applies to you." in typed("list", user="user5").stdout


@pytest.mark.parametrize(
    ("change", "field"),
    [({"amount": "-1"}, "amount"), ({"amount": "x"}, "amount"), ({"currency": "USD"}, "currency"), ({"scope": "galaxy"}, "scope"), ({"name": ""}, "name")],
)
def test_wrong_budgets_are_refused_by_field(place, change, field):
    answer = place.call("POST", "budgets", user=ADMIN, json={**BODY, "name": "user7", **change})
    assert (answer.status_code, answer.json()["reasons"][0]["field"]) == (400, field)
    assert budgets_of(place, "user7") == []
