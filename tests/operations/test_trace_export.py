"""An installation's history as a trace: what ran on GPUs, whoever asked when, and nothing is written."""

from __future__ import annotations

from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.errors import QuotaExceededError
from aiplatform_hub.operations import trace_export
from aiplatform_hub.operations.trace_export import ExportQuery, TraceExporter
from aiplatform_hub.storage.activity_sums import ActivitySums
from aiplatform_hub.storage.schema import activity_intervals, metadata
from tests.support.chain import NOON, Chain, person, want


@pytest.fixture
def exporter(chain: Chain) -> TraceExporter:
    return TraceExporter(database=chain.database, allocations=chain.allocations, devices=chain.devices, activity=ActivitySums(), clock=chain.clock)


def ran(chain, user, *, waits=0, hours=1, request=None, name="", cause=EndCause.STOPPED_BY_USER):
    """Let a session of a person start after some hours, and end."""
    held = chain.hold(person(user), name, request or want(1))
    chain.meter.started(held.id, chain.clock.move(hours=waits))
    chain.meter.ended(held.id, chain.clock.move(hours=hours), cause)
    return held


def sessions(exporter, days=7, **query):
    return exporter.export(ExportQuery(days, UTC, **query)).demand.sessions


def test_sessions_are_told_from_request_start_and_end(chain, exporter):
    ran(chain, 1, waits=0.5, hours=2, request=want(2))
    chain.clock.move(hours=3)
    ran(chain, 1, hours=1)
    exported = exporter.export(ExportQuery(7, UTC))
    assert [(each.think_seconds, each.gpus, each.work_seconds, each.idle_tail_seconds) for each in exported.demand.sessions] == [
        (12 * 3600, 2, 2 * 3600, 0),
        (3 * 3600, 1, 3600, 0),
    ]
    assert (exported.start, exported.days, exported.gpus_now, exported.still_running) == (NOON.replace(hour=0), 1, 4, 0)


def did(chain, allocation, *stretches):
    """Record what a session's GPUs did, one stretch after the other, in hours."""
    at = chain.find(allocation).started_at
    for activity, hours in stretches:
        end = at + timedelta(hours=hours)
        values = {"allocation_id": allocation.id, "activity": activity, "started_at": at, "ended_at": end, "last_seen_at": end, "samples": 1}
        with chain.database.write() as connection:
            connection.execute(insert(activity_intervals).values(values))
        at = end


def test_what_was_idle_is_the_end_of_a_session_and_the_unknown_is_work(chain, exporter):
    held = ran(chain, 1, hours=8, request=want(2))
    did(chain, held, ("used", 3), ("idle", 1), ("unknown", 2), ("idle", 1))
    ran(chain, 2, hours=4, request=want(1))
    exported = exporter.export(ExportQuery(7, UTC))
    assert [(each.work_seconds, each.idle_tail_seconds) for each in exported.demand.sessions] == [(6 * 3600, 2 * 3600), (4 * 3600, 0)]
    assert exported.known_fraction == pytest.approx(5 * 2 / (8 * 2 + 4))


def test_a_session_that_runs_was_idle_for_as_long_as_it_is_known(chain, exporter):
    held = chain.hold(person(1))
    chain.meter.started(held.id, chain.clock())
    did(chain, held, ("idle", 2))
    chain.clock.move(hours=5)
    chain.meter.seen({held.id: chain.clock()})
    assert [(each.work_seconds, each.idle_tail_seconds) for each in sessions(exporter)] == [(3 * 3600, 2 * 3600)]


def test_nothing_is_known_where_nobody_looked(chain, exporter):
    assert exporter.export(ExportQuery(7, UTC)).known_fraction == 0
    ran(chain, 1)
    assert exporter.export(ExportQuery(7, UTC)).known_fraction == 0


def test_what_never_ran_on_a_gpu_is_left_out(chain, exporter):
    ran(chain, 1, request=want(0))
    ran(chain, 1, cause=EndCause.START_FAILED)
    with pytest.raises(QuotaExceededError):
        chain.hold(person(1), "", want(3))
    held = chain.hold(person(2))
    chain.meter.released(held.id, EndCause.HOLD_EXPIRED, "keeper")
    chain.hold(person(3))
    assert sessions(exporter) == ()
    ran(chain, 4)
    assert len(sessions(exporter)) == 1


def test_a_session_that_runs_counts_with_its_length_so_far(chain, exporter):
    held = chain.hold(person(1))
    chain.meter.started(held.id, chain.clock())
    chain.clock.move(hours=5)
    exported = exporter.export(ExportQuery(7, UTC))
    assert [each.work_seconds for each in exported.demand.sessions] == [5 * 3600]
    assert exported.still_running == 1


def test_a_session_that_starts_in_the_future_by_a_jumped_clock_has_no_length(chain, exporter):
    held = chain.hold(person(1))
    chain.meter.started(held.id, chain.clock() + timedelta(hours=1))
    assert [each.work_seconds for each in sessions(exporter)] == [0]


def test_only_the_last_days_count_and_today_is_one(chain, exporter):
    ran(chain, 1)
    chain.clock.move(days=2)
    ran(chain, 2)
    assert [len(sessions(exporter, days)) for days in (1, 2, 3)] == [1, 1, 2]
    assert exporter.export(ExportQuery(3, UTC)).days == 3
    assert exporter.export(ExportQuery(2, UTC)).days == 1, "from the first request on"


def test_days_are_those_of_the_zone(chain, exporter):
    chain.clock.move(hours=2.5)
    ran(chain, 1, hours=1)  # asked for at 14:30, ended at 15:30 UTC, which is 00:30 in Tokyo
    assert exporter.export(ExportQuery(1, UTC)).demand.sessions
    assert not exporter.export(ExportQuery(1, ZoneInfo("Asia/Tokyo"))).demand.sessions
    exported = exporter.export(ExportQuery(2, ZoneInfo("Asia/Tokyo")))
    assert exported.start == NOON + timedelta(hours=3) - timedelta(days=1)
    assert [each.think_seconds for each in exported.demand.sessions] == [23.5 * 3600]


def test_one_gpu_type_can_be_taken_alone(chain, exporter):
    ran(chain, 1)
    assert len(sessions(exporter, gpu_type="h100")) == 1
    other = exporter.export(ExportQuery(7, UTC, gpu_type="l4"))
    assert (other.demand.sessions, other.gpus_now) == ((), 0)


def test_gpus_out_of_order_are_not_offered_to_the_twin(chain, exporter):
    ran(chain, 1)
    chain.register(3)
    assert exporter.export(ExportQuery(7, UTC)).gpus_now == 3


def test_all_pages_are_read(chain, exporter, monkeypatch):
    monkeypatch.setattr(trace_export, "PAGE", 2)
    for _ in range(5):
        ran(chain, 1)
    assert len(sessions(exporter)) == 5


def test_names_are_told_only_if_asked_for(chain, exporter):
    ran(chain, 9)
    assert [each.user for each in sessions(exporter)] == ["user00"]
    assert [each.user for each in sessions(exporter, are_names_kept=True)] == ["user9"]


def test_an_export_changes_nothing(chain, exporter):
    ran(chain, 1)

    def rows():
        with chain.database.read() as connection:
            return {table.name: connection.execute(select(table)).all() for table in metadata.sorted_tables}

    before = rows()
    assert exporter.export(ExportQuery(7, UTC)).demand.sessions
    assert rows() == before
