"""Minutes of sessions come back as points, on both databases; nothing is counted twice and nothing is invented."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from aiplatform_hub.domain.series import MINUTE, GpuMinute, SessionMinute
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.migrate import check_current, downgrade, upgrade
from aiplatform_hub.storage.series import GpuPoint, SeriesStore, SessionPoint
from tests.support.chain import NOON, Chain, person, want

STORE = SeriesStore()


def gpu(session: UUID, minutes: float, percent: float, *, device: str = "GPU-0", samples: int = 4, memory: int = 5) -> GpuMinute:
    return GpuMinute(session, NOON + MINUTE * minutes, device, samples, percent, percent + 1, memory)


def test_small_charts_of_several_sessions_come_in_one_query(chain: Chain) -> None:
    one, two, other = (chain.hold(person(number), "a", want()).id for number in (1, 2, 3))
    with chain.database.write() as connection:
        minutes = [gpu(one, -1, 100), gpu(one, -1, 50, device="GPU-1"), gpu(one, -2, 0, samples=8), gpu(two, -60, 33), gpu(two, -61, 99), gpu(other, -1, 9)]
        STORE.add(connection, minutes, ())
    with chain.database.read() as connection:
        found = STORE.sparklines(connection, [one, two, UUID(int=5)], NOON + timedelta(seconds=59))
        assert STORE.sparklines(connection, [], NOON) == {}
    assert found == {one: (None,) * 29 + (38,), two: (33,) + (None,) * 29, UUID(int=5): (None,) * 30}


def test_points_are_those_of_the_span_in_steps_from_its_start(chain: Chain) -> None:
    one, two = (chain.hold(person(number), "a", want()).id for number in (1, 2))
    with chain.database.write() as connection:
        STORE.add(connection, [gpu(one, 0, 10), gpu(one, 1, 40, samples=2, memory=9), gpu(one, 4, 70, device="GPU-1"), gpu(one, 6, 99), gpu(two, 0, 99)], ())
        sessions = [SessionMinute(one, NOON, 1.0, 7), SessionMinute(one, NOON + MINUTE, None, 8), SessionMinute(one, NOON + 4 * MINUTE, None, None)]
        STORE.add(connection, (), [*sessions, SessionMinute(two, NOON, 9.0, 9)])
    span = (one, NOON, NOON + 6 * MINUTE, 2 * MINUTE)
    with chain.database.read() as connection:
        assert STORE.gpu_points(connection, *span) == (GpuPoint(NOON, "GPU-0", 20, 41, 9), GpuPoint(NOON + 4 * MINUTE, "GPU-1", 70, 71, 5))
        assert STORE.session_points(connection, *span) == (SessionPoint(NOON, 1.0, 8), SessionPoint(NOON + 4 * MINUTE, None, None))


def test_a_minute_that_is_there_already_stays(chain: Chain) -> None:
    one = chain.hold(person(1), "a", want()).id
    for percent in (10, 90):
        with chain.database.write() as connection:
            STORE.add(connection, [gpu(one, 0, percent)], [SessionMinute(one, NOON, percent, 1)])
    with chain.database.read() as connection:
        assert [point.mean_utilisation_percent for point in STORE.gpu_points(connection, one, NOON, NOON + MINUTE, MINUTE)] == [10]
        assert [point.cpu_cores for point in STORE.session_points(connection, one, NOON, NOON + MINUTE, MINUTE)] == [10]


def test_version_before_the_series_has_none_and_loses_nothing_else(chain: Chain, database: Database) -> None:
    one = chain.hold(person(1), "a", want())
    with database.write() as connection:
        STORE.add(connection, [gpu(one.id, -1, 10)], [SessionMinute(one.id, NOON, 1.0, 1)])
    downgrade(database.url, "0006")
    upgrade(database.url)
    check_current(database)
    with database.read() as connection:
        assert STORE.sparklines(connection, [one.id], NOON) == {one.id: (None,) * 30}
    assert chain.find(one).id == one.id
