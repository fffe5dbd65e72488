"""What admins do over REST with what runs and waits: stop with a message, move up, drain; and the owners read it."""

from __future__ import annotations

import pytest

from tests.support.hub import ADMIN, wait_for


@pytest.fixture
def line(full):
    """Two requests wait for the GPUs that user5 and user6 hold."""
    full.line = [full.launch(user, gpus=2).json() for user in ("user3", "user4")]
    wait_for(lambda: [row["allocation"]["id"] for row in queue(full)] == [one["id"] for one in full.line], "both have their places")
    wait_for(lambda: all("in line" in row["allocation"]["queue"]["reason"]["message"] for row in queue(full)), "the keeper has seen both")
    return full


def queue(place, user=ADMIN):
    return place.call("GET", "queue", user=user).json()["items"]


def why(place, user, allocation):
    return place.call("GET", f"allocations/{allocation['id']}", user=user).json()["queue"]["reason"]["message"]


def acts(place, allocation):
    return [(e.action, e.actor, e.detail.get("reason") or e.detail.get("message")) for e in place.audit() if e.target == f"allocation:{allocation['id']}"]


def test_admin_moves_a_request_up_and_everybody_concerned_reads_why(line):
    first, second = line.line
    answer = line.call("POST", f"allocations/{second['id']}/move-up", user=ADMIN, json={"reason": " an  exam "})
    assert answer.status_code == 200, answer.text
    assert answer.json()["queue"]["moved_up_at"].endswith("Z")
    wait_for(lambda: [row["allocation"]["id"] for row in queue(line)] == [second["id"], first["id"]], "it is next")
    assert f"{ADMIN} moved it to the front of the queue: an exam." in why(line, "user4", second)
    assert "An admin moved another request before it: an exam." in why(line, "user3", first)
    assert line.call("DELETE", f"allocations/{second['id']}/move-up", user=ADMIN).json()["queue"]["moved_up_at"] is None
    wait_for(lambda: [row["allocation"]["id"] for row in queue(line)] == [first["id"], second["id"]], "the usual order is back")
    assert "moved" not in why(line, "user3", first)
    assert sorted(acts(line, second)) == [("move_up", ADMIN, "an exam"), ("undo_move_up", ADMIN, None)]


def test_a_move_without_a_reason_or_by_somebody_else_changes_nothing(line):
    first, second = line.line
    path = f"allocations/{second['id']}/move-up"
    for body, words in (({"reason": "  "}, "Say why"), ({}, "reason"), ({"reason": "x" * 301}, "at most 300"), ({"reason": "a\u0000b"}, "cannot be shown")):
        answer = line.call("POST", path, user=ADMIN, json=body)
        assert (answer.status_code, answer.json()["reasons"][0]["field"]) == (400, "reason"), answer.text
        assert words in answer.json()["detail"]
    assert line.call("POST", path, user="user4", json={"reason": "mine"}).status_code == 403
    admins_reader = line.token(ADMIN, "read:servers", "access:services!service=platform")
    assert line.call("POST", path, token=admins_reader, json={"reason": "mine"}).status_code == 403
    assert [row["allocation"]["id"] for row in queue(line)] == [first["id"], second["id"]]
    wait_for(
        lambda: [e for e in line.audit() if (e.outcome == "refused" and e.action.endswith(f"{path}"[:20])) or "move-up" in e.target], "the refusal is audited"
    )


def test_the_owner_of_a_stopped_session_finds_the_message(full):
    session = full.holders[0]
    answer = full.call("POST", f"allocations/{session['id']}/stop", user=ADMIN, json={"message": "the node is serviced"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["stop_message"] == "the node is serviced"
    found = full.wait_state("user5", session["id"], "ended")
    assert (found["end_cause"], found["stop_message"]) == ("stopped_by_admin", "the node is serviced")

    def told():
        return [n for n in full.call("GET", "notifications", user="user5").json()["items"] if n["kind"] == "stopped" and n["allocation_id"] == session["id"]]

    wait_for(told, "its owner is told")
    assert "They say: “the node is serviced”" in told()[0]["sentences"]
    assert ("stop_session", ADMIN, "the node is serviced") in acts(full, session)
    assert full.call("POST", f"allocations/{session['id']}/stop", user=ADMIN, json={}).status_code == 204


def test_what_is_drained_is_shown_apart_and_nothing_starts_there(kept):
    kept.stop_everything()
    gpus = kept.call("GET", "capacity", user=ADMIN).json()["gpus"]
    session = kept.launch("user5", gpus=1).json()
    on_it = kept.wait_state("user5", session["id"], "active")["devices"][0]
    answer = kept.call("POST", "drains", user=ADMIN, json={"kind": "gpu", "target": on_it, "reason": "a fan"})
    assert answer.status_code == 201, answer.text
    drain = answer.json()
    try:
        assert [(one["user"], one["allocation_id"]) for one in drain["sessions"]] == [("user5", session["id"])]
        again = kept.call("POST", "drains", user=ADMIN, json={"kind": "gpu", "target": on_it, "reason": "a fan"})
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
        kept.call("DELETE", f"allocations/{session['id']}", user="user5")
        kept.wait_state("user5", session["id"], "ended")
        (capacity,) = kept.call("GET", "capacity", user="user3").json()["gpu_types"]
        assert (capacity["drained"], capacity["free"], capacity["unhealthy"]) == (1, len(gpus) - 1, 0)
        assert [gpu["uuid"] for gpu in kept.call("GET", "capacity", user=ADMIN).json()["gpus"] if gpu["is_drained"]] == [on_it]
        (standing,) = kept.call("GET", "drains", user=ADMIN).json()["items"]
        assert (standing["id"], standing["by"], standing["reason"], standing["sessions"]) == (drain["id"], ADMIN, "a fan", [])
        held = [kept.launch(user, gpus=gpu_count).json() for user, gpu_count in (("user5", 2), ("user6", 1))]
        assert on_it not in [uuid for one in held for uuid in one["devices"]]
    finally:
        assert kept.call("DELETE", f"drains/{drain['id']}", user=ADMIN).status_code == 204
        kept.stop_everything()
    assert kept.call("DELETE", f"drains/{drain['id']}", user=ADMIN).status_code == 204
    assert kept.call("GET", "capacity", user="user3").json()["gpu_types"][0]["drained"] == 0
    assert [e.action for e in kept.audit() if e.target == f"gpu:{on_it}"][:2] in (["drain", "undo_drain"], ["undo_drain", "drain"])


def test_pages_of_admins_are_unknown_to_others_and_change_nothing_on_get(line):
    first, second = line.line
    student, admin = (line.hub.browser(user).session for user in ("user3", ADMIN))
    prefix = f"{line.hub.url}/services/platform/admin/"
    for path in ("stop", "extend", "move", "drain", "move/undo", "drain/undo"):
        assert student.get(f"{prefix}{path}?id={second['id']}", timeout=30).status_code == 404
        reply = admin.get(f"{prefix}{path}?id={second['id']}&reason=x&message=x&drain=1", timeout=30)
        assert reply.status_code in {200, 303}, (path, reply.text)
        assert admin.post(f"{prefix}{path}", data={"id": second["id"], "reason": "x", "drain": "1"}, timeout=30).status_code == 403, "without the XSRF token"
    assert [row["allocation"]["id"] for row in queue(line)] == [first["id"], second["id"]]
    assert line.call("GET", "drains", user=ADMIN).json()["items"] == []
