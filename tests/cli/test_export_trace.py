"""`aiplatform export-trace` writes what ran here as a trace that `simulate` reads, and says what it cannot know."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select

from aiplatform_hub.cli.main import main
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import EndCause, GpuDevice, ServerKey
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.factory import Factory
from aiplatform_hub.reports.traces import COLUMNS, read_trace
from aiplatform_hub.storage.migrate import upgrade
from aiplatform_hub.storage.schema import activity_intervals, usage_intervals


class Clock:
    """Two days ago at 10:00, until a test moves it."""

    def __init__(self):
        self.now = datetime.now(UTC).replace(hour=10, minute=0, second=0, microsecond=0) - timedelta(days=2)

    def __call__(self):
        return self.now


@pytest.fixture
def factory(tmp_path):
    made = Factory(Settings(data_dir=tmp_path / "data"), Clock())
    (tmp_path / "data").mkdir()
    upgrade(made.settings.resolved_database_url)
    made.enforcer.register_devices([GpuDevice(f"GPU-{number}", "h100", 80 * GIB, index=number) for number in range(4)], 256 * GIB, 32)
    yield made
    made.close()


def ran(factory, user, *, hours=1, gpus=1, server="", is_ended=True):
    request = LaunchRequest("jupyterlab", gpus, "h100", GIB, 1, "personal", "personal")
    held = factory.enforcer.hold(Caller(user, f"name{user}"), request, ServerKey(user, server), door="rest", actor="x")
    factory.meter.started(held.id, factory.clock())
    if is_ended:
        factory.clock.now += timedelta(hours=hours)
        factory.meter.ended(held.id, factory.clock(), EndCause.STOPPED_BY_USER)


def run(factory, *arguments):
    return CliRunner().invoke(main, ["export-trace", *map(str, arguments), "--data-dir", str(factory.settings.data_dir)])


def test_what_ran_is_a_trace_that_can_be_simulated(factory, tmp_path):
    ran(factory, 1, hours=3, gpus=2)
    ran(factory, 2, hours=1)
    file = tmp_path / "lab.csv"
    done = run(factory, file)
    assert (done.exit_code, done.stdout) == (0, ""), done.output
    reading = read_trace(file, capacity_gpus=4, days=3)
    assert reading.problems == ()
    assert [(each.user, each.gpus, each.think_seconds, each.work_seconds) for each in reading.trace.sessions] == [
        ("user00", 2, 10 * 3600, 3 * 3600),
        ("user01", 1, 13 * 3600, 3600),
    ]
    last = done.stderr.splitlines()[-1]
    assert last == f"Simulate them: aiplatform simulate {file} --gpus 4 --days 3"
    simulated = CliRunner().invoke(main, [*last.split()[3:], "--json"])
    assert json.loads(simulated.stdout)["mean"]["useful_fraction"] == pytest.approx(7 / (4 * 72), abs=1e-6)


def test_it_says_what_it_cannot_know(factory, tmp_path):
    ran(factory, 1, server="a", is_ended=False)
    ran(factory, 1, server="b")
    said = run(factory, tmp_path / "lab.csv").stderr
    assert "Sessions: 2, of 1 users, from " in said
    assert "Nothing is known of the utilisation of the GPUs: each session counts as work" in said
    assert "Still running: 1; they count with their length so far." in said
    assert "Overlapping: 1; they began while the same user had another" in said


def test_names_stay_only_where_they_are_asked_for(factory, tmp_path):
    ran(factory, 1)
    run(factory, tmp_path / "lab.csv")
    assert "name1" not in (tmp_path / "lab.csv").read_text()
    run(factory, tmp_path / "lab.csv", "--names")
    assert "name1" in (tmp_path / "lab.csv").read_text()


def test_office_hours_are_those_of_the_time_zone(factory, tmp_path):
    ran(factory, 1)  # asked for at 10:00 UTC
    for zone, last in (("UTC", "1"), ("Europe/Berlin", "1"), ("Asia/Tokyo", "1"), ("America/New_York", "0"), ("Pacific/Auckland", "0")):
        assert run(factory, tmp_path / "lab.csv", "--time-zone", zone).exit_code == 0
        assert (tmp_path / "lab.csv").read_text().splitlines()[1].rpartition(",")[2] == last, zone


def test_standard_output_holds_the_trace_alone(factory):
    ran(factory, 1)
    done = run(factory, "-", "--json")
    assert done.stdout.splitlines()[0] == ",".join(COLUMNS)
    assert len(done.stdout.splitlines()) == 2
    assert "Simulate them: aiplatform simulate FILE --gpus 4" in done.stderr


def test_json_says_the_same_for_programs(factory, tmp_path):
    ran(factory, 1)
    told = json.loads(run(factory, tmp_path / "lab.csv", "--json").stdout)
    starts_at = told.pop("starts_at")
    assert starts_at == f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}T00:00:00.000000Z"
    assert told == {
        "file": str(tmp_path / "lab.csv"), "sessions": 1, "users": 1, "days": 3, "gpus_now": 4,
        "still_running": 0, "overlapping": 0, "is_utilisation_known": False,
        "utilisation_known_fraction": 0.0,
    }  # fmt: skip


def test_idle_time_is_told_where_it_is_known(factory, tmp_path):
    ran(factory, 1, hours=4)
    with factory.database.write() as connection:
        interval = connection.execute(select(usage_intervals)).one()
        begin = {"allocation_id": interval.allocation_id, "samples": 1, "activity": "idle", "started_at": interval.started_at}
        end = interval.started_at + timedelta(hours=1)
        connection.execute(insert(activity_intervals).values(**begin, ended_at=end, last_seen_at=end))
    told = json.loads(run(factory, tmp_path / "lab.csv", "--json").stdout)
    assert (told["is_utilisation_known"], told["utilisation_known_fraction"]) == (True, 0.25)
    (session,) = read_trace(tmp_path / "lab.csv", capacity_gpus=4, days=3).trace.sessions
    assert (session.work_seconds, session.idle_tail_seconds) == (3 * 3600, 3600)
    assert "known for 25.0% of their time; the rest counts as work" in run(factory, tmp_path / "lab.csv").stderr


def test_a_session_larger_than_what_is_left_can_be_simulated_all_the_same(factory, tmp_path):
    ran(factory, 1, gpus=2)
    factory.enforcer.register_devices([GpuDevice("GPU-0", "h100", 80 * GIB)], 256 * GIB, 32)
    assert "--gpus 2 " in run(factory, tmp_path / "lab.csv").stderr


def test_nothing_to_tell_writes_nothing(factory, tmp_path):
    done = run(factory, tmp_path / "lab.csv")
    assert (done.exit_code, "Nobody had a session with GPUs in the last 28 days" in done.stderr) == (1, True)
    assert "of type l4" in run(factory, tmp_path / "lab.csv", "--gpu-type", "l4").stderr
    assert not (tmp_path / "lab.csv").exists()


@pytest.mark.parametrize(
    ("zone", "words"), [("Europe/Berlim", "did you mean Europe/Berlin?"), ("../../etc/passwd", "unknown time zone"), ("", "unknown time zone")]
)
def test_an_unknown_time_zone_is_wrong_use(factory, tmp_path, zone, words):
    done = run(factory, tmp_path / "lab.csv", "--time-zone", zone)
    assert (done.exit_code, words in done.stderr) == (2, True)


def test_what_cannot_be_written_is_said_in_one_line(factory, tmp_path):
    ran(factory, 1)
    done = run(factory, tmp_path / "absent" / "lab.csv")
    assert (done.exit_code, "Cannot write" in done.stderr, "No such file" in done.stderr) == (2, True, True)


def test_no_installation_is_a_configuration_error(tmp_path):
    done = CliRunner().invoke(main, ["export-trace", "lab.csv", "--data-dir", str(tmp_path / "absent")])
    assert (done.exit_code, "There is no data directory" in done.stderr) == (2, True)
