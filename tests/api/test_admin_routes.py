"""What admins read and do over REST: people, grants, projects, efficiency, health, audit, catalogue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aiplatform_hub.domain.units import isoformat
from tests.support.hub import ADMIN, wait_for

UNTIL = isoformat(datetime.now(UTC) + timedelta(days=3))
GRANT = {"tier": "premium", "expires_at": UNTIL, "reason": "deadline"}


def read(place, path, **params):
    answer = place.call("GET", path, user=ADMIN, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def tier_of(place, user):
    return read(place, f"users/{user}/quota")["tier"]


@pytest.fixture
def ungranted(place):
    yield place
    place.hub.factory.grants.revoke("user4", ADMIN)


def test_people_are_found_by_a_part_of_their_name_and_come_in_pages(place):
    first = read(place, "people", search="SER", limit=4)
    assert ([one["name"] for one in first["items"]], first["total"]) == (["user0", "user1", "user2", "user3"], 10)
    second = read(place, "people", search="ser", limit=4, cursor=first["next_cursor"])
    assert [one["name"] for one in second["items"]] == ["user4", "user5", "user6", "user7"]
    assert read(place, "people", search="ser", limit=4, cursor=8)["next_cursor"] is None
    assert read(place, "people", search="user_")["total"] == 0, "a sign of the database's is a letter like others"
    (one,) = read(place, "people", search="user1")["items"]
    assert (one["groups"], one["tier"], one["tier_from"], one["grant"], one["is_admin"]) == (["vision"], "default", "default", None, False)


def test_only_an_unfiltered_token_may_ask_the_hub_for_everybody(place):
    assert place.hub.api("GET", "aiplatform/people", user="user1").status_code == 403
    found = place.hub.api("GET", "aiplatform/people?group=vision").json()
    assert [(one["name"], one["groups"]) for one in found["people"]] == [("user1", ["vision"])]
    assert place.hub.api("GET", "aiplatform/people?limit=-1").status_code == 400


def test_grant_counts_at_once_can_be_ended_and_taken_back_and_is_audited(ungranted):
    place = ungranted
    given = place.call("POST", "users/user4/grants", user=ADMIN, json=GRANT)
    assert given.status_code == 201, given.text
    assert (tier_of(place, "user4"), given.json()["granted_by"], given.json()["is_in_force"]) == ("premium", ADMIN, True)
    (one,) = read(place, "people", search="user4")["items"]
    assert (one["tier"], one["tier_from"], one["grant"]["reason"]) == ("premium", "grant", "deadline")
    address = f"users/user4/grants/{given.json()['id']}"
    assert place.call("DELETE", address, user=ADMIN).json()["is_in_force"] is False
    assert tier_of(place, "user4") == "default"
    assert place.call("DELETE", address, user=ADMIN).status_code == 409
    assert place.call("POST", f"{address}/restore", user=ADMIN, json={}).json()["is_in_force"] is True
    assert tier_of(place, "user4") == "premium"
    assert [grant["id"] for grant in place.call("GET", "users/user4/grants", user="user4").json()["items"]] == [given.json()["id"]]
    mine = read(place, "audit", actor=ADMIN, limit=3)["items"]
    assert [(event["action"], event["target"]) for event in mine] == [(action, "user:user4") for action in ("restore_grant", "revoke", "grant")]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tier": "gold"}, "tier"),
        ({"reason": " "}, "reason"),
        ({"expires_at": "2020-01-01"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"x": 1}, "x"),
    ],
)
def test_wrong_grant_is_refused_by_name_and_changes_nothing(place, change, field):
    answer = place.call("POST", "users/user4/grants", user=ADMIN, json={**GRANT, **change})
    assert (answer.status_code, answer.json()["reasons"][0]["field"]) == (400, field)
    assert tier_of(place, "user4") == "default"


def test_nobody_grants_themselves_anything(place):
    answer = place.call("POST", "users/user4/grants", user="user4", json=GRANT)
    assert answer.status_code == 403
    assert tier_of(place, "user4") == "default"
    wait_for(lambda: any(e.outcome == "refused" and e.actor == "user4" and "grants" in e.target for e in place.audit()), "the refusal is audited")


def test_grant_to_nobody_is_not_found(place):
    assert place.call("POST", "users/nobody/grants", user=ADMIN, json=GRANT).status_code == 404


def test_projects_tell_members_and_shares(place):
    projects = {one["name"]: one for one in read(place, "projects")["items"]}
    personal = projects["personal"]
    assert (personal["is_personal"], personal["members"], personal["share"]) == (True, 11, 1.0)
    assert place.call("GET", "people", user=ADMIN, params={"project": "none"}).status_code == 400


def test_health_says_what_is_amiss(place):
    health = read(place, "health")
    assert {process["name"] for process in health["processes"]} >= {"hub", "platform", "keeper"}
    assert (health["database"]["kind"], health["ledger"]["trouble"]) == ("SQLite", "")
    assert health["database"]["size_bytes"] > 0
    assert health["gpus"] == [{"gpu_type": "simulated", "total": 4, "unhealthy": 0, "simulated": 4}]
    assert any("simulated" in line for line in health["not_enforced"])


def test_keeper_says_what_it_compared_and_how_far_the_ledger_is_right(kept):
    def well():
        health = read(kept, "health")
        ledger = health["ledger"]
        return health["reconciled"]["at"] and ledger["whole_at"] and ledger["rows"] == ledger["total_rows"]

    wait_for(well, lambda: f"the keeper reports, and has verified the whole ledger: {read(kept, 'health')}", 180)


def test_catalogue_is_told_with_its_files_and_as_others_see_it(place):
    found = read(place, "catalog/entries")
    assert found["problems"] == []
    entry = next(one for one in found["entries"] if one["name"] == "trivial")
    assert (entry["kind"], entry["file"].endswith("catalog/environment_templates.yaml"), entry["line"]) == ("environment_templates", True, 2)
    file = place.hub.folder / "catalog" / "tiers.yaml"
    file.write_text("gold: {priority: many}\n")
    try:
        assert any("tiers.yaml" in line for line in read(place, "catalog/entries")["problems"])
        assert any("catalogue" in line for line in read(place, "health")["troubles"])
    finally:
        file.unlink()
    assert read(place, "catalog/entries")["problems"] == []
    assert [project["name"] for project in read(place, "catalog", as_user="user2")["projects"]] == ["personal"]
    assert place.call("GET", "catalog", user="user1", params={"as_user": "user2"}).status_code == 403
    assert place.call("GET", "catalog", user=ADMIN, params={"as_user": "nobody"}).status_code == 404


def test_efficiency_and_the_twins_forecast(place):
    found = read(place, "efficiency")
    assert (len(found["week"]), found["gpus"]) == (168, 4)
    assert place.call("POST", "policy/forecast", user=ADMIN, json={}).status_code == 202
    forecast = wait_for(lambda: (now := read(place, "policy/forecast"))["made_at"] and not now["is_running"] and now, "the forecast is made", 90)
    assert (forecast["trouble"], forecast["gpus"]) == ("", 4)
    assert set(forecast["policies"]) <= {"in_force", "shipped"}
