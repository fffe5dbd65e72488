"""What the meter of activity records of sessions: run-length intervals that invent no idleness."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import Allocation, EndCause, GpuDevice
from aiplatform_hub.domain.units import MIB
from aiplatform_hub.operations.activity_meter import ActivityMeter
from aiplatform_hub.storage.activity import ActivityStore
from aiplatform_hub.storage.schema import activity_intervals
from tests.support.chain import NOON, Chain, person, want


@dataclass
class Gpus:
    """What the GPUs do until a test says something else: utilisation and memory by UUID."""

    uses: dict[str, tuple[float, int]] = field(default_factory=lambda: {f"GPU-{number}": (0.0, 0) for number in range(4)})

    def sample(self, devices: Iterable[GpuDevice], at: datetime) -> dict[str, GpuSample]:
        return {device.uuid: GpuSample(at, *self.uses[device.uuid]) for device in devices if device.uuid in self.uses}


@dataclass
class Metered:
    """Sessions and what is recorded of them."""

    chain: Chain
    gpus: Gpus = field(default_factory=Gpus)
    store: ActivityStore = field(default_factory=ActivityStore)

    def keeper(self) -> ActivityMeter:
        """Return a meter without a memory, as of a keeper that has just started."""
        chain = self.chain
        return ActivityMeter(
            database=chain.database, allocations=chain.allocations, devices=chain.devices, activity=self.store, sampler=self.gpus,
            policy=chain.current_policy, clock=chain.clock,
        )  # fmt: skip

    def start(self, user: int = 1, gpus: int = 1, name: str = "") -> Allocation:
        held = self.chain.take_up(person(user, "staff"), name, want(gpus))
        self.chain.meter.started(held.id, self.chain.clock())
        return self.chain.find(held)

    def look(self, *uses: tuple[float, int] | None, seconds: float = 15) -> None:
        """Let time pass, let the first GPUs do this, and look; None is a GPU that does not answer."""
        for number, use in enumerate(uses):
            self.gpus.uses.pop(f"GPU-{number}", None)
            if use is not None:
                self.gpus.uses[f"GPU-{number}"] = use
        self.chain.clock.move(seconds=seconds)
        self.keeper().sample()

    def rows(self, allocation: Allocation) -> list[tuple[str, float, float, bool]]:
        """Return activity, begin and last proof in seconds after noon, and whether it is open, in order."""
        statement = select(activity_intervals).where(activity_intervals.c.allocation_id == allocation.id).order_by(activity_intervals.c.started_at)
        with self.chain.database.read() as connection:
            found = connection.execute(statement).all()
        return [(row.activity, _seconds(row.started_at), _seconds(row.ended_at or row.last_seen_at), row.ended_at is None) for row in found]

    def idle_since(self) -> dict:
        with self.chain.database.read() as connection:
            return {id_: _seconds(at) for id_, at in self.store.idle_since(connection, self.chain.clock()).items()}


def _seconds(at: datetime) -> float:
    return (at - NOON).total_seconds()


@pytest.fixture
def metered(chain: Chain) -> Metered:
    made = Metered(chain)
    made.keeper().sample()  # before anybody starts: what the GPUs do then is what growth is measured from
    return made


def test_equal_samples_are_one_interval_and_a_change_begins_another(metered):
    session = metered.start()
    for percent, memory in ((0, 10), (90, 10), (95, 10), (1, 10), (1, 5), (0, 5)):
        metered.look((percent, memory * MIB))
    assert metered.rows(session) == [("used", 0, 45, False), ("idle", 45, 90, True)]
    assert metered.idle_since() == {session.id: 45}


def test_memory_that_grows_ends_idleness(metered):
    session = metered.start()
    for memory in (0, 0, MIB, MIB):
        metered.look((0, memory))
    assert metered.rows(session) == [("idle", 0, 30, False), ("used", 30, 45, False), ("idle", 45, 60, True)]


def test_memory_that_jitters_is_idle(metered):
    session = metered.start()
    for memory in (0, MIB - 1, 10, MIB):
        metered.look((0, memory))
    assert metered.rows(session) == [("idle", 0, 60, True)]


def test_what_counts_as_growth_is_the_policys(metered):
    metered.chain.policy = replace(metered.chain.policy, idle_growth_below_mib=3.0)
    session = metered.start()
    metered.look((0, 3 * MIB - 1))
    metered.look((0, 6 * MIB - 1))
    assert metered.rows(session) == [("idle", 0, 15, False), ("used", 15, 30, True)]


def test_every_gpu_of_a_session_must_be_idle(metered):
    session = metered.start(gpus=2)
    metered.look((0, 0), (80, 0))
    metered.look((0, 0), (0, 0))
    metered.look((0, 0), None)
    metered.look((0, 0), (0, 0))
    metered.look((0, 0), (0, 0))
    assert metered.rows(session) == [("used", 0, 15, False), ("idle", 15, 30, False), ("unknown", 30, 60, False), ("idle", 60, 75, True)]
    assert metered.idle_since() == {session.id: 60}


def test_a_gpu_that_stays_silent_is_never_idle(metered):
    session = metered.start()
    for _ in range(8):
        metered.look(None)
    assert metered.rows(session) == [("unknown", 0, 120, True)]
    assert metered.idle_since() == {}


def test_sessions_are_told_apart(metered):
    busy, idle = metered.start(1), metered.start(2)
    metered.look((50, 0), (0, 0))
    assert metered.rows(busy) == [("used", 0, 15, True)]
    assert metered.rows(idle) == [("idle", 0, 15, True)]
    assert metered.idle_since() == {idle.id: 0}


def test_a_session_without_gpus_is_left_out(metered):
    session = metered.start(gpus=0)
    metered.look()
    assert metered.rows(session) == []


def test_a_keeper_that_was_away_invents_no_idleness(metered):
    session = metered.start()
    for _ in range(3):
        metered.look((0, 0))
    metered.chain.clock.move(seconds=600)
    assert metered.idle_since() == {}, "nobody has looked for too long"
    metered.look((0, 0))
    assert metered.rows(session) == [("idle", 0, 45, False), ("unknown", 45, 660, True)]
    assert metered.idle_since() == {}
    metered.look((0, 0))
    assert metered.rows(session)[1:] == [("unknown", 45, 660, False), ("idle", 660, 675, True)]
    assert metered.idle_since() == {session.id: 660}


def test_a_look_may_be_a_little_late(metered):
    session = metered.start()
    metered.look((0, 0))
    metered.chain.clock.move(seconds=20)
    assert metered.idle_since() == {session.id: 0}
    metered.look((0, 0), seconds=0)
    assert metered.rows(session) == [("idle", 0, 35, True)]


@pytest.mark.parametrize("seconds", [20.000001, 30, 45])
def test_a_keeper_that_is_back_after_a_missing_look_counts_idleness_anew(metered, seconds):
    session = metered.start()
    for _ in range(3):
        metered.look((0, 0))
    metered.chain.clock.move(seconds=seconds)
    assert metered.idle_since() == {}, "nobody knows"
    metered.look((0, 0), seconds=0)
    assert metered.rows(session) == [("idle", 0, 45, False), ("unknown", 45, 45 + seconds, True)]
    metered.look((0, 0))
    assert metered.idle_since() == {session.id: 45 + seconds}


def test_a_session_that_the_keeper_finds_late_was_not_idle_before(metered):
    session = metered.start()
    metered.look((0, 0), seconds=300)
    assert metered.rows(session) == [("unknown", 0, 300, True)]


def test_memory_that_grew_while_nobody_looked_is_not_idle(metered):
    session = metered.start()
    metered.look((0, 0))
    metered.look((0, 99 * MIB), seconds=300)
    assert [row[0] for row in metered.rows(session)] == ["idle", "unknown"]


def test_intervals_end_with_their_session(metered):
    session = metered.start()
    metered.look((90, 0))
    metered.look((0, 0))
    end = metered.chain.clock.now + timedelta(seconds=5)
    metered.chain.meter.ended(session.id, end, EndCause.EXITED)
    metered.look((0, 0))
    assert metered.rows(session) == [("used", 0, 15, False), ("idle", 15, 30, False)]
    assert metered.idle_since() == {}
    metered.look((0, 0))
    assert len(metered.rows(session)) == 2, "nothing is added behind the end"


def test_intervals_never_reach_beyond_the_end_that_the_runtime_tells_later(metered):
    session = metered.start()
    metered.look((90, 0))
    metered.look((0, 0))
    metered.look((90, 0))
    metered.chain.meter.ended(session.id, NOON + timedelta(seconds=20), EndCause.LOST, estimated=True)
    metered.look((0, 0))
    assert metered.rows(session) == [("used", 0, 15, False), ("idle", 15, 20, False)]


def test_an_end_while_the_keeper_was_dead_leaves_the_time_after_its_last_proof_out(metered):
    session = metered.start()
    metered.look((0, 0))
    metered.chain.meter.ended(session.id, metered.chain.clock.move(seconds=500), EndCause.EXITED)
    metered.look((0, 0))
    assert metered.rows(session) == [("idle", 0, 15, False)]


def test_a_clock_that_was_set_back_gives_no_overlap_and_no_idleness(metered):
    session = metered.start()
    metered.look((0, 0))
    metered.look((0, 0), seconds=-10)
    assert metered.rows(session) == [("idle", 0, 15, False)]
    assert metered.idle_since() == {}
    metered.look((0, 0), seconds=5)
    metered.look((0, 0), seconds=15)
    assert metered.rows(session) == [("idle", 0, 15, False), ("idle", 15, 25, True)]
    assert metered.idle_since() == {session.id: 15}


def test_the_next_holder_of_a_gpu_begins_anew(metered):
    first = metered.start(1)
    for _ in range(3):
        metered.look((0, 0))
    metered.chain.meter.ended(first.id, metered.chain.clock(), EndCause.EXITED)
    second = metered.start(2)
    metered.look((0, 0))
    assert (metered.rows(first), metered.rows(second)) == ([("idle", 0, 45, False)], [("idle", 45, 60, True)])


def test_the_last_sample_of_each_gpu_is_kept(metered):
    metered.look((12, 34))
    metered.look(None, (50, 60))
    with metered.chain.database.read() as connection:
        kept = metered.store.samples(connection)
        fresh = metered.store.fresh_samples(connection, metered.chain.clock.move(seconds=59))
    assert kept["GPU-0"] == GpuSample(NOON + timedelta(seconds=15), 12, 34)
    assert kept["GPU-1"] == GpuSample(NOON + timedelta(seconds=30), 50, 60)
    assert set(fresh) == {"GPU-1", "GPU-2", "GPU-3"}


def test_the_threshold_is_the_policys(metered):
    metered.chain.policy = replace(metered.chain.policy, idle_below_percent=20.0)
    session = metered.start()
    metered.look((19, 0))
    assert metered.rows(session) == [("idle", 0, 15, True)]


def test_no_capacity_is_no_error(database, tmp_path):
    metered = Metered(Chain(database, tmp_path / "head.json"))
    metered.keeper().sample()
