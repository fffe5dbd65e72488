"""Credits on a live hub: who reads them, who gives them, on the page and on the command line."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.hub import ADMIN

BODY = {"scope": "person", "name": "user3", "amount": "5", "currency": "EUR", "reason": "a try"}


def credits_of(place, user):
    return place.call("GET", "credits", user=user).json()["items"]


def test_each_sees_what_pays_for_them_and_home_says_what_is_left(place):
    given = place.call("POST", "credits", user=ADMIN, json={**BODY, "expires_at": "2099-01-01T00:00:00Z"})
    assert given.status_code == 201, given.text
    credit = given.json()
    assert (credit["left"], credit["state"]) == ("5", "active")
    assert [one["id"] for one in credits_of(place, "user3")] == [credit["id"]]
    assert credits_of(place, "user4") == []
    home = place.call("GET", "../../home", user="user3").text.replace("\xa0", " ").replace("&nbsp;", " ")
    assert "5.00 EUR left of 5.00 EUR" in home
    assert "expires on 2099-01-01" in home
    page = place.call("GET", "../../admin/credits", user=ADMIN).text
    assert "user3" in page
    assert credit["id"] in page
    assert place.call("GET", "../../admin/credits", user="user3").status_code == 404
    assert place.call("DELETE", f"credits/{credit['id']}", user=ADMIN).status_code == 204
    assert place.call("DELETE", f"credits/{credit['id']}", user=ADMIN).status_code == 409
    assert credits_of(place, "user3") == []
    assert "ended" in {one["state"] for one in credits_of(place, ADMIN)}


def test_who_belongs_to_a_project_for_a_span_sees_its_credits(place):
    credit = place.call("POST", "credits", user=ADMIN, json={**BODY, "scope": "project", "name": "vision", "amount": "7"}).json()
    assert credits_of(place, "user9") == []
    member = place.call("POST", "memberships", user=ADMIN, json={"user": "user9", "project": "vision", "reason": "a term"}).json()
    assert [one["id"] for one in credits_of(place, "user9")] == [credit["id"]]
    assert "7.00 EUR left of 7.00 EUR" in place.call("GET", "../../home", user="user9").text.replace("\xa0", " ").replace("&nbsp;", " ")
    assert place.call("DELETE", f"memberships/{member['id']}", user=ADMIN).status_code == 200
    assert credits_of(place, "user9") == []
    assert place.call("DELETE", f"credits/{credit['id']}", user=ADMIN).status_code == 204


def test_the_page_gives_keeps_what_was_typed_and_ends(place):
    address = f"{place.hub.url}/services/platform/admin/credits"
    session = place.hub.browser(ADMIN).session
    xsrf = re.findall(r'name="xsrf" content="([^"]+)"', session.get(address, timeout=30).text)[0]
    fields = {"_xsrf": xsrf, "scope": "person", "name": "user9", "amount": "7", "currency": "EUR", "priority": "5", "reason": "by page"}
    refused = session.post(address, data={**fields, "amount": "seven <b>"}, timeout=30)
    assert (refused.status_code, "seven &lt;b&gt;" in refused.text, "Write the amount as a number" in refused.text) == (400, True, True)
    assert credits_of(place, "user9") == []
    assert "The credit is given." in session.post(address, data={**fields, "expires_at": "2099-01-01T00:00"}, timeout=30).text
    (credit,) = credits_of(place, "user9")
    assert (credit["left"], credit["priority"], credit["expires_at"]) == ("7", 5, "2099-01-01T00:00:00.000000Z")
    assert "The credit has ended." in session.post(f"{address}/{credit['id']}/end", data={"_xsrf": xsrf}, timeout=30).text
    assert session.post(f"{address}/{credit['id']}/end", data={"_xsrf": xsrf}, timeout=30).status_code == 409


def test_it_is_given_listed_and_ended_on_the_command_line(place):
    def typed(*words, user=ADMIN):
        command, environment = place.typed("credits", *words, user=user)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    made = typed("grant", "person", "user5", "12.50", "EUR", "--expires", "2099-01-01", "--reason", "a course")
    assert made.returncode == 0, made.stderr
    number = made.stdout.rsplit(" ", 1)[1].strip()
    assert "12.50" in typed("list", user="user5").stdout
    assert "admin:servers" in typed("grant", "person", "user6", "1", "EUR", "--reason", "x", user="user5").stderr
    assert typed("end", number).returncode == 0
    assert "No credit applies to you." in typed("list", user="user5").stdout


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": "-1"}, "amount"),
        ({"amount": "x"}, "amount"),
        ({"currency": "USD"}, "currency"),
        ({"scope": "galaxy"}, "scope"),
        ({"starts_at": "2020-01-01T00:00:00Z"}, "starts_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"priority": "1"}, "priority"),
    ],
)
def test_wrong_credits_are_refused_by_field(place, change, field):
    answer = place.call("POST", "credits", user=ADMIN, json={**BODY, "name": "user7", **change})
    assert (answer.status_code, answer.json()["reasons"][0]["field"]) == (400, field)
    assert credits_of(place, "user7") == []
