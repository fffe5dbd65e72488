"""Minutes of sessions as a keeper writes them: once each, after they are over, and none that nobody saw."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import Allocation, GpuDevice
from aiplatform_hub.domain.series import MINUTE, ProcessUse
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.operations.activity_meter import ActivityMeter
from aiplatform_hub.operations.series_recorder import SeriesRecorder
from aiplatform_hub.storage.activity import ActivityStore
from aiplatform_hub.storage.database import Connection, DatabaseAwayError
from aiplatform_hub.storage.series import SeriesStore
from tests.support.chain import NOON, Chain, person, want


@dataclass
class Machine:
    """GPUs and processes that do what a test says: all GPUs the same, and each session so many cores."""

    percent: float | None = 50.0
    cores: float = 2.0
    is_silent: bool = False
    measured: list[int] = field(default_factory=list)

    def sample(self, devices: Iterable[GpuDevice], at: datetime) -> dict[str, GpuSample]:
        return {} if self.percent is None else {device.uuid: GpuSample(at, self.percent, 7) for device in devices}

    def measure(self, ids: Collection[UUID], at: datetime) -> dict[UUID, ProcessUse]:
        if ids:
            self.measured.append(len(ids))
        return {} if self.is_silent else {id_: ProcessUse(at, (at - NOON).total_seconds() * self.cores, 9) for id_ in ids}


@dataclass
class Recorded:
    """Sessions, and the minutes that are written of them."""

    chain: Chain
    machine: Machine = field(default_factory=Machine)
    store: SeriesStore = field(default_factory=SeriesStore)

    def __post_init__(self) -> None:
        self.keeper = self.new_keeper()

    def new_keeper(self) -> ActivityMeter:
        """Return a meter that remembers nothing, as of a keeper that has just started."""
        chain, recorder = self.chain, SeriesRecorder(series=self.store, processes=self.machine)
        return ActivityMeter(
            database=chain.database, allocations=chain.allocations, devices=chain.devices, activity=ActivityStore(), sampler=self.machine,
            policy=chain.current_policy, clock=chain.clock, series=recorder,
        )  # fmt: skip

    def start(self, gpus: int = 1) -> Allocation:
        held = self.chain.take_up(person(1, "staff"), "", want(gpus))
        self.chain.meter.started(held.id, self.chain.clock())
        return self.chain.find(held)

    def look(self, times: int = 1, seconds: float = 15) -> None:
        for _ in range(times):
            self.keeper.sample()
            self.chain.clock.move(seconds=seconds)

    def gpus(self, session: Allocation) -> list[tuple[float, str, float]]:
        """Return minute after noon, GPU and mean utilisation."""
        with self.chain.database.read() as connection:
            points = self.store.gpu_points(connection, session.id, NOON, NOON + timedelta(hours=2), MINUTE)
        return [((point.at - NOON) / MINUTE, point.device, point.mean_utilisation_percent) for point in points]

    def takes(self, session: Allocation) -> list[tuple[float, float | None, int | None]]:
        """Return minute after noon, cores and memory."""
        with self.chain.database.read() as connection:
            points = self.store.session_points(connection, session.id, NOON, NOON + timedelta(hours=2), MINUTE)
        return [((point.at - NOON) / MINUTE, point.cpu_cores, point.memory_bytes) for point in points]


@pytest.fixture
def recorded(chain: Chain) -> Recorded:
    return Recorded(chain)


def test_a_minute_is_written_once_when_it_is_over(recorded: Recorded) -> None:
    session = recorded.start(2)
    recorded.look(4)
    assert recorded.gpus(session) == []
    recorded.machine.percent = 90
    recorded.look(9)
    two = [(minute, device, percent) for minute, percent in ((0, 50), (1, 90), (2, 90)) for device in session.devices]
    assert recorded.gpus(session) == two
    assert recorded.takes(session) == [(0, 2, 9), (1, 2, 9), (2, 2, 9)]


def test_processes_are_looked_at_once_a_minute(recorded: Recorded) -> None:
    recorded.start()
    recorded.look(13)
    assert len(recorded.machine.measured) == 4, "at the start, and at the end of each minute"


def test_a_session_without_gpus_has_cores_and_memory(recorded: Recorded) -> None:
    session = recorded.start(0)
    recorded.look(5)
    assert (recorded.gpus(session), recorded.takes(session)) == ([], [(0, 2, 9)])


def test_what_says_nothing_is_unknown(recorded: Recorded) -> None:
    session = recorded.start()
    recorded.machine.percent, recorded.machine.is_silent = None, True
    recorded.look(9)
    assert (recorded.gpus(session), recorded.takes(session)) == ([], [])


def test_a_keeper_that_was_away_invents_nothing(recorded: Recorded) -> None:
    session = recorded.start()
    recorded.look(2)
    recorded.chain.clock.move(minutes=10)
    recorded.look(5)
    assert [minute for minute, _, _ in recorded.gpus(session)] == [0, 10]
    assert [minute for minute, _, _ in recorded.takes(session)] == [10], "memory ten minutes later is not that of the first minute"


def test_a_new_keeper_and_a_clock_set_back_write_no_minute_twice(recorded: Recorded) -> None:
    session = recorded.start()
    recorded.look(5)
    recorded.keeper = recorded.new_keeper()
    recorded.machine.percent = 90
    recorded.chain.clock.move(minutes=-1, seconds=-15)
    recorded.look(5)
    assert recorded.gpus(session) == [(0, session.devices[0], 50)]
    recorded.chain.clock.move(minutes=-2)
    recorded.look(1)
    assert [minute for minute, _, _ in recorded.takes(session)] == [0]


def test_minutes_that_could_not_be_written_are_written_later(recorded: Recorded) -> None:
    session = recorded.start()
    recorded.look(4)
    write, tries = recorded.store.add, []

    def fail_once(connection: Connection, *minutes: object) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise DatabaseAwayError("away")
        write(connection, *minutes)  # type: ignore[arg-type]

    recorded.store.add = fail_once  # type: ignore[method-assign]
    with pytest.raises(ServiceUnavailableError):
        recorded.look()
    recorded.chain.clock.move(seconds=15)
    recorded.look(2)
    assert [minute for minute, _, _ in recorded.gpus(session)] == [0]
    assert len(tries) == 2, "what is written is forgotten"


def test_a_session_that_ended_keeps_its_minutes(recorded: Recorded) -> None:
    session = recorded.start()
    recorded.look(2)
    recorded.chain.end(session)
    recorded.look(3)
    assert [minute for minute, _, _ in recorded.gpus(session)] == [0]
