"""A budget on a live hub: who reads it, who sets it, and that the keeper counts what was used."""

from __future__ import annotations

import re
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


def test_what_a_spent_budget_does_is_said_and_a_dry_run_says_what_is_left(place, budget):
    assert (budget["soft_percents"], budget["at_limit"], budget["grace_minutes"], budget["runway"]) == ([80, 95], "let_finish", 30, None)
    gone = place.call("POST", "budgets", user=ADMIN, json={**BODY, "name": "user4", "replaces": budget["id"]})
    assert gone.status_code == 404, "one of somebody else is not replaced"
    wanted = {**BODY, "amount": "100", "at_limit": "stop", "grace_minutes": 5, "soft_percents": [50], "replaces": budget["id"]}
    made = place.call("POST", "budgets", user=ADMIN, json=wanted).json()
    assert (made["at_limit"], made["grace_minutes"], made["soft_percents"]) == ("stop", 5, [50])
    assert [one["id"] for one in budgets_of(place, "user3")] == [made["id"]], "the one before has ended"
    told = place.call("POST", "decisions", user="user3", json={"environment_template": "pytorch", "gpus": 1, "max_hours": 2}).json()
    (after,) = told["budgets"]
    assert (after["scope"], after["name"], after["fits"], after["runway"]) == ("person", "user3", True, None)
    assert Decimal(after["needs"]) == 2 * Decimal(told["price"]["per_hour"])
    assert Decimal(after["left_after"]) == 100 - Decimal(after["needs"])
    place.call("DELETE", f"budgets/{made['id']}", user=ADMIN)


def test_admins_set_change_and_end_budgets_on_their_page(place):
    address = f"{place.hub.url}/services/platform/admin/budgets"
    session = place.hub.browser(ADMIN).session
    xsrf = re.findall(r'name="xsrf" content="([^"]+)"', session.get(address, timeout=30).text)[0]
    fields = {"_xsrf": xsrf, "scope": "person", "name": "user2", "amount": "12", "currency": "EUR", "period": "month", "reason": "a course <b>"}
    fields |= {"soft_percents": "70, 90", "at_limit": "let_finish", "grace_minutes": "30", "ends_at": ""}
    for change, said in (
        ({"amount": "much"}, "Write the amount as a number"),
        ({"soft_percents": "a lot"}, "Write whole numbers"),
        ({"grace_minutes": "soon"}, "whole number of minutes"),
        ({"at_limit": "stop"}, "Say that running sessions may be stopped"),
        ({"scope": "project", "name": "none"}, "There is no project"),
    ):
        refused = session.post(address, data={**fields, **change}, timeout=30)
        assert (refused.status_code, said in refused.text, "a course &lt;b&gt;" in refused.text) == (400, True, True)
        assert budgets_of(place, "user2") == []
    assert "The budget is set." in session.post(address, data=fields, timeout=30).text
    (made,) = budgets_of(place, "user2")
    assert made["soft_percents"] == [70, 90]
    assert 'value="12"' in session.get(f"{address}?change={made['id']}", timeout=30).text
    changed = {**fields, "amount": "20", "at_limit": "stop", "sure": "yes", "replaces": made["id"]}
    assert session.post(address, data=changed, timeout=30).status_code == 200
    (made,) = budgets_of(place, "user2")
    assert (made["at_limit"], Decimal(made["amount"])) == ("stop", 20)
    assert "The budget has ended." in session.post(f"{address}/end", data={"_xsrf": xsrf, "budget": made["id"]}, timeout=30).text
    assert budgets_of(place, "user2") == []
    again = session.post(f"{address}/end", data={"_xsrf": xsrf, "budget": made["id"]}, timeout=30)
    assert (again.status_code, "has ended already" in again.text) == (409, True)
    assert session.post(f"{address}/end", data={"_xsrf": xsrf, "budget": "x"}, timeout=30).status_code == 400
    assert "ends_at" in session.post(address, data={**fields, "starts_at": "2999-01-01T00:00", "ends_at": "2998-01-01T00:00"}, timeout=30).text
    later = session.post(address, data={**fields, "starts_at": "2999-01-15T00:00"}, timeout=30).text
    assert "begins 2999-01-15 00:00 (UTC)" in later
    (made,) = (each for each in budgets_of(place, ADMIN) if each["name"] == "user2")
    assert (made["period_starts_at"], made["period_ends_at"], made["runway"]) == ("2999-01-15T00:00:00.000000Z", "2999-02-01T00:00:00.000000Z", None)
    command, environment = place.typed("budgets", "list", user=ADMIN)
    listed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "from 2999-01-15" in listed
    session.post(f"{address}/end", data={"_xsrf": xsrf, "budget": made["id"]}, timeout=30)
    stranger = place.hub.browser("user2").session
    assert stranger.get(address, timeout=30).status_code == 404


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

    made = typed("set", "person", "user5", "12.50", "EUR", "--warn-at", "60", "--at-limit", "stop", "--grace-minutes", "10", "--reason", "a course")
    assert made.returncode == 0, made.stderr
    number = made.stdout.rsplit(" ", 1)[1].strip()
    listed = typed("list", user="user5").stdout
    assert "12.50" in listed
    assert "unknown" in listed, "nobody knows how long it lasts"
    assert " stop " in listed
    assert "whole numbers" in typed("set", "person", "user6", "1", "EUR", "--warn-at", "x", "--reason", "x").stderr
    assert "has a budget already" in typed("set", "person", "user5", "1", "EUR", "--reason", "again").stderr
    wrong = typed("set", "project", "none", "1", "EUR", "--reason", "x")
    assert (wrong.returncode, "There is no project" in wrong.stderr) == (2, True)
    assert "decimal string" in typed("set", "person", "user6", "much", "EUR", "--reason", "x").stderr
    assert "admin:servers" in typed("set", "person", "user6", "1", "EUR", "--reason", "x", user="user5").stderr
    changed = typed("set", "person", "user5", "13", "EUR", "--replace", number, "--warn-at", "none", "--reason", "more")
    assert changed.returncode == 0, changed.stderr
    number = changed.stdout.rsplit(" ", 1)[1].strip()
    assert typed("end", number).returncode == 0
    assert "No budget applies to you." in typed("list", user="user5").stdout


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"soft_percents": [80, 20]}, "soft_percents"),
        ({"at_limit": "explode"}, "at_limit"),
        ({"grace_minutes": -1}, "grace_minutes"),
        ({"grace_minutes": 10**18}, "grace_minutes"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "x"}, "amount"),
        ({"currency": "USD"}, "currency"),
        ({"scope": "galaxy"}, "scope"),
        ({"name": ""}, "name"),
    ],
)
def test_wrong_budgets_are_refused_by_field(place, change, field):
    answer = place.call("POST", "budgets", user=ADMIN, json={**BODY, "name": "user7", **change})
    assert (answer.status_code, answer.json()["reasons"][0]["field"]) == (400, field)
    assert budgets_of(place, "user7") == []
