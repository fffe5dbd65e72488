"""What GPUs do, over REST and as typed: each GPU for admins alone, a session's used and idle time for its owner."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest

from aiplatform_hub.clients.gpu_samples import SCRIPT_FILE
from tests.api.place import MONITOR_TOKEN
from tests.support.hub import ADMIN


@pytest.fixture(scope="module")
def session(place):
    """A session of user1 with two GPUs, one of which is busy; a keeper would have looked at them twice."""
    found = place.launch("user1", "working", gpus=2).json()
    place.wait_state("user1", found["id"], "active")
    factory = place.hub.factory
    (place.hub.settings.data_dir / SCRIPT_FILE).write_text(json.dumps({"0": {"utilisation_percent": 80, "memory_gib": 4}, "1": {"utilisation_percent": 1}}))
    for _ in range(2):
        factory.activity_meter.sample()
    factory.reconciler.prove()
    yield found
    (place.hub.settings.data_dir / SCRIPT_FILE).unlink()


def test_an_admin_sees_what_each_gpu_does(place, session):
    for caller in ({"user": ADMIN}, {"token": MONITOR_TOKEN}):
        gpus = place.call("GET", "capacity", **caller).json()["gpus"]
        assert [(gpu["index"], gpu["utilisation_percent"], gpu["memory_used_bytes"], gpu["allocation_id"]) for gpu in gpus] == [
            (0, 80, 4 * 1024**3, session["id"]),
            (1, 1, 0, session["id"]),
            (2, None, None, None),
            (3, None, None, None),
        ]
        assert [gpu["sampled_at"] is None for gpu in gpus] == [False, False, True, True]


def test_others_see_no_single_gpu(place, session):
    assert place.call("GET", "capacity", user="user1").json()["gpus"] == []


def test_usage_is_split_to_the_microsecond(place, session):
    (row,) = place.call("GET", "usage", user="user1", params={"group_by": "allocation", "from": session["requested_at"]}).json()["rows"]
    used, idle, unknown, whole = (Decimal(row[f"{part}gpu_seconds"]) for part in ("used_", "idle_", "unknown_", ""))
    assert used > 0
    assert used + idle + unknown == whole


def test_the_commands_say_it_too(typed, session):
    shown = typed("usage", "--group-by", "allocation").stdout
    assert re.search(r"GPU-HOURS +USED +IDLE +NOT KNOWN +HOURS", shown), shown
    gpus = typed("capacity", user=ADMIN).stdout
    assert re.search(rf"^ *0 +simulated +80 % +4 GiB of 16 GiB +{session['id'][:8]}$", gpus, re.MULTILINE), gpus
    assert re.search(r"^ *3 +simulated +unknown +unknown +-$", gpus, re.MULTILINE), gpus
