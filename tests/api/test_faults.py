"""The hub away, the platform restarted, too many requests: each is told, nothing is changed by half."""

from __future__ import annotations

from uuid import UUID

import pytest
import requests

from tests.support.hub import wait_for


def test_without_a_hub_nothing_is_held_no_stop_is_recorded_and_all_recovers(place):
    held = place.launch("user0", "survivor", gpus=1).json()
    place.wait_state("user0", held["id"], "active")
    place.hub.kill_hub()
    try:
        launched = place.launch("user0", "unborn")
        assert launched.status_code == 503, launched.text
        assert launched.json()["code"] == "service_unavailable"
        assert int(launched.headers["Retry-After"]) > 0
        stopped = place.call("DELETE", f"allocations/{held['id']}", user="user0")
        assert stopped.status_code == 503, stopped.text
        now = place.hub.allocation(UUID(held["id"]))
        assert (now.server_name, now.stop_cause, now.stop_requested_by) == ("survivor", None, None)
        assert place.call("GET", "capacity", token="f" * 32).status_code == 503, "an unknown token cannot be judged without the hub"
    finally:
        place.hub.start_hub()
    wait_for(lambda: place.call("DELETE", f"allocations/{held['id']}", user="user0").status_code in {202, 204}, "the stop works again")
    assert place.wait_state("user0", held["id"], "ended")["end_cause"] == "stopped_by_user"


def test_a_restarted_platform_ends_in_order_and_goes_on(place):
    answer = requests.get(f"{place.url}events", headers={"Authorization": f"token {place.hub.tokens['user0']}"}, stream=True, timeout=30)
    assert answer.status_code == 200
    assert place.stop() == 0
    place.start()
    assert place.call("GET", "allocations", user="user0").status_code == 200
    with place.hub.factory.database.read() as connection:
        beat = place.hub.factory.heartbeats.find(connection, "platform")
    assert beat is not None
    wait_for(lambda: place.hub.log("platform").count("listens on") >= 1, "its log")


def test_a_database_that_is_gone_is_503_and_comes_back(place):
    file = place.hub.settings.data_dir / "aiplatform.sqlite"
    with place.hub.factory.database.write():
        answer = place.launch("user0", "locked")
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "service_unavailable"
        assert place.call("GET", "capacity", user="user0").status_code == 200, "reading goes on"
    assert file.exists()
    assert place.launch("user0", "unlocked").status_code == 201


@pytest.fixture
def strict(place):
    """The platform with an allowance of 8 reads a minute."""
    place.stop()
    place.start(requests_per_minute=8)
    yield place
    place.stop()
    place.start()


def test_too_many_requests_are_429_with_retry_after_for_that_caller_only(strict):
    statuses = [strict.call("GET", "capacity", user="user5").status_code for _ in range(10)]
    assert statuses == [200] * 8 + [429] * 2
    refused = strict.call("GET", "capacity", user="user5")
    assert refused.json()["code"] == "rate_limited"
    assert int(refused.headers["Retry-After"]) > 0
    assert strict.call("GET", "capacity", user="user6").status_code == 200
    launches = [strict.launch("user5", environment_template="nonsense").status_code for _ in range(4)]
    assert launches == [400, 400, 429, 429]
