"""Brings the tables to the version that this program needs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.storage.database import Database

VERSION_TABLE = "aiplatform_alembic_version"
"""Our own, since the hub's tables may be in the same database."""

_LOCK_ID = 4_102_444_800
"""Number of the PostgreSQL advisory lock under which migrations run."""
_LOCK_TIMEOUT = timedelta(minutes=1)


def upgrade(url: str) -> None:
    """Bring the database to the newest version, creating it if it is an SQLite file that does not exist.

    Several processes may do this at once; one does the work and the others wait.
    """
    path = _sqlite_path(url)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    _run(url, lambda config: command.upgrade(config, "head"))


def downgrade(url: str, revision: str) -> None:
    """Take the database back to a revision; ``base`` removes every table of ours."""
    _run(url, lambda config: command.downgrade(config, revision))


def check_current(database: Database) -> None:
    """Make sure that the tables are those of this program.

    Raises
    ------
    ConfigurationError
        If they are not; the message names the command that helps.
    ServiceUnavailableError
        If the database does not answer.
    """
    needed = ScriptDirectory.from_config(_config()).get_current_head()
    with database.read() as connection:
        found = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    if found != needed:
        raise ConfigurationError(f"The database's tables are at version {found or 'none'}; this program needs {needed}. Run: aiplatform migrate")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("alembic")).replace("%", "%%"))
    return config


def _run(url: str, action: Callable[[Config], None]) -> None:
    database = Database(url=url, lock_timeout=_LOCK_TIMEOUT)
    try:
        with _file_lock(_sqlite_path(url)), database.write() as connection:
            _wait_for_others(database, connection)
            config = _config()
            config.attributes["connection"] = connection
            action(config)
    finally:
        database.close()


def _wait_for_others(database: Database, connection: Connection) -> None:
    if not database.is_sqlite:
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})


@contextmanager
def _file_lock(path: Path | None) -> Iterator[None]:
    """Hold a file lock: the switch of a new SQLite file to its write-ahead log does not wait for anybody."""
    if path is None:
        yield
        return
    with path.with_name(f"{path.name}.migrate-lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sqlite_path(url: str) -> Path | None:
    address = make_url(url)
    return Path(address.database or "").absolute() if address.get_backend_name() == "sqlite" else None
