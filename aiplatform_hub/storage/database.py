"""The database: engine, and the two kinds of transaction.

``write()`` takes the lock that makes *decide and hold* one step: on SQLite ``BEGIN
IMMEDIATE``, on PostgreSQL the row of the capacity pool, which the first statement of a
decision locks. Neither waits longer than ``lock_timeout``.
"""

from __future__ import annotations

import random
import select as sockets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, QueuePool, bindparam, create_engine, event, func, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, DisconnectionError, IntegrityError, InvalidatePoolError, NotSupportedError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from aiplatform_hub.errors import LedgerError, ServiceUnavailableError

__all__ = [
    "TOO_MUCH",
    "UNAVAILABLE",
    "AdvisoryLock",
    "Connection",
    "Database",
    "DatabaseAwayError",
    "DatabaseBusyError",
    "TakenError",
    "after_commit",
    "has_table",
]

UNAVAILABLE = "The platform's database does not answer. Running servers go on; try again in a minute."

TOO_MUCH = "The ledger holds more than can be added up exactly in one group. Ask for a shorter span."

_OUR_FAULT = (ProgrammingError, DataError, NotSupportedError)
"""Errors that a working database reports, as it reports a broken constraint; every other one means that it does not work: locked, gone, read-only, full, damaged."""

_BUSY = frozenset({"SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_BUSY_RECOVERY", "SQLITE_LOCKED"})

_AFTER_COMMIT = "after_commit"
"""Where a connection carries what is called after the commit."""

_LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's code for a lock that did not come within ``lock_timeout``."""

_OUT_OF_RANGE = "22003"
"""PostgreSQL's code for a number that its type does not hold."""
_SQLITE_OVERFLOW = "integer overflow"
"""What SQLite says of a sum that 63 bits do not hold; it has no code of its own."""


class DatabaseAwayError(ServiceUnavailableError):
    """The database does not answer, or not in time."""


class DatabaseBusyError(DatabaseAwayError):
    """Another writer had the lock for too long; nothing was written, so the same may be tried again."""


class TakenError(IntegrityError):
    """A constraint refused a row: what it names exists already, or another transaction was faster."""

    @property
    def constraint(self) -> str:
        """What the database says of the constraint, with its name or its columns."""
        return str(self.orig)


class Database:
    """A pool of connections for readers and one connection for the writer. Safe to use from several threads.

    Writers of one process wait for each other in the order in which they came, so that the
    database's own lock only sees one contender for each process.

    Parameters
    ----------
    url
        SQLAlchemy address, ``sqlite:////path/file`` or ``postgresql+psycopg://…``.
    lock_timeout
        Longest wait for another writer.
    on_unavailable
        Called when a transaction failed because the database does not answer; counts.
    """

    def __init__(self, *, url: str, lock_timeout: timedelta = timedelta(milliseconds=500), on_unavailable: Callable[[], object] | None = None) -> None:
        self.url = url
        self._on_unavailable = on_unavailable or (lambda: None)
        self._lock_seconds = lock_timeout.total_seconds()
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        make = self._sqlite_engine if self.is_sqlite else self._postgresql_engine
        self.engine = make(pool_size=5, max_overflow=20, pool_timeout=1)
        """For readers."""
        self.writer = make(pool_size=1, max_overflow=0, pool_timeout=self._lock_seconds)
        """For :meth:`write` alone."""
        self._turns = _Turns()

    def _sqlite_engine(self, **pool: Any) -> Engine:
        path = Path(make_url(self.url).database or "").absolute()

        def connect() -> sqlite3.Connection:
            # mode=rw: a database that is gone must not come back empty
            connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=self._lock_seconds, check_same_thread=False)
            connection.isolation_level = None  # we say BEGIN ourselves
            for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=0"):
                connection.execute(f"PRAGMA {setting}")
            return connection

        engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, **pool)

        @event.listens_for(engine, "connect")
        def _remember(_connection: Any, record: Any) -> None:
            record.info["inode"] = _inode(path)

        @event.listens_for(engine, "checkout")
        def _still_there(_connection: Any, record: Any, _proxy: Any) -> None:
            # an open file can be written to after its name is gone; what it holds then is lost
            if record.info["inode"] != _inode(path):
                raise DisconnectionError("the database file was replaced or removed")

        return engine

    def _postgresql_engine(self, **pool: Any) -> Engine:
        # half the time for the wait inside this process, half for other processes' locks
        milliseconds = int(self._lock_seconds * 500)
        options = f"-c lock_timeout={milliseconds} -c statement_timeout=30000"
        connect_args = {"connect_timeout": 2, "options": options}
        engine = create_engine(self.url, isolation_level="READ COMMITTED", connect_args=connect_args, **pool)

        @event.listens_for(engine, "checkout")
        def _still_open(connection: Any, _record: Any, _proxy: Any) -> None:
            # a server that ends or restarts closes its connections: seen without the three messages of a ping before each transaction
            if connection.closed or _has_unread(connection.fileno()):
                raise InvalidatePoolError("the database closed a connection, or said something unasked")

        return engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read transaction: one snapshot on SQLite.

        Raises
        ------
        LedgerError
            If something adds up to more than the database's integers hold.
        ServiceUnavailableError
            If the database does not answer.
        """
        with self._transaction(self.engine, "BEGIN") as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a read transaction in which all statements see the same moment, on PostgreSQL too.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        with self.read() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def write(self, *, is_first: bool = False) -> Iterator[Connection]:
        """Open a write transaction; it commits at the end of the block, or rolls back on an exception.

        Parameters
        ----------
        is_first
            Whether it goes before whoever waits in this process already: for decisions, which somebody looks at.

        Raises
        ------
        TakenError
            If a row breaks a constraint.
        DatabaseBusyError
            If it is locked for too long.
        ServiceUnavailableError
            If the database does not answer, is read-only or full.
        """
        if not self._turns.take(self._lock_seconds, is_first=is_first):
            self._on_unavailable()
            raise DatabaseBusyError(UNAVAILABLE, retry_after_seconds=5)
        try:
            with self._transaction(self.writer, "BEGIN IMMEDIATE") as connection:
                yield connection
        finally:
            self._turns.give()

    @contextmanager
    def _transaction(self, engine: Engine, begin: str) -> Iterator[Connection]:
        deadline = time.monotonic() + self._lock_seconds
        try:
            with engine.connect() as connection:
                if self.is_sqlite:
                    _begin(connection, begin, deadline)
                calls = connection.info[_AFTER_COMMIT] = []
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()
                for call in calls:
                    call()
        except IntegrityError as error:
            raise TakenError(error.statement, error.params, error.orig or error) from error
        except _OUR_FAULT as error:
            if engine is self.engine and _is_overflow(error):
                raise LedgerError(TOO_MUCH) from error
            raise
        except (DBAPIError, PoolTimeoutError, DisconnectionError) as error:
            if engine is self.engine and _is_overflow(error):
                raise LedgerError(TOO_MUCH) from error
            self._on_unavailable()
            kind = DatabaseBusyError if _is_busy(error) else DatabaseAwayError
            raise kind(UNAVAILABLE, retry_after_seconds=5) from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self.writer.dispose()


def after_commit(connection: Connection, call: Callable[[], object]) -> None:
    """Have something called once the transaction is committed, before another writer of this process begins; never if it is rolled back."""
    connection.info[_AFTER_COMMIT].append(call)


class _Turns:
    """A lock that threads have in the order in which they asked for it. The pool's own queue lets a thread that comes later take what another waits for."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._is_taken = False

    def take(self, seconds: float, *, is_first: bool = False) -> bool:
        """Wait for the lock, at the end of the line or at its head; return whether it came in time."""
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return True
            turn = threading.Event()
            (self._waiting.appendleft if is_first else self._waiting.append)(turn)
        if turn.wait(seconds):
            return True
        with self._mutex:
            if turn.is_set():
                return True
            self._waiting.remove(turn)
            return False

    def give(self) -> None:
        """Pass the lock on to whoever has waited longest."""
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False


class AdvisoryLock:
    """A lock of a PostgreSQL database that one process holds for as long as its own connection lives.

    Nothing has to be given back after a crash: the server gives it up with the connection. A
    machine that vanished from the network is noticed by the server's keep-alives.

    Parameters
    ----------
    number
        Which lock: a signed 64-bit number.
    """

    def __init__(self, *, url: str, number: int) -> None:
        options = "-c statement_timeout=5000 -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
        self._engine = create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            connect_args={"connect_timeout": 2, "options": options, "application_name": "aiplatform-lock"},
        )
        self._number = number
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        """Try to take the lock, without waiting; False while another process has it.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            return bool(self._connection.execute(_TAKE, {"number": self._number}).scalar_one())
        except DBAPIError as error:
            self.release()
            raise DatabaseAwayError(UNAVAILABLE, retry_after_seconds=5) from error

    def is_held(self) -> bool:
        """Whether the connection that carries the lock still lives."""
        try:
            return self._connection is not None and self._connection.execute(select(1)).scalar_one() == 1
        except DBAPIError:
            return False

    def release(self) -> None:
        """Give the lock up by closing its connection."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
        self._engine.dispose()


_TAKE = select(func.pg_try_advisory_lock(bindparam("number")))


def has_table(url: str, name: str) -> bool:
    """Whether a database, also one that is not ours, has a table."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        return inspect(engine).has_table(name)
    finally:
        engine.dispose()


def _begin(connection: Connection, begin: str, deadline: float) -> None:
    """Begin on SQLite, asking again every few milliseconds: its own waiting sleeps longer and longer, and starves some."""
    while True:
        try:
            connection.exec_driver_sql(begin)
        except OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.001, 0.005))  # noqa: S311  no secret
        else:
            return


def _is_busy(error: DBAPIError | PoolTimeoutError | DisconnectionError) -> bool:
    """Whether a lock was not to be had in time."""
    orig = getattr(error, "orig", None)
    return getattr(orig, "sqlite_errorname", "") in _BUSY or getattr(orig, "sqlstate", "") == _LOCK_NOT_AVAILABLE


def _is_overflow(error: DBAPIError | PoolTimeoutError | DisconnectionError) -> bool:
    """Whether a sum or a product was too large for the database's integers."""
    orig = getattr(error, "orig", None)
    return str(orig) == _SQLITE_OVERFLOW or getattr(orig, "sqlstate", "") == _OUT_OF_RANGE


def _has_unread(descriptor: int) -> bool:
    """Whether a socket was closed at its other end, or has something to read."""
    looking = sockets.poll()
    looking.register(descriptor, sockets.POLLIN)
    return bool(looking.poll(0))


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
