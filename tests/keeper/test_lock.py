"""One keeper acts: the locks of both kinds of database."""

import asyncio

import pytest
from sqlalchemy import create_engine, text

from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.services.keeper.lock import FileLock, acquired, lock_for, lost
from aiplatform_hub.storage.database import AdvisoryLock, Database


@pytest.fixture
def locks(database_url, tmp_path):
    database = Database(url=database_url)
    made = [lock_for(database, tmp_path / "run") for _ in range(2)]
    yield made
    for lock in made:
        lock.release()
    database.close()


def test_only_one_has_it_until_it_is_released(locks):
    first, second = locks
    assert isinstance(first, FileLock | AdvisoryLock)
    assert first.acquire()
    assert not second.acquire()
    assert first.is_held()
    first.release()
    assert second.acquire()


def test_waiting_ends_when_told_to_stop(locks):
    first, second = locks
    first.acquire()

    async def scenario():
        stop = asyncio.Event()
        waiting = asyncio.create_task(acquired(second, stop))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        stop.set()
        assert await asyncio.wait_for(waiting, 5) is False

    asyncio.run(scenario())


@pytest.fixture
def advisory(postgresql):
    lock = AdvisoryLock(url=postgresql.format(name="migrated"), number=1)
    yield lock
    lock.release()


def test_a_lock_whose_connection_is_gone_is_lost(advisory, postgresql):
    assert advisory.acquire()

    async def scenario():
        losing = asyncio.create_task(lost(advisory))
        await asyncio.sleep(0.2)
        assert not losing.done()
        engine = create_engine(postgresql.format(name="postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'aiplatform-lock' AND datname = 'migrated'")
            )
        engine.dispose()
        await asyncio.wait_for(losing, 10)

    asyncio.run(scenario())


def test_a_database_that_is_away_is_told_apart_from_another_keeper(tmp_path):
    lock = AdvisoryLock(url=f"postgresql+psycopg://postgres@/none?host={tmp_path}", number=1)
    with pytest.raises(ServiceUnavailableError):
        lock.acquire()
    assert not lock.is_held()
