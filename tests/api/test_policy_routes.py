"""The policy over REST: everybody reads it, an admin applies one, and what runs for a class is told when it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.storage.policies import PolicyStore
from aiplatform_hub.web.no_breaks import NO_BREAK
from tests.support.hub import ADMIN, wait_for


@pytest.fixture
def shipped(place):
    """Every process follows what is shipped, before and after."""
    yield place
    place.call("PUT", "policy", user=ADMIN, json={"document": ""}).raise_for_status()


def page(place, user, address):
    """Return a page as a person who logs in sees it."""
    answer = place.hub.browser(user).session.get(f"{place.hub.url}/services/platform/{address}", timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.text


def current(place, user="user2"):
    return place.call("GET", "policy", user=user).json()


def test_everybody_reads_the_numbers_in_plain_names_with_their_units(shipped):
    found = current(shipped)
    numbers = found["numbers"]
    assert (numbers["session_cap_seconds"], numbers["idle_after_seconds"], numbers["half_life_seconds"]) == (21600, 600, 259200)
    assert (numbers["is_fair"], numbers["project_limits"], numbers["reservations"]) == (True, {}, [])


def test_admin_applies_a_policy_that_counts_at_once_and_is_audited(shipped):
    before = current(shipped)["version"]
    answer = shipped.call(
        "PUT", "policy", user=ADMIN, json={"document": "session_cap: never\nproject_limits: {personal: 3}\ntier_inactive_after: {default: never}\n"}
    )
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["version"] > before
    assert (found["numbers"]["session_cap_seconds"], found["numbers"]["project_limits"]) == (None, {"personal": 3})
    assert found["numbers"]["tier_inactive_after_seconds"] == {"default": None}
    assert found["applied_at"].endswith("Z")
    assert wait_for(lambda: current(shipped) == found, "everybody sees it")
    assert any((e.action, e.actor, e.target) == ("apply_policy", ADMIN, f"policy:{found['version']}") for e in shipped.audit())


def test_wrong_document_is_refused_with_every_reason_and_changes_nothing(shipped):
    before = current(shipped)
    answer = shipped.call("PUT", "policy", user=ADMIN, json={"document": "sesion_cap: 9h\nidle_after: 1min\nproject_shares: {nobody: 2}\n"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_option")
    reasons = answer.json()["reasons"]
    assert [reason["message"][:11] for reason in reasons] == ["document:1:", "document:2:", "document:3:"]
    assert {reason["field"] for reason in reasons} == {"document"}
    assert "nobody" in reasons[2]["message"]
    assert "personal" in reasons[2]["message"]
    for body in ({}, {"document": 3}, {"document": "", "force": True}):
        assert shipped.call("PUT", "policy", user=ADMIN, json=body).status_code == 400
    assert current(shipped) == before


def test_session_is_told_at_its_launch_when_it_ends_for_a_class(shipped):
    start = datetime.now(UTC).replace(microsecond=0, second=0) + timedelta(hours=2)
    window = f"reservations:\n- {{project: course, gpus: 4, start: {isoformat(start)}, end: {isoformat(start + timedelta(hours=1))}}}\n"
    with shipped.hub.factory.database.write() as connection:  # as applied before the project left the catalogue
        PolicyStore().insert(connection, window, at=datetime.now(UTC), by="earlier")
    wait_for(lambda: current(shipped)["numbers"]["reservations"], "the platform follows")
    assert current(shipped)["numbers"]["reservations"][0]["start"] == isoformat(start)
    dry = shipped.call("POST", "decisions", user="user2", json={"environment_template": "trivial", "gpus": 1}).json()
    assert (dry["outcome"], dry["must_end_at"]) == ("admit", isoformat(start))
    launch = page(shipped, "user2", "launch?environment_template=trivial&gpus=1")
    assert f'It ends at <time datetime="{isoformat(start)}">' in launch
    assert "when the class of project course begins" in launch
    assert "It ends at" not in page(shipped, "user2", "launch?environment_template=trivial&gpus=0"), "without GPUs it takes none from the class"
    given = shipped.launch("user2", "told", gpus=1).json()
    assert given["must_end_at"] == isoformat(start)
    for address in ("home", f"sessions/{given['id']}"):
        shown = page(shipped, "user2", address)
        assert "when the class of project course begins" in shown, address
        assert "Ends at the latest" in shown
    admin = page(shipped, ADMIN, "admin")
    assert "GPUs kept for classes" in admin
    assert "user2 (1 GPU)" in admin.replace(NO_BREAK, " ")
    assert "earlier" in admin
    shipped.call("DELETE", f"allocations/{given['id']}", user="user2")


def test_keeper_and_every_door_follow_a_change_without_a_restart(full):
    first = full.holders[0]
    full.call("PUT", "policy", user=ADMIN, json={"document": "project_limits: {personal: 2}\n"}).raise_for_status()
    try:
        full.call("DELETE", f"allocations/{first['id']}", user=first["user"])
        full.wait_state(first["user"], first["id"], "ended")
        queued = full.launch("user0", "limited", gpus=1).json()
        assert queued["state"] == "queued"
        reason = wait_for(
            lambda: (
                (q := full.call("GET", f"allocations/{queued['id']}", user="user0").json()["queue"]) and q["reason"]["code"] == "project_limit" and q["reason"]
            ),
            "the keeper follows",
        )
        assert "policy" in reason["message"]
        refused = full.hub.start_server("user1", "stock", {"environment_template": "trivial", "gpus": 1})
        assert refused.status_code in {409, 429}, "the hub follows"
    finally:
        full.call("PUT", "policy", user=ADMIN, json={"document": ""}).raise_for_status()
    full.wait_state("user0", queued["id"], "active", seconds=60)
    assert wait_for(
        lambda: full.hub.start_server("user1", "stock", {"environment_template": "trivial", "gpus": 1}).status_code in {201, 202}, "the hub follows again"
    )
