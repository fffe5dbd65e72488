"""Real databases: an SQLite file, and a PostgreSQL server of our own for the whole test run."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.migrate import upgrade

_INSTALLED = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda folder: int(folder.parent.name))
PROGRAMS = _INSTALLED[-1] if _INSTALLED else Path("/usr/lib/postgresql/bin")
"""Of the newest PostgreSQL that Debian's packages installed."""
_numbers = count()


def _as_postgres(*command: str | Path) -> None:
    """Run a program of PostgreSQL, which refuses to run as root, under the unprivileged account."""
    account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    done = subprocess.run([*account, *map(str, command)], capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        pytest.fail(f"{command[0]} failed: {done.stdout}{done.stderr}", pytrace=False)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of a PostgreSQL server on a unix socket, without the database's name; it ends with the test run."""
    if not (PROGRAMS / "initdb").exists():
        pytest.fail("PostgreSQL is missing. Install it with: apt-get install postgresql", pytrace=False)
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=200"
    try:
        _as_postgres(PROGRAMS / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        _as_postgres(PROGRAMS / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            server = f"postgresql+psycopg://postgres@/{{name}}?host={folder}"
            _execute(server.format(name="postgres"), "CREATE DATABASE migrated")
            upgrade(server.format(name="migrated"))
            yield server
        finally:
            _as_postgres(PROGRAMS / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _execute(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a database without tables; on SQLite the file does not exist."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'platform.sqlite'}"
        return
    yield from _postgresql_database(request.getfixturevalue("postgresql"), "template0")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a migrated, empty database of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'platform.sqlite'}"
        upgrade(url)
        yield url
        return
    yield from _postgresql_database(request.getfixturevalue("postgresql"), "migrated")


def _postgresql_database(server: str, model: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    _execute(server.format(name="postgres"), f"CREATE DATABASE {name} TEMPLATE {model}")
    yield server.format(name=name)
    _execute(server.format(name="postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database of each kind."""
    database = Database(url=database_url)
    yield database
    database.close()
