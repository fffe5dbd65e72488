"""The database: engine, and the two kinds of transaction.

``write()`` takes the lock that makes *decide and hold* one step: on SQLite ``BEGIN
IMMEDIATE``, on PostgreSQL the row of the capacity pool, which the first statement of a
decision locks. Neither waits longer than ``lock_timeout``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from aiplatform_hub.errors import ServiceUnavailableError

UNAVAILABLE = "The platform's database does not answer. Running servers go on; try again in a minute."


class Database:
    """One engine. Safe to use from several threads; each transaction has its own connection.

    Parameters
    ----------
    url
        SQLAlchemy address, ``sqlite:////path/file`` or ``postgresql+psycopg://…``.
    lock_timeout
        Longest wait for another writer.
    """

    def __init__(self, *, url: str, lock_timeout: timedelta = timedelta(milliseconds=500)) -> None:
        self.url = url
        self._lock_timeout = lock_timeout
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self.engine = self._sqlite_engine() if self.is_sqlite else self._postgresql_engine()

    def _sqlite_engine(self) -> Engine:
        seconds = self._lock_timeout.total_seconds()
        engine = create_engine(self.url, connect_args={"timeout": seconds, "check_same_thread": False})

        @event.listens_for(engine, "connect")
        def _connect(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

        return engine

    def _postgresql_engine(self) -> Engine:
        milliseconds = int(self._lock_timeout.total_seconds() * 1000)
        options = f"-c lock_timeout={milliseconds} -c statement_timeout=30000"
        return create_engine(
            self.url,
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            pool_timeout=1,
            connect_args={"connect_timeout": 2, "options": options},
        )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read transaction: one snapshot on SQLite.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a write transaction; it commits at the end of the block, or rolls back on an exception.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer, is locked for too long, read-only or full.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        try:
            with self.engine.connect() as connection:
                if self.is_sqlite:
                    connection.exec_driver_sql(begin)
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()
        except (OperationalError, PoolTimeoutError) as error:
            raise ServiceUnavailableError(UNAVAILABLE, retry_after_seconds=5) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise ServiceUnavailableError(UNAVAILABLE, retry_after_seconds=5) from error
            raise

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
