"""Fifty starts at once by ten people, over every door: exactly the machine's four GPUs are granted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.hub import TRIVIAL, wait_for

USERS = tuple(f"user{number}" for number in range(10))
OPTIONS = {"environment_template": TRIVIAL, "gpus": 1}
REFUSALS = {409, 429, 503}


@pytest.fixture
def clean(kept):
    kept.stop_everything()
    yield kept
    kept.stop_everything()


def test_fifty_parallel_starts_over_all_doors_get_exactly_the_capacity(clean):
    place, hub = clean, clean.hub
    browsers = {user: hub.browser(user) for user in USERS}
    for user in USERS:
        hub.api("PUT", f"users/{user}/servers/stored", user=user, json={"user_options": OPTIONS})
    doors = {
        "our REST": lambda user: place.launch(user, "rest", gpus=1, if_full="fail"),
        "our REST, named by us": lambda user: place.launch(user, gpus=1, if_full="fail"),
        "the hub's REST": lambda user: hub.start_server(user, "hub", OPTIONS),
        "the hub's REST with stored options": lambda user: hub.start_server(user, "stored"),
        "the spawn page": lambda user: browsers[user].post(f"/hub/spawn/{user}/page", {"environment_template": TRIVIAL, "gpus": "1"}),
    }
    with ThreadPoolExecutor(50) as pool:
        pairs = [(door, user) for door in doors for user in USERS]
        answers = list(pool.map(lambda pair: (*pair, doors[pair[0]](pair[1])), pairs))
    codes = {(door, answer.status_code) for door, _, answer in answers}
    assert {code for _, code in codes} <= {201, 202, 302, *REFUSALS}, codes
    for door, _, answer in answers:
        if door.startswith("our REST") and answer.status_code in REFUSALS:
            assert answer.json()["detail"], door
            assert answer.status_code == 503 or answer.json()["reasons"], door
    wait_for(lambda: not any(s["pending"] for u in USERS for s in hub.api("GET", f"users/{u}").json()["servers"].values()), "all are decided", 60, 1)
    granted = hub.open_allocations()
    devices = [device for allocation in granted for device in allocation.devices]
    assert len(devices) == len(set(devices)) == sum(allocation.request.gpus for allocation in granted) == 4, codes
    # A busy hub may let a start's request time out: the hold that it leaves behind is the keeper's to end.
    wait_for(lambda: all(a.starting_at for a in hub.open_allocations()), "every hold is taken up or gone", 90, 1)
    assert {a.id for a in hub.open_allocations()} <= {a.id for a in granted}
