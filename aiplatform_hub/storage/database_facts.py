"""What a database says of itself."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, text

from aiplatform_hub.domain.health import DatabaseHealth
from aiplatform_hub.storage.migrate import VERSION_TABLE
from aiplatform_hub.storage.schema import usage_intervals

_SQLITE = "SELECT sqlite_version(), (SELECT page_count FROM pragma_page_count()) * (SELECT page_size FROM pragma_page_size())"
_POSTGRESQL = "SELECT current_setting('server_version'), pg_database_size(current_database())"


def database_facts(connection: Connection) -> DatabaseHealth:
    """Return kind, version, size and the revision of the tables."""
    is_sqlite = connection.dialect.name == "sqlite"
    row = connection.execute(text(_SQLITE if is_sqlite else _POSTGRESQL)).one()
    revision = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608  a constant
    return DatabaseHealth(kind="SQLite" if is_sqlite else "PostgreSQL", version=str(row[0]), size_bytes=int(row[1]), revision=str(revision or ""))


def ledger_rows(connection: Connection) -> int:
    """Return how many closed intervals the ledger's chain has: its highest sequence."""
    return connection.execute(select(func.max(usage_intervals.c.sequence))).scalar() or 0
