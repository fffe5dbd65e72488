"""A session is idle only when every GPU is known to be: unknown is never idle, and memory that grows is use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.activity import LONGEST_GAP, Activity, ActivityInterval, GpuSample, activity_of, continued, stretch

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TICK = timedelta(seconds=15)
SESSION = UUID(int=1)
GROWTH_BYTES = 10


def sample(percent: float, memory: int = 100, *, age: timedelta = timedelta()) -> GpuSample:
    return GpuSample(NOW - age, percent, memory)


def activity(devices, earlier, latest, *, below_percent=5.0, growth_below_bytes=GROWTH_BYTES) -> Activity:
    return activity_of(devices, earlier, latest, below_percent=below_percent, growth_below_bytes=growth_below_bytes)


def before(*memories: int, age: timedelta = TICK) -> dict[str, GpuSample]:
    return {f"GPU-{number}": sample(0, memory, age=age) for number, memory in enumerate(memories)}


def now(*uses: tuple[float, int]) -> dict[str, GpuSample]:
    return {f"GPU-{number}": sample(*use) for number, use in enumerate(uses)}


@pytest.mark.parametrize(
    ("earlier", "latest", "expected"),
    [
        (before(100, 100), now((0, 100), (4.9, 100)), Activity.IDLE),
        (before(100, 100), now((0, 100), (5.0, 100)), Activity.USED),
        (before(100, 100), now((0, 100), (0, 110)), Activity.USED),
        (before(100, 100), now((0, 109), (0, 109)), Activity.IDLE),
        (before(100, 100), now((0, 100), (0, 99)), Activity.IDLE),
        (before(100, 100), now((0, 100)), Activity.UNKNOWN),
        (before(100, 100), now((90, 100)), Activity.UNKNOWN),
        (before(100, 100), {}, Activity.UNKNOWN),
        (before(100), now((0, 100), (0, 100)), Activity.UNKNOWN),
        ({}, now((0, 100), (0, 100)), Activity.UNKNOWN),
        ({}, now((0, 100), (80, 100)), Activity.USED),
        (before(100, 100, age=LONGEST_GAP), now((0, 100), (0, 100)), Activity.IDLE),
        (before(100, 100, age=LONGEST_GAP * 1.01), now((0, 100), (0, 100)), Activity.UNKNOWN),
        (before(50, 50, age=LONGEST_GAP * 1.01), now((0, 100), (0, 100)), Activity.UNKNOWN),
        (before(100, 100, age=-TICK), now((0, 100), (0, 100)), Activity.UNKNOWN),
    ],
    ids=[
        "all below", "one at the threshold", "memory of one grows", "memory jitters", "memory shrinks", "one without a sample", "one used, one without a sample",
        "no sample at all", "one without a sample before", "none before", "none before, but used", "as old as may be", "too old",
        "too old to tell growth", "from a clock that was ahead",
    ],
)  # fmt: skip
def test_every_gpu_must_be_known_to_be_idle(earlier, latest, expected):
    assert activity(("GPU-0", "GPU-1"), earlier, latest) is expected


def test_a_session_without_gpus_has_none_that_could_be_idle():
    assert activity((), {}, {}) is Activity.UNKNOWN


def test_the_threshold_is_the_policys():
    assert activity(("GPU-0",), before(1), now((7, 1)), below_percent=10.0) is Activity.IDLE
    assert activity(("GPU-0",), before(1), now((0, 20)), growth_below_bytes=20) is Activity.IDLE


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 20), st.integers(0, 20), st.booleans(), st.booleans()), min_size=1, max_size=4),
)
def test_taking_a_sample_away_never_makes_a_session_idle(gpus):
    devices = [f"GPU-{number}" for number in range(len(gpus))]
    earlier = {device: sample(0, gpu[1], age=TICK) for device, gpu in zip(devices, gpus, strict=True)}
    latest = {device: sample(gpu[0], gpu[2]) for device, gpu in zip(devices, gpus, strict=True)}
    whole = activity(devices, earlier, latest)
    fewer_before = {device: earlier[device] for device, gpu in zip(devices, gpus, strict=True) if gpu[3]}
    fewer_now = {device: latest[device] for device, gpu in zip(devices, gpus, strict=True) if gpu[4]}
    part = activity(devices, fewer_before, fewer_now)
    assert part is not Activity.IDLE or whole is Activity.IDLE
    assert part is not Activity.IDLE or (len(fewer_before), len(fewer_now)) == (len(devices), len(devices))


def test_a_sample_speaks_for_the_time_since_the_one_before():
    piece = stretch(SESSION, NOW - TICK, NOW, Activity.IDLE, [sample(2, 10), sample(4, 30)])
    assert piece == ActivityInterval(SESSION, Activity.IDLE, NOW - TICK, NOW, 1, 3.0, 40)


@pytest.mark.parametrize("activity", [Activity.USED, Activity.IDLE])
def test_of_a_longer_gap_nothing_is_known(activity):
    known = stretch(SESSION, NOW - LONGEST_GAP, NOW, activity, [sample(2)])
    unknown = stretch(SESSION, NOW - LONGEST_GAP - timedelta(microseconds=1), NOW, activity, [sample(2)])
    assert (known and known.activity, unknown and unknown.activity) == (activity, Activity.UNKNOWN)
    assert unknown is not None
    assert (unknown.samples, unknown.mean_utilisation_percent, unknown.max_memory_bytes) == (0, None, None)


@pytest.mark.parametrize("ahead", [timedelta(), TICK])
def test_a_clock_that_was_set_back_says_nothing(ahead):
    assert stretch(SESSION, NOW + ahead, NOW, Activity.IDLE, [sample(2)]) is None


def test_pieces_of_the_same_kind_are_one_interval():
    first = ActivityInterval(SESSION, Activity.USED, NOW - 3 * TICK, NOW - TICK, 2, 60.0, 500)
    longer = continued(first, ActivityInterval(SESSION, Activity.USED, NOW - TICK, NOW, 1, 30.0, 400))
    assert longer == ActivityInterval(SESSION, Activity.USED, NOW - 3 * TICK, NOW, 3, 50.0, 500)


def test_unknown_pieces_are_one_interval_too():
    first = ActivityInterval(SESSION, Activity.UNKNOWN, NOW - 2 * TICK, NOW - TICK)
    assert continued(first, ActivityInterval(SESSION, Activity.UNKNOWN, NOW - TICK, NOW)) == ActivityInterval(SESSION, Activity.UNKNOWN, NOW - 2 * TICK, NOW)


@pytest.mark.parametrize(("activity", "start"), [(Activity.USED, NOW - TICK), (Activity.IDLE, NOW - TICK / 2)])
def test_another_kind_or_a_hole_begins_a_new_interval(activity, start):
    first = ActivityInterval(SESSION, Activity.IDLE, NOW - 2 * TICK, NOW - TICK, 1, 0.0, 1)
    assert continued(first, ActivityInterval(SESSION, activity, start, NOW, 1, 0.0, 1)) is None
