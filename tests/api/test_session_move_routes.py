"""Moving an ended session to another project on a live hub: by REST, command and page; only by admins, and its owner can see it."""

from __future__ import annotations

import pytest

from tests.support.hub import ADMIN


@pytest.fixture(scope="module")
def ended(place):
    """A session of user4 that ran and is over."""
    held = place.launch("user4", "wrong-project").json()
    place.wait_ready("user4", held["id"])
    place.call("DELETE", f"allocations/{held['id']}", user="user4")
    place.wait_state("user4", held["id"], "ended")
    return held["id"]


def page(place, path, user=ADMIN):
    return place.call("GET", f"../../{path}", user=user)


def test_a_session_is_moved_after_a_look_at_what_it_changes(place, ended, typed):
    assert page(place, f"sessions/{ended}/move", user="user4").status_code == 404, "the page is for admins"
    assert 'id="move"' not in page(place, f"sessions/{ended}", user="user4").text
    assert 'id="move"' in page(place, f"sessions/{ended}").text
    dry = place.call("POST", f"allocations/{ended}/move", user=ADMIN, json={"project": "vision", "dry_run": True})
    assert (dry.status_code, dry.json()["is_done"]) == (200, False), dry.text
    (amount,) = dry.json()["amounts"]
    assert set(amount) == {"month", "currency", "before", "after"}
    shown = page(place, f"sessions/{ended}/move?project=vision").text
    assert "What it changes" in shown and amount["month"] in shown
    assert place.call("GET", f"allocations/{ended}/moves", user="user4").json() == {"items": []}, "a look writes nothing"
    assert place.call("POST", f"allocations/{ended}/move", user=ADMIN, json={"project": "vision"}).json()["reasons"][0]["field"] == "reason"
    assert place.call("POST", f"allocations/{ended}/move", user=ADMIN, json={"project": "x", "reason": "y"}).json()["reasons"][0]["field"] == "project"
    done = place.call("POST", f"allocations/{ended}/move", user=ADMIN, json={"project": "vision", "reason": "it was theirs"})
    assert (done.status_code, done.json()["is_done"], done.json()["move"]["target"]) == (201, True, {"project": "vision", "cost_centre": "vision"})
    (move,) = place.call("GET", f"allocations/{ended}/moves", user="user4").json()["items"]
    assert (move["source"]["project"], move["moved_by"], move["reason"]) == ("personal", ADMIN, "it was theirs")
    told = page(place, f"sessions/{ended}", user="user4").text
    assert "Charged to vision, cost centre vision, and no longer to personal, cost centre personal: it was theirs" in told
    assert "taken back from personal" in told and "charged to vision" in told
    assert place.call("POST", f"allocations/{ended}/move", user=ADMIN, json={"project": "vision", "reason": "again"}).status_code == 409
    assert [e for e in place.audit() if e.action == "move_session" and e.actor == ADMIN and ended in e.target]
    back = typed("sessions", "move", ended[:8], "personal", "--dry-run", user=ADMIN)
    assert (back.returncode, "Nothing was changed." in back.stdout) == (0, True), back.stderr
    back = typed("sessions", "move", ended, "personal", "--reason", "after all", user=ADMIN)
    assert "From vision (vision) to personal (personal)." in back.stdout, back.stderr
    listed = typed("sessions", "moves", ended, user="user4").stdout
    assert "it was theirs" in listed and "after all" in listed
    assert "admin:servers" in typed("sessions", "move", ended, "vision", "--reason", "mine", user="user4").stderr
