"""The policies that the queue has followed, as they were written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select

from aiplatform_hub.storage.schema import policies


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """One version of the policy."""

    version: int
    """From 1; the highest counts."""
    applied_at: datetime
    """Aware UTC."""
    applied_by: str
    document: str
    """The YAML as it was given."""


class PolicyStore:
    """Reads and adds versions; none is ever changed."""

    def insert(self, connection: Connection, document: str, *, at: datetime, by: str) -> int:
        """Add a version and return its number."""
        done = connection.execute(insert(policies).values(applied_at=at, applied_by=by[:255], document=document))
        return int(done.inserted_primary_key[0]) if done.inserted_primary_key else 0

    def newest_version(self, connection: Connection) -> int:
        """Return the highest version; 0 before the first."""
        return connection.execute(select(func.max(policies.c.version))).scalar_one() or 0

    def latest(self, connection: Connection, *, limit: int, before: int | None = None) -> tuple[StoredPolicy, ...]:
        """Return versions, the newest first.

        Parameters
        ----------
        before
            Only those below this version.
        """
        statement = select(policies).order_by(policies.c.version.desc()).limit(limit)
        if before is not None:
            statement = statement.where(policies.c.version < before)
        return tuple(_of(row) for row in connection.execute(statement).mappings())


def _of(row: RowMapping | Any) -> StoredPolicy:
    return StoredPolicy(version=row["version"], applied_at=row["applied_at"], applied_by=row["applied_by"], document=row["document"])
