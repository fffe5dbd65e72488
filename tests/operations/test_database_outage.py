"""With the database away, starts are refused in plain words, nothing is half done, and it recovers by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.engine import make_url

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.storage import schema
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.migrate import upgrade
from tests.support.chain import NOON, Chain, person, want


def refused(act: Callable[[], object]) -> None:
    with pytest.raises(ServiceUnavailableError) as error:
        act()
    assert "database does not answer" in error.value.message
    assert error.value.retry_after_seconds


@pytest.fixture
def sqlite_chain(tmp_path: Path) -> Iterator[Chain]:
    url = f"sqlite:///{tmp_path / 'platform.sqlite'}"
    upgrade(url)
    chain = Chain(Database(url=url), tmp_path / "head.json")
    chain.register()
    yield chain
    chain.database.close()


def test_locked_database_is_unavailable_within_a_second_and_recovers(chain: Chain, database_url: str) -> None:
    other = Database(url=database_url)
    with other.write() as connection:
        chain.devices.lock(connection)
        began = time.monotonic()
        refused(lambda: chain.hold(person(1)))
        assert time.monotonic() - began < 1.5
        assert chain.enforcer.capacity()
    other.close()
    assert chain.hold(person(1)).is_open


def test_busy_writer_of_the_same_process_is_unavailable_too(chain: Chain) -> None:
    began, go = threading.Event(), threading.Event()

    def occupy() -> None:
        with chain.database.write() as connection:
            chain.devices.lock(connection)
            began.set()
            go.wait(10)

    thread = threading.Thread(target=occupy)
    thread.start()
    assert began.wait(10)
    refused(lambda: chain.hold(person(1)))
    go.set()
    thread.join()
    assert chain.hold(person(1)).is_open


def test_read_only_database_is_unavailable_and_recovers(chain: Chain) -> None:
    engine, is_sqlite = chain.database.writer, chain.database.is_sqlite

    def make_read_only(connection: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA query_only=ON" if is_sqlite else "SET TRANSACTION READ ONLY")
        cursor.close()

    def on_checkout(connection: object, _record: object, _proxy: object) -> None:
        make_read_only(connection)

    event.listen(engine, "checkout", on_checkout)
    refused(lambda: chain.hold(person(1)))
    event.remove(engine, "checkout", on_checkout)
    engine.dispose()
    assert chain.hold(person(1)).is_open


def test_database_file_gone_is_unavailable_and_recovers(sqlite_chain: Chain) -> None:
    """An open file outlives its name: what is written to it then is lost, so nothing may be."""
    held = sqlite_chain.hold(person(1), "a")
    path = Path(make_url(sqlite_chain.database.url).database or "")
    away = [(file, file.with_name(f"away-{file.name}")) for file in path.parent.glob("platform.sqlite*") if "lock" not in file.name]
    for file, elsewhere in away:
        file.rename(elsewhere)
    for _ in range(2):
        refused(lambda: sqlite_chain.hold(person(2), "b"))
        refused(sqlite_chain.enforcer.capacity)
    assert not path.exists(), "a lost database does not come back empty"
    for file, elsewhere in away:
        elsewhere.rename(file)
    assert sqlite_chain.hold(person(2), "b").is_open
    assert sqlite_chain.find(held).is_open


def test_damaged_database_is_unavailable(sqlite_chain: Chain) -> None:
    path = Path(make_url(sqlite_chain.database.url).database or "")
    sqlite_chain.database.close()
    for file in path.parent.glob("platform.sqlite-*"):
        if "lock" not in file.name:
            file.unlink()
    path.write_bytes(b"not a database" * 1000)
    refused(lambda: sqlite_chain.hold(person(1)))


def test_full_disk_is_unavailable_and_leaves_nothing_half_done(sqlite_chain: Chain) -> None:
    def limit(connection: object, _record: object, _proxy: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    taken = sqlite_chain.take_up(person(9), "z", want(0))
    sqlite_chain.meter.started(taken.id, NOON)
    event.listen(sqlite_chain.database.writer, "checkout", limit)
    made = 0
    with pytest.raises(ServiceUnavailableError):
        for number in range(10_000):
            held = sqlite_chain.hold(person(1), f"s{number}", want(1))
            made += 1
            sqlite_chain.meter.released(held.id, EndCause.STOPPED_BY_USER, "user1")
    event.remove(sqlite_chain.database.writer, "checkout", limit)
    sqlite_chain.database.writer.dispose()
    with sqlite_chain.database.read() as connection:
        decisions = len(connection.execute(select(schema.decisions.c.id)).all())
        allocations = len(connection.execute(select(schema.allocations.c.id)).all())
    assert decisions == allocations >= made
    assert sqlite_chain.meter.ended(taken.id, NOON, EndCause.EXITED)
    assert sqlite_chain.verifier.verify().rows == 1


def test_server_of_postgresql_away_is_unavailable(tmp_path: Path) -> None:
    chain = Chain(Database(url=f"postgresql+psycopg://postgres@/none?host={tmp_path}"), tmp_path / "head.json")
    refused(lambda: chain.hold(person(1)))


def test_connection_cut_by_postgresql_recovers_at_once(chain: Chain) -> None:
    if chain.database.is_sqlite:
        return
    chain.hold(person(1), "a")
    with chain.database.engine.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"))
    assert chain.hold(person(2), "b").is_open


def test_faults_are_counted(database_url: str, tmp_path: Path) -> None:
    counted: list[int] = []
    database = Database(url=database_url, on_unavailable=lambda: counted.append(1))
    other = Chain(Database(url=database_url), tmp_path / "head.json")
    other.register()
    with other.database.write() as connection:
        other.devices.lock(connection)
        refused(lambda: Chain(database, tmp_path / "head.json").hold(person(1)))
    assert counted == [1]
    other.database.close()
    database.close()


def test_connections_that_the_server_closed_are_replaced_unnoticed(chain: Chain, database_url: str) -> None:
    if chain.database.is_sqlite:
        return  # it has no server; above it loses its file
    held = chain.hold(person(1), "a")
    assert chain.enforcer.capacity()
    other = Database(url=database_url)
    with other.read() as connection:
        mine = text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        assert all(connection.scalars(mine).all())
    other.close()
    assert chain.enforcer.capacity()
    assert chain.hold(person(2), "b").is_open
    assert chain.find(held).is_open
