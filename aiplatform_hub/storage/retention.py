"""Deletes what nobody needs any more, some rows at once. Nothing here knows the ledger's tables to write them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CompoundSelect, Connection, Select, Table, delete, exists, func, select, union

from aiplatform_hub.storage.schema import (
    activity_intervals,
    allocations,
    gpu_minutes,
    gpu_samples,
    launch_presets,
    notification_deliveries,
    notifications,
    session_minutes,
    usage_intervals,
)


class RetentionStore:
    """Old notices, old samples, and what says only that nothing was known."""

    def prune_notices(self, connection: Connection, before: datetime, *, limit: int) -> int:
        """Delete the oldest notices from before an instant with their deliveries; return how many.

        Kept are those that a channel has yet to pass on, those of requests and sessions that go on, by whose keys nothing is told
        twice, and the newest of each kind and each person, from which telling goes on.
        """
        columns, delivery = notifications.c, notification_deliveries.c
        is_due = exists().where(delivery.notification_id == columns.id, delivery.next_at.is_not(None))
        goes_on = exists().where(allocations.c.id == columns.allocation_id, allocations.c.ended_at.is_(None))
        newest: CompoundSelect[int] = union(*(select(func.max(columns.id)).group_by(each) for each in (columns.kind, columns.user_name)))
        old = select(columns.id).where(columns.at < before, ~is_due, ~goes_on, columns.id.not_in(newest))
        ids = _first(connection, old.order_by(columns.id), limit)
        connection.execute(delete(notification_deliveries).where(delivery.notification_id.in_(ids)))
        return _delete(connection, notifications, ids)

    def prune_unknown(self, connection: Connection, before: datetime, *, limit: int) -> int:
        """Delete intervals of unknown activity of sessions that ended before an instant; return how many.

        What a report does not find used or idle is not known, so it says the same without them.
        """
        columns = activity_intervals.c
        of_session = usage_intervals.c.allocation_id == columns.allocation_id
        is_over = exists().where(of_session, usage_intervals.c.ended_at < before)
        old = select(columns.id).where(columns.activity == "unknown", columns.ended_at < before, is_over)
        return _delete(connection, activity_intervals, _first(connection, old.order_by(columns.id), limit))

    def prune_minutes(self, connection: Connection, before: datetime, *, limit: int) -> int:
        """Delete the oldest minutes of sessions from before an instant; return how many, of the table of which most went."""
        return max(_delete_minutes(connection, table, before, limit) for table in (gpu_minutes, session_minutes))

    def prune_samples(self, connection: Connection, before: datetime) -> None:
        """Delete the last samples, from before an instant, of GPUs that are gone or silent: one row each."""
        connection.execute(delete(gpu_samples).where(gpu_samples.c.at < before))

    def prune_presets(self, connection: Connection, before: datetime) -> None:
        """Delete for good what people deleted before an instant: nobody has more than a few."""
        connection.execute(delete(launch_presets).where(launch_presets.c.deleted_at < before))


def _delete_minutes(connection: Connection, table: Table, before: datetime, limit: int) -> int:
    """Delete whole instants, one after the other, until some rows are gone."""
    gone = 0
    while gone < limit:
        oldest = connection.execute(select(func.min(table.c.at))).scalar()
        if oldest is None or oldest >= before:
            return gone
        gone += connection.execute(delete(table).where(table.c.at == oldest)).rowcount
    return gone


def _first(connection: Connection, ids: Select[int], limit: int) -> list[int]:
    return list(connection.execute(ids.limit(limit)).scalars())


def _delete(connection: Connection, table: Table, ids: list[int]) -> int:
    connection.execute(delete(table).where(table.c.id.in_(ids)))
    return len(ids)
