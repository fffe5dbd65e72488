"""What people are told, and whether each channel has passed it on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BindParameter, Connection, Insert, RowMapping, Table, bindparam, exists, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.notices import Notice, NoticeKind
from aiplatform_hub.storage.allocations import allocation_of
from aiplatform_hub.storage.live_allocations import IS_LIVE
from aiplatform_hub.storage.schema import allocations, notification_deliveries, notifications

_IS_DUE = text("notification_deliveries.next_at IS NOT NULL")
"""Written out: both databases use the partial index only where the query states its condition word for word."""


_USER: BindParameter[str] = bindparam("user_name")
_WAITS = exists().where(IS_LIVE, allocations.c.user_name == _USER, allocations.c.state.in_(("queued", "held")))
_NEWEST = select(func.coalesce(func.max(notifications.c.id), 0)).where(notifications.c.user_name == _USER).scalar_subquery()
_MARKS = select(_NEWEST.label("newest"), _WAITS.label("is_waiting"))
_SHOWN = (
    select(notifications)
    .where(notifications.c.user_name == _USER, notifications.c.dismissed_at.is_(None))
    .order_by(notifications.c.id.desc())
    .limit(bindparam("most"))
)


class Marks(NamedTuple):
    """What a page tells the script about a person's notices."""

    newest: int
    """The id of the newest; 0 where there is none."""
    is_waiting: bool
    """Whether the person waits for something to start."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice that one channel has to pass on."""

    id: int
    attempts: int
    """Tries that failed."""
    notice: Notice


class NotificationStore:
    """Rows of ``notifications`` and ``notification_deliveries``."""

    def tell(self, connection: Connection, notice: Notice, channels: Sequence[str]) -> bool:
        """Add a notice and its deliveries, due at once; False when its key was told before. The notice's id is not read."""
        values = {name: getattr(notice, name) for name in ("key", "at", "user_name", "allocation_id")}
        statement = _unless_there(connection, notifications, "key").values(**values, kind=notice.kind.value, detail=dict(notice.detail))
        added = connection.execute(statement.returning(notifications.c.id)).scalar_one_or_none()
        if added is None:
            return False
        connection.execute(insert(notification_deliveries), [{"notification_id": added, "channel": name, "next_at": notice.at} for name in channels])
        return True

    def find(self, connection: Connection, notice_id: int) -> Notice | None:
        """Return the notice with this id, or None."""
        row = connection.execute(select(notifications).where(notifications.c.id == notice_id)).mappings().one_or_none()
        return None if row is None else _notice(row)

    def of(self, connection: Connection, user_name: str, *, limit: int, before: int | None = None) -> tuple[Notice, ...]:
        """Return a person's notices, the newest first.

        Parameters
        ----------
        before
            Only those with smaller ids.
        """
        columns = notifications.c
        statement = select(notifications).where(columns.user_name == user_name).order_by(columns.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(columns.id < before)
        return tuple(_notice(row) for row in connection.execute(statement).mappings())

    def shown(self, connection: Connection, user_name: str, *, most: int) -> tuple[Notice, ...]:
        """Return what a person was told and has not dismissed, the newest first."""
        return tuple(_notice(row) for row in connection.execute(_SHOWN, {"user_name": user_name, "most": most}).mappings())

    def marks(self, connection: Connection, user_name: str) -> Marks:
        """Return the newest notice of a person, and whether they wait for a start."""
        row = connection.execute(_MARKS, {"user_name": user_name}).one()
        return Marks(int(row.newest), bool(row.is_waiting))

    def subjects(self, connection: Connection, notices: Collection[Notice]) -> dict[UUID, Allocation]:
        """Return the allocations that notices are about, as they are now."""
        ids = {notice.allocation_id for notice in notices if notice.allocation_id is not None}
        if not ids:
            return {}
        rows = connection.execute(select(allocations).where(allocations.c.id.in_(ids))).mappings()
        return {row["id"]: allocation_of(row) for row in rows}

    def dismiss(self, connection: Connection, notice_id: int, user_name: str, at: datetime) -> bool:
        """Note that somebody has seen a notice of theirs; False when there is none, or it was dismissed before."""
        columns = notifications.c
        where = (columns.id == notice_id, columns.user_name == user_name, columns.dismissed_at.is_(None))
        return bool(connection.execute(update(notifications).where(*where).values(dismissed_at=at)).rowcount)

    def latest_id(self, connection: Connection) -> int:
        """Return the id of the newest notice; 0 when there is none."""
        return int(connection.execute(select(func.coalesce(func.max(notifications.c.id), 0))).scalar_one())

    def latest_ids(self, connection: Connection, people: Collection[str]) -> dict[str, int]:
        """Return the id of the newest notice of each of these people who has one."""
        columns = notifications.c
        statement = select(columns.user_name, func.max(columns.id)).where(columns.user_name.in_(sorted(people))).group_by(columns.user_name)
        return {user_name: int(latest) for user_name, latest in connection.execute(statement)}

    def latest_of(self, connection: Connection, kinds: Collection[NoticeKind]) -> Notice | None:
        """Return the newest notice of some kinds."""
        statement = select(notifications).where(notifications.c.kind.in_([kind.value for kind in kinds])).order_by(notifications.c.id.desc()).limit(1)
        row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else _notice(row)

    def until_of(self, connection: Connection, key: str) -> datetime | None:
        """Return the time that a notice named; None if it named none, or was never told."""
        return self.untils_of(connection, [key]).get(key)

    def untils_of(self, connection: Connection, keys: Collection[str]) -> dict[str, datetime]:
        """Return the times that notices named, by key; those that named none, or were never told, are absent."""
        columns = notifications.c
        rows = connection.execute(select(columns.key, columns.detail).where(columns.key.in_(keys))) if keys else ()
        return {key: datetime.fromisoformat(detail["until"]) for key, detail in rows if detail.get("until")}

    def told_untils(self, connection: Connection, allocation_ids: Collection[UUID], kind: NoticeKind) -> dict[UUID, datetime]:
        """Return the time that the newest notice of a kind named, for each allocation that has one; whether it was dismissed or not."""
        columns = notifications.c
        statement = select(columns.allocation_id, columns.detail).where(columns.allocation_id.in_(allocation_ids), columns.kind == kind.value)
        rows = connection.execute(statement.order_by(columns.id)) if allocation_ids else ()
        return {id_: datetime.fromisoformat(detail["until"]) for id_, detail in rows if detail.get("until")}

    def take_back(self, connection: Connection, allocation_id: UUID, kind: NoticeKind, at: datetime) -> None:
        """Dismiss what was told of a kind about an allocation, and let no channel pass it on any more."""
        mine = (notifications.c.allocation_id == allocation_id, notifications.c.kind == kind.value)
        waiting = notification_deliveries.c.notification_id.in_(select(notifications.c.id).where(*mine))
        connection.execute(update(notification_deliveries).where(_IS_DUE, waiting).values(next_at=None))
        connection.execute(update(notifications).where(*mine, notifications.c.dismissed_at.is_(None)).values(dismissed_at=at))

    def due(self, connection: Connection, channel: str, now: datetime, *, limit: int) -> tuple[Delivery, ...]:
        """Return what a channel has to pass on by now, the longest due first."""
        columns = notification_deliveries.c
        statement = (
            select(columns.id.label("delivery_id"), columns.attempts, notifications)
            .join(notifications, notifications.c.id == columns.notification_id)
            .where(_IS_DUE, columns.channel == channel, columns.next_at <= now)
            .order_by(columns.next_at, columns.id)
            .limit(limit)
        )
        return tuple(Delivery(row["delivery_id"], row["attempts"], _notice(row)) for row in connection.execute(statement).mappings())

    def delivered(self, connection: Connection, delivery: Delivery, at: datetime) -> None:
        """Note that a channel has passed a notice on."""
        self._settle(connection, delivery, {"delivered_at": at, "next_at": None, "error": None})

    def failed(self, connection: Connection, delivery: Delivery, error: str, next_at: datetime | None) -> None:
        """Note that a try failed, and when the next one is due; None gives up."""
        self._settle(connection, delivery, {"error": error, "next_at": next_at})

    @staticmethod
    def _settle(connection: Connection, delivery: Delivery, values: Mapping[str, Any]) -> None:
        statement = update(notification_deliveries).where(notification_deliveries.c.id == delivery.id)
        connection.execute(statement.values(attempts=delivery.attempts + 1, **values))


def _unless_there(connection: Connection, table: Table, column: str) -> Any:
    """Return an insert that does nothing where the column's value exists already."""
    dialects: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    statement: Insert = dialects[connection.dialect.name](table)
    return statement.on_conflict_do_nothing(index_elements=[column])  # type: ignore[attr-defined]  # both dialects have it


def _notice(row: RowMapping) -> Notice:
    return Notice(
        id=row["id"],
        key=row["key"],
        at=row["at"],
        user_name=row["user_name"],
        allocation_id=row["allocation_id"],
        kind=NoticeKind(row["kind"]),
        detail=row["detail"],
        dismissed_at=row["dismissed_at"],
    )
