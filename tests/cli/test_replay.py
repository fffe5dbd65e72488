"""`aiplatform replay` prints a moment of the queue and says whether it would be decided so today."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from aiplatform_hub.cli.main import main
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import GpuDevice, ServerKey
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import upgrade
from aiplatform_hub.storage.schema import queue_snapshots

AT = datetime(2026, 11, 28, 14, 30, tzinfo=UTC)


@pytest.fixture
def factory(tmp_path):
    """One person holds the only two GPUs, another waits for one of them; the hub is not running."""
    (tmp_path / "data").mkdir()
    made = Factory(Settings(data_dir=tmp_path / "data"), lambda: AT)
    upgrade(made.settings.resolved_database_url)
    made.enforcer.register_devices([GpuDevice(f"GPU-{number}", "h100", 80 * GIB, index=number) for number in range(2)], 256 * GIB, 32)
    hold(made, 1, 2)
    hold(made, 2, 1)
    made.dispatcher.dispatch({"name2": Caller(2, "name2")})
    made.queue_memory.store()
    yield made
    made.close()


def hold(factory, user, gpus):
    request = LaunchRequest("pytorch", gpus, "h100", GIB, 1, "personal", "personal")
    return factory.enforcer.hold(Caller(user, f"name{user}"), request, ServerKey(user, f"server{user}"), door="rest", actor="x", may_wait=True)


def run(factory, at, *options):
    return CliRunner().invoke(main, ["replay", "--at", at, "--data-dir", str(factory.settings.data_dir), *options])


def test_queue_of_a_moment_is_shown_and_decided_again(factory):
    done = run(factory, "2026-11-28T15:31+01:00")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("The pass at 2026-11-28 14:30:00 UTC: 1 running with GPUs, 1 waiting for GPUs.\n")
    assert "name1" in done.stdout
    assert "server2" in done.stdout
    assert "gpus_taken" in done.stdout
    assert done.stdout.endswith("The same inputs give the same plan today.\n")
    values = json.loads(run(factory, "2026-11-28T14:31", "--json").stdout)
    assert (values["at"], values["agrees"]) == ("2026-11-28T14:30:00.000000Z", True)
    assert values["plan"] == values["replayed_plan"]


def test_another_plan_is_said_and_is_exit_code_1(factory):
    with factory.database.write() as connection:
        row = connection.execute(select(queue_snapshots.c.id, queue_snapshots.c.entries)).one()
        plan = row.entries["plan"]
        other = {"plan": {**plan, "decisions": [[id_, place, "reserved", *rest] for id_, place, _, *rest in plan["decisions"]]}}
        connection.execute(update(queue_snapshots).where(queue_snapshots.c.id == row.id).values(entries=other))
    done = run(factory, "2026-11-28T14:31")
    assert done.exit_code == 1
    assert "Today the same inputs give another plan" in done.stdout


@pytest.mark.parametrize(
    ("at", "code", "sentence"), [("2026-11-28T14:29", 1, "the first pass that is remembered was at"), ("yesterday", 2, "is no time. Write for example")]
)
def test_time_without_a_pass_or_that_is_none_is_refused(factory, at, code, sentence):
    done = run(factory, at)
    assert done.exit_code == code
    assert sentence in done.output
