"""What admins tell everybody, as rows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, select, update

from aiplatform_hub.domain.announcements import Announcement, Draft, Level
from aiplatform_hub.storage.schema import announcements

MOST = 100
"""More are never read at once."""


class AnnouncementStore:
    """Reads and writes announcements; none is ever deleted."""

    def insert(self, connection: Connection, draft: Draft, *, at: datetime, by: str) -> Announcement:
        """Store what somebody tells, and return it with its id."""
        values = {
            "text": draft.text,
            "level": draft.level.value,
            "starts_at": draft.starts_at,
            "ends_at": draft.ends_at,
            "is_maintenance": draft.is_maintenance,
            "created_by": by[:255],
            "created_at": at,
        }
        key = connection.execute(insert(announcements).values(**values)).inserted_primary_key
        return _of({"id": key[0] if key else 0, "withdrawn_at": None, **values})

    def not_over(self, connection: Connection, at: datetime) -> tuple[Announcement, ...]:
        """Return what counts at an instant or later, the first to begin first."""
        columns = announcements.c
        statement = select(announcements).where(columns.ends_at > at, columns.withdrawn_at.is_(None)).order_by(columns.starts_at, columns.id).limit(MOST)
        return tuple(_of(row) for row in connection.execute(statement).mappings())

    def latest(self, connection: Connection, *, limit: int) -> tuple[Announcement, ...]:
        """Return those that were told last, the newest first; also what is over or withdrawn."""
        rows = connection.execute(select(announcements).order_by(announcements.c.id.desc()).limit(limit)).mappings()
        return tuple(_of(row) for row in rows)

    def find(self, connection: Connection, id_: int) -> Announcement | None:
        """Return one by its id, or None."""
        row = connection.execute(select(announcements).where(announcements.c.id == id_)).mappings().one_or_none()
        return None if row is None else _of(row)

    def withdraw(self, connection: Connection, id_: int, at: datetime | None) -> None:
        """Take one back at an instant; None lets it count again."""
        connection.execute(update(announcements).where(announcements.c.id == id_).values(withdrawn_at=at))


def _of(row: RowMapping | dict[str, object]) -> Announcement:
    return Announcement(**{**row, "level": Level(row["level"])})  # type: ignore[arg-type]  # the columns are its fields
