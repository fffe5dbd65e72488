"""The keeper looks at the GPUs by itself, and one that was killed leaves no idleness behind that nobody saw."""

from __future__ import annotations

import json
import shutil
import sys
import time
from itertools import pairwise

import pytest
from sqlalchemy import select

from aiplatform_hub.clients.gpu_samples import SCRIPT_FILE
from aiplatform_hub.config import arguments_of
from aiplatform_hub.storage.schema import activity_intervals
from tests.keeper.test_keeper_process import metric
from tests.support.machine import REPOSITORY, Machine

QUICK = REPOSITORY / "tests" / "faults" / "quick_keeper.py"
"""Looks every 1.5 s."""
PATIENCE_SECONDS = 60


@pytest.fixture
def quick(database_url):
    made = Machine(database_url=database_url)
    yield made
    made.close()
    shutil.rmtree(made.folder, ignore_errors=True)


def eventually(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.1)
    return found


def say(machine, **percents):
    """Let the simulated GPUs do this from now on."""
    uses = {number: {"utilisation_percent": percent, "memory_gib": 2} for number, percent in percents.items()}
    new = machine.settings.data_dir / "new"
    new.write_text(json.dumps({name.removeprefix("gpu"): use for name, use in uses.items()}))
    new.replace(machine.settings.data_dir / SCRIPT_FILE)


def rows(machine, allocation):
    statement = select(activity_intervals).where(activity_intervals.c.allocation_id == allocation.id).order_by(activity_intervals.c.started_at)
    with machine.factory.database.read() as connection:
        return connection.execute(statement).all()


def last(machine, allocation):
    found = rows(machine, allocation)
    return found[-1].activity if found else None


def idle_since(machine):
    with machine.factory.database.read() as connection:
        return machine.factory.activity.idle_since(connection, machine.factory.clock())


def start_keeper(machine):
    return machine.start_program([sys.executable, str(QUICK), *arguments_of(machine.settings)])


def test_use_and_idleness_are_recorded_until_the_session_ends(quick):
    say(quick, gpu0=80, gpu1=0, gpu2=0, gpu3=0)
    keeper = start_keeper(quick)
    session = quick.start(gpus=2)
    eventually(lambda: last(quick, session) == "used", "one of its GPUs is busy")
    assert idle_since(quick) == {}
    say(quick, gpu0=0, gpu1=0, gpu2=0, gpu3=0)
    eventually(lambda: session.id in idle_since(quick), "all of its GPUs are idle")
    quick.stop(session)
    eventually(lambda: rows(quick, session)[-1].ended_at is not None, "the record ends with the session")
    (usage,) = [one for one in quick.intervals() if one.allocation_id == session.id]
    assert usage.ended_at is not None
    assert max(row.ended_at for row in rows(quick, session)) <= usage.ended_at
    assert keeper.poll() is None
    assert idle_since(quick) == {}


def test_a_killed_keeper_and_a_silent_gpu_leave_no_idleness(quick):
    say(quick, gpu0=0, gpu1=0, gpu2=0, gpu3=0)
    keeper = start_keeper(quick)
    session = quick.start(gpus=2)
    eventually(lambda: session.id in idle_since(quick), "idle")
    keeper.kill()
    keeper.wait(10)
    proof = rows(quick, session)[-1].last_seen_at
    say(quick, gpu0=0)
    start_keeper(quick)
    eventually(lambda: last(quick, session) == "unknown", "one of its GPUs says nothing")
    assert idle_since(quick) == {}
    say(quick, gpu0=0, gpu1=0)
    since = eventually(lambda: idle_since(quick).get(session.id), "idle again")
    assert since > proof
    found = rows(quick, session)
    assert all(a.ended_at == b.started_at for a, b in pairwise(found)), "no time is left out, and none counts twice"


def test_prometheus_is_told_what_each_gpu_does_and_of_nobody(machine):
    say(machine, gpu0=42)
    machine.start_keeper()
    eventually(lambda: _metric(machine, "aiplatform_gpu_utilisation_percent", 0) == 42, "the gauge moves")
    assert metric(machine, 'aiplatform_gpu_memory_used_bytes{gpu="0",gpu_type="simulated"}') == 2 * 1024**3
    silent = metric(machine, 'aiplatform_gpu_utilisation_percent{gpu="1",gpu_type="simulated"}')
    assert silent != silent, "NaN: nobody knows"  # noqa: PLR0124


def _metric(machine, name, gpu):
    try:
        return metric(machine, f'{name}{{gpu="{gpu}",gpu_type="simulated"}}')
    except (OSError, TypeError):  # not listening yet, or not there yet
        return None
