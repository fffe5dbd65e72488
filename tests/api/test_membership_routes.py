"""Memberships on a live hub: given and ended by admins, told to their person, and asked for by each door of a launch."""

from __future__ import annotations

import pytest

from tests.support.hub import ADMIN

BODY = {"user": "user6", "project": "vision", "reason": "a term"}


def mine(place, user="user6"):
    return [(one["project"], one["state"]) for one in place.call("GET", "memberships", user=user).json()["items"]]


def projects(place, user="user6"):
    return [one["name"] for one in place.call("GET", "catalog", user=user).json()["projects"]]


def test_a_membership_lets_its_person_launch_in_the_project_until_it_ends(place):
    assert place.launch("user6", "no-member", project="vision").status_code == 403
    made = place.call("POST", "memberships", user=ADMIN, json=BODY)
    assert (made.status_code, made.json()["state"], made.json()["ends_at"]) == (201, "counts", None), made.text
    assert (mine(place), mine(place, "user7")) == ([("vision", "counts")], [])
    assert projects(place) == ["vision", "personal"]
    held = place.launch("user6", "member", project="vision")
    assert (held.status_code, held.json()["cost_centre"]) == (201, "vision"), held.text
    assert place.wait_ready("user6", held.json()["id"]), "the hub, which checks it anew at the start, knows the membership too"
    assert place.call("POST", "memberships", user=ADMIN, json=BODY).status_code == 409
    page = place.call("GET", "../../admin/projects", user=ADMIN).text
    assert "a term" in page and f"projects/members/{made.json()['id']}/end" in page
    ended = place.call("DELETE", f"memberships/{made.json()['id']}", user=ADMIN)
    assert (ended.json()["state"], ended.json()["ended_by"]) == ("over", ADMIN), ended.text
    assert place.call("GET", f"allocations/{held.json()['id']}", user="user6").json()["state"] == "active", "what runs goes on"
    assert place.launch("user6", "former", project="vision").status_code == 403
    assert place.call("DELETE", f"memberships/{made.json()['id']}", user=ADMIN).status_code == 409
    assert {e.action for e in place.audit() if e.target == "user:user6"} >= {"add_membership", "end_membership"}


def test_it_is_given_listed_and_ended_on_the_command_line(place, typed):
    made = typed("memberships", "add", "user8", "vision", "--from", "2030-01-01", "--until", "2030-07-01", "--reason", "next year", user=ADMIN)
    assert made.returncode == 0, made.stderr
    number = made.stdout.rsplit(" ", 1)[1].strip()
    assert mine(place, "user8") == [("vision", "to_come")]
    assert projects(place, "user8") == ["personal"]
    assert "to come" in typed("memberships", "list", user="user8").stdout
    assert "admin:servers" in typed("memberships", "add", "user8", "vision", "--reason", "me", user="user8").stderr
    assert typed("memberships", "end", number, user=ADMIN).returncode == 0
    assert mine(place, "user8") == [("vision", "over")]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"project": "x"}, "project"),
        ({"user": ""}, "user"),
        ({"ends_at": "2020-01-01"}, "ends_at"),
        ({"starts_at": "soon"}, "starts_at"),
        ({"reason": ""}, "reason"),
    ],
)
def test_wrong_memberships_are_refused_by_field(place, change, field):
    before = mine(place, "user9")
    answer = place.call("POST", "memberships", user=ADMIN, json={**BODY, "user": "user9", **change})
    assert (answer.status_code, answer.json()["reasons"][0]["field"]) == (400, field), answer.text
    assert mine(place, "user9") == before
