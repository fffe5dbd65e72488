"""A person who is renamed in the hub while they wait keeps their place; ids are told to nobody who may not read users."""

from __future__ import annotations

import pytest

from tests.support.hub import ADMIN, wait_for


@pytest.fixture
def renamed(full):
    """Rename user7 while the test runs."""

    def rename(old, new):
        full.hub.api("PATCH", f"users/{old}", user=ADMIN, json={"name": new}).raise_for_status()

    yield rename
    full.stop_everything()
    rename("user7-married", "user7")


def test_renamed_person_keeps_their_place_and_is_started(full, renamed):
    queued = full.launch("user7", "moved", gpus=2).json()
    assert queued["state"] == "queued"
    renamed("user7", "user7-married")
    found = wait_for(
        lambda: (a := full.call("GET", f"allocations/{queued['id']}", user=ADMIN).json())["user"] == "user7-married" and a, "it follows its owner", 60
    )
    assert (found["state"], found["requested_at"]) == ("queued", queued["requested_at"])
    assert "renamed" in [step["cause"] for step in found["history"]]
    holder = full.holders[0]
    full.call("DELETE", f"allocations/{holder['id']}", user=holder["user"])
    active = full.wait_state(ADMIN, queued["id"], "active", seconds=60)
    assert active["url"] == "/user/user7-married/moved/"


def test_ids_are_told_to_those_who_read_everybody_only(full):
    who = full.hub.api("GET", "aiplatform/users/user2", user=ADMIN).json()
    assert full.hub.api("GET", f"aiplatform/user-ids/{who['id']}", user=ADMIN).json() == who
    assert full.hub.api("GET", "aiplatform/user-ids/999999", user=ADMIN).status_code == 404
    assert full.hub.api("GET", f"aiplatform/user-ids/{who['id']}", user="user2").status_code == 403, "not even one's own: a filter names no ids"
