"""What a session did over time, over REST: of its real processes, for those who may see it, until it has ended."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from aiplatform_hub.clients.gpu_samples import SCRIPT_FILE
from aiplatform_hub.factory import Factory
from tests.support.hub import ADMIN


@pytest.fixture(scope="module")
def session(place):
    """A session of user1 with two GPUs, one of which is busy, looked at for three minutes of a clock that runs ahead."""
    found = place.launch("user1", "series", gpus=2).json()
    place.wait_ready("user1", found["id"])
    script = place.hub.settings.data_dir / SCRIPT_FILE
    script.write_text(json.dumps({"0": {"utilisation_percent": 80, "memory_gib": 4}, "1": {"utilisation_percent": 0}}))
    now = datetime.now(UTC)
    moments = [now + timedelta(seconds=15 * number) for number in range(13)]
    ahead = Factory(place.hub.settings, clock=lambda: moments[0])
    while len(moments) > 1:
        ahead.activity_meter.sample()
        moments.pop(0)
    ahead.close()
    yield found | {"until": (now + timedelta(minutes=10)).isoformat()}
    script.unlink()


def series(place, session, **params):
    return place.call("GET", f"allocations/{session['id']}/series", user="user1", params=params)


def test_owner_sees_minutes_of_gpus_and_of_processes(place, session):
    found = series(place, session, to=session["until"]).json()
    assert (found["allocation_id"], found["step_seconds"], found["efficiency"]) == (session["id"], 60, None)
    busy, idle = found["gpus"]
    assert [(gpu["index"], gpu["memory_bytes"] > 0) for gpu in (busy, idle)] == [(0, True), (1, True)]
    assert {(point["mean_utilisation_percent"], point["max_memory_bytes"]) for point in busy["points"]} == {(80, 4 * 1024**3)}
    assert {point["max_utilisation_percent"] for point in idle["points"]} == {0}
    assert 2 <= len(busy["points"]) == len(idle["points"]) <= 3
    measured = found["processes"]
    assert len(measured) >= 2
    assert all(point["max_memory_bytes"] > 1024**2 and point["cpu_cores"] >= 0 for point in measured)
    assert next(span["phase"] for span in found["spans"]) == "starting"


def test_a_span_is_narrowed_and_a_wrong_one_refused(place, session):
    first = series(place, session, to=session["until"]).json()["gpus"][0]["points"][0]["at"]
    later = (datetime.fromisoformat(first) + timedelta(minutes=1)).isoformat()
    narrow = series(place, session, **{"from": first, "to": later}).json()
    assert [point["at"] for point in narrow["gpus"][0]["points"]] == [first]
    for params, field in (({"from": later, "to": first}, "from"), ({"to": "2020-01-01T00:00:00Z"}, "to"), ({"from": "yesterday"}, "from")):
        answer = series(place, session, **params)
        assert (answer.status_code, answer.json()["reasons"][0]["field"]) == (400, field), params


def test_others_are_told_that_there_is_none(place, session):
    path = f"allocations/{session['id']}/series"
    assert place.call("GET", path, user="user2").status_code == 404
    assert place.call("GET", path, token=place.token("user1", "access:services!service=platform")).status_code in {403, 404}
    assert place.call("GET", path).status_code in {401, 403}
    assert place.call("GET", path, user=ADMIN).status_code == 200
    assert place.call("GET", f"allocations/{UUID(int=9)}/series", user="user1").status_code == 404


def test_after_the_end_it_says_how_well_the_gpus_were_used(place, session):
    place.call("DELETE", f"allocations/{session['id']}", user="user1")
    place.wait_state("user1", session["id"], "ended")
    found = series(place, session).json()["efficiency"]
    assert (found["gpus"], found["busy_percent"], found["max_memory_bytes"]) == (2, 40, 4 * 1024**3)
    assert 0 < found["known_seconds"] <= found["ran_seconds"]
    assert found["gpus_needed"] is None, "it ran for less than ten minutes"
