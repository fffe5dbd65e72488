"""What people are told, over REST, stream, pages and command line: their own only."""

from __future__ import annotations

import json
import re

import pytest
import requests

from tests.api.place import MONITOR_TOKEN, PREFIX
from tests.api.test_events import stream
from tests.api.test_rights import Visitor
from tests.support.hub import ADMIN, wait_for


def told(place, user, **parameters):
    return place.call("GET", "notifications", user=user, params=parameters).json()["items"]


@pytest.fixture
def granted(full):
    """What user0 had waited for runs, and they were told."""
    allocation = full.launch("user0", "patient", gpus=2).json()
    assert allocation["state"] == "queued"

    def mine():
        return [entry for entry in told(full, "user0") if entry["allocation_id"] == allocation["id"]]

    with stream(full, "user0") as opened:
        full.call("DELETE", f"allocations/{full.holders[0]['id']}", user="user5")
        wait_for(mine, "it is told", 60)
        (notice,) = mine()
        wait_for(lambda: [m for m in opened.messages if m["kind"] == "notification" and m["newest_id"] >= notice["id"]], "the stream tells of it", 60)
    return full, allocation, notice


def test_turn_is_told_and_dismissed(granted):
    place, allocation, notice = granted
    assert (notice["kind"], notice["subject"], notice["is_current"], notice["dismissed_at"]) == (
        "turn_came",
        "Your turn has come: Trivial (patient)",
        True,
        None,
    )
    ready_at = place.wait_state("user0", allocation["id"], "active")["ready_at"]
    assert ready_at < notice["until"]
    assert "Open it by " in notice["sentences"][1]
    path = f"notifications/{notice['id']}/dismiss"
    for user, status in (("user1", 404), (ADMIN, 404)):
        assert place.call("POST", path, user=user).status_code == status
        assert notice["id"] not in {entry["id"] for entry in told(place, user)}
    assert place.call("POST", path, token=place.token("user0", "read:servers!user=user0")).status_code == 403
    assert told(place, "user0")[0]["is_current"]
    for _ in range(2):
        answer = place.call("POST", path, user="user0")
        assert answer.status_code == 200
        assert answer.json()["dismissed_at"]
    assert not told(place, "user0")[0]["is_current"]
    assert place.call("GET", "notifications", token=MONITOR_TOKEN).json() == {"items": [], "next_cursor": None}


def test_list_has_pages_and_refuses_nonsense(granted):
    place, _, _ = granted
    newest = told(place, "user0")
    page = place.call("GET", "notifications", user="user0", params={"limit": 1}).json()
    assert [entry["id"] for entry in page["items"]] == [newest[0]["id"]]
    rest = told(place, "user0", cursor=page["next_cursor"] or newest[0]["id"])
    assert [entry["id"] for entry in rest] == [entry["id"] for entry in newest[1:]]
    for parameters in ({"limit": 0}, {"limit": 201}, {"limit": "x"}, {"cursor": "-1"}):
        assert place.call("GET", "notifications", user="user0", params=parameters).status_code == 400
    assert place.call("POST", "notifications/99999999/dismiss", user="user0").status_code == 404


def test_every_page_shows_it_until_it_is_dismissed_also_without_scripts(granted):
    place, allocation, notice = granted
    visitor, home = Visitor(place, "user0"), f"{place.hub.url}{PREFIX}"
    for page in ("home", "launch", "usage", f"sessions/{allocation['id']}"):
        html = visitor.session.get(f"{home}{page}", timeout=30).text
        assert f'data-notice="{notice["id"]}"' in html, page
        assert f'<time datetime="{notice["until"]}">' in html
    others = Visitor(place, "user1")
    assert f'data-notice="{notice["id"]}"' not in others.session.get(f"{home}home", timeout=30).text
    address = f"{home}notifications/{notice['id']}/dismiss"
    assert others.session.post(address, data={"_xsrf": others.xsrf, "back": f"{PREFIX}usage"}, timeout=30).status_code == 200
    assert visitor.session.post(address, data={"back": f"{PREFIX}usage"}, timeout=30).status_code == 403, "without the token"
    assert visitor.session.get(address, timeout=30).status_code == 200
    assert told(place, "user0")[0]["is_current"], "nobody else dismisses it, and no GET does"
    answer = visitor.session.post(address, data={"_xsrf": visitor.xsrf, "back": f"{PREFIX}usage"}, timeout=30)
    assert answer.url.endswith(f"{PREFIX}usage")
    assert f'data-notice="{notice["id"]}"' not in answer.text
    elsewhere = visitor.session.post(address, data={"_xsrf": visitor.xsrf, "back": "//evil.example/"}, timeout=30, allow_redirects=False)
    assert elsewhere.headers["Location"] == f"{PREFIX}home"


def test_fragment_is_the_inbox_alone(granted):
    place, _, notice = granted
    visitor = Visitor(place, "user0")
    html = visitor.session.get(f"{place.hub.url}{PREFIX}notifications", timeout=30).text
    assert "<main" not in html
    assert f'data-notice="{notice["id"]}"' in html
    assert int(re.search(r'data-newest="(\d+)"', html).group(1)) >= notice["id"]
    assert requests.get(f"{place.hub.url}{PREFIX}notifications", timeout=30, allow_redirects=False).status_code == 302


def test_command_shows_and_dismisses(granted, typed):
    _, _, notice = granted
    shown = typed("notifications", user="user0")
    assert shown.returncode == 0, shown.stderr
    assert "Your turn has come: Trivial (patient)" in shown.stdout
    assert "Open it by " in shown.stdout
    assert json.loads(typed("notifications", "--json", user="user0").stdout)[0]["id"] == notice["id"]
    assert typed("notifications", "--dismiss", str(notice["id"]), user="user1").returncode == 1
    dismissed = typed("notifications", "--dismiss", str(notice["id"]), user="user0")
    assert (dismissed.returncode, dismissed.stdout) == (0, "Dismissed: Your turn has come: Trivial (patient)\n")
    ids = [line.split()[0] for line in typed("notifications", user="user0").stdout.splitlines() if line.strip()]
    assert str(notice["id"]) not in ids, "the first column is the id; a date may hold the same digits"
    assert str(notice["id"]) in typed("notifications", "--all", user="user0").stdout
