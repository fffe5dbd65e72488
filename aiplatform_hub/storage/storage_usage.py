"""Measured size of people's storage."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from aiplatform_hub.storage.schema import storage_usage


class StorageUsageStore:
    """Reads and writes measured sizes in bytes."""

    def record(self, connection: Connection, sizes: Mapping[str, int], at: datetime) -> None:
        """Store the measured size of each person's storage by user name."""
        for user_name, size in sizes.items():
            values = {"storage_bytes": size, "measured_at": at}
            if not connection.execute(update(storage_usage).where(storage_usage.c.user_name == user_name).values(**values)).rowcount:
                connection.execute(insert(storage_usage).values(user_name=user_name, **values))

    def find(self, connection: Connection, user_name: str) -> int | None:
        """Return the measured size in bytes, or None if it was never measured."""
        return connection.execute(select(storage_usage.c.storage_bytes).where(storage_usage.c.user_name == user_name)).scalar_one_or_none()
