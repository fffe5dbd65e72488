"""A session's series as it is read: of the whole session, or of its last days, and with a verdict only once it is over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aiplatform_hub.domain.allocations import Allocation, EndCause
from aiplatform_hub.domain.series import MINUTE, GpuMinute, SessionMinute
from aiplatform_hub.domain.timeline import Phase
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.operations.session_series import LONGEST, SessionSeriesReader
from aiplatform_hub.storage.activity import ActivityStore
from aiplatform_hub.storage.series import SeriesStore
from tests.support.chain import NOON, Chain, person, want

DAY = timedelta(days=1)


@pytest.fixture
def reader(chain: Chain) -> SessionSeriesReader:
    return SessionSeriesReader(
        database=chain.database, allocations=chain.allocations, activity=ActivityStore(), devices=chain.devices, series=SeriesStore(),
        policy=chain.current_policy, clock=chain.clock,
    )  # fmt: skip


def start(chain: Chain, gpus: int = 2) -> Allocation:
    held = chain.take_up(person(1, "staff"), "", want(gpus))
    chain.meter.started(held.id, chain.clock())
    return chain.find(held)


def busy(chain: Chain, session: Allocation, minutes: int, *percents: float) -> None:
    """Say of the first minutes of a session what each of its GPUs did."""
    gpus = zip(session.devices, percents, strict=True)
    rows = [GpuMinute(session.id, NOON + MINUTE * number, device, 4, percent, percent, GIB) for device, percent in gpus for number in range(minutes)]
    with chain.database.write() as connection:
        SeriesStore().add(connection, rows, [SessionMinute(session.id, NOON + MINUTE * number, 1.0, GIB) for number in range(minutes)])


def test_verdict_comes_with_the_end(chain: Chain, reader: SessionSeriesReader) -> None:
    session = start(chain)
    busy(chain, session, 60, 90, 4.9)
    chain.clock.move(hours=1)
    assert reader.read(session).efficiency is None
    chain.meter.ended(session.id, chain.clock(), EndCause.EXITED)
    found = reader.read(chain.find(session)).efficiency
    assert found is not None
    assert (found.gpus_needed, found.busy_percent, found.known, found.most_memory_bytes) == (1, pytest.approx(47.45), timedelta(hours=1), 2 * GIB)


def test_a_gpu_at_the_policys_threshold_was_needed(chain: Chain, reader: SessionSeriesReader) -> None:
    session = start(chain)
    busy(chain, session, 60, 90, chain.policy.idle_below_percent)
    chain.meter.ended(session.id, chain.clock.move(hours=1), EndCause.EXITED)
    found = reader.read(chain.find(session)).efficiency
    assert found is not None
    assert found.gpus_needed == 2


def test_points_are_of_the_whole_session_or_its_last_days(chain: Chain, reader: SessionSeriesReader) -> None:
    session = start(chain)
    busy(chain, session, 3, 10, 20)
    chain.clock.move(minutes=3, seconds=30)
    young = reader.read(session)
    assert (young.start, young.end, young.step, young.is_cut) == (NOON, chain.clock(), MINUTE, False)
    assert [(gpu.uuid, len(gpu.points)) for gpu in young.gpus] == [(device, 3) for device in session.devices]
    assert ([point.cpu_cores for point in young.points], young.is_empty) == ([1, 1, 1], False)
    chain.clock.move(days=30)
    old = reader.read(session)
    assert (old.end - old.start, old.is_cut, old.is_empty) == (LONGEST + timedelta(seconds=30), True, True)
    assert len(reader.read(session, NOON, NOON + DAY).gpus[0].points) == 1, "in one step of six minutes"
    assert not reader.read(session, NOON).is_cut


def test_what_waits_has_spans_and_no_points(chain: Chain, reader: SessionSeriesReader) -> None:
    chain.hold(person(1, "staff"), "", want(4))
    waiting = chain.queue(person(2), "", want(1))
    chain.clock.move(minutes=5)
    found = reader.read(waiting)
    assert [(span.phase, span.length) for span in found.spans] == [(Phase.WAITING, 5 * MINUTE)]
    assert (found.is_empty, found.efficiency) == (True, None)
