"""What the GPUs of running sessions do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, bindparam, delete, func, insert, literal_column, select, update

from aiplatform_hub.domain.activity import LONGEST_GAP, Activity, ActivityInterval, GpuSample
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.schema import activity_intervals, gpu_samples, usage_intervals

FRESH = timedelta(seconds=60)
"""Age from which a GPU's last sample is no longer shown as what it does now. Nothing is given back by it."""

_IS_OPEN: ColumnElement[bool] = literal_column("activity_intervals.ended_at IS NULL")
"""Written out, not bound: both databases use a partial index only where the query states its condition word for word."""

_OF_SESSION = usage_intervals.c.allocation_id == activity_intervals.c.allocation_id
_OPEN = select(activity_intervals, usage_intervals.c.ended_at.label("session_ended_at")).join(usage_intervals, _OF_SESSION).where(_IS_OPEN)
_EXTEND = update(activity_intervals).where(activity_intervals.c.id == bindparam("b_id"), _IS_OPEN)
_SAMPLE = update(gpu_samples).where(gpu_samples.c.device_uuid == bindparam("b_uuid"))


@dataclass(frozen=True, slots=True)
class OpenActivity:
    """An interval that goes on as long as the samples say the same."""

    id: int
    interval: ActivityInterval
    session_ended_at: datetime | None
    """When its session ended; None while it runs."""


class ActivityStore:
    """Rows of the tables ``activity_intervals`` and ``gpu_samples``."""

    def idle_since(self, connection: Connection, now: datetime) -> dict[UUID, datetime]:
        """Return since when all GPUs of a session have been idle, for the sessions of which this is known now.

        Parameters
        ----------
        now
            Aware UTC. A session without a sample for longer than :data:`LONGEST_GAP` is not named: unknown is not idle.
        """
        rows = connection.execute(
            select(activity_intervals.c.allocation_id, activity_intervals.c.started_at).where(
                activity_intervals.c.ended_at.is_(None), activity_intervals.c.activity == "idle", activity_intervals.c.last_seen_at >= now - LONGEST_GAP
            )
        )
        return {row.allocation_id: row.started_at for row in rows}

    def samples(self, connection: Connection) -> dict[str, GpuSample]:
        """Return the last sample of each GPU by UUID, however old."""
        rows = connection.execute(select(gpu_samples)).mappings()
        return {row["device_uuid"]: GpuSample(row["at"], row["utilisation_percent"], row["memory_bytes"]) for row in rows}

    def fresh_samples(self, connection: Connection, now: datetime) -> dict[str, GpuSample]:
        """Return what each GPU does now, by UUID; those of which nobody knows are absent."""
        return {uuid: sample for uuid, sample in self.samples(connection).items() if now - FRESH < sample.at <= now + FRESH}

    def store_samples(self, connection: Connection, samples: Mapping[str, GpuSample], known: Collection[str]) -> None:
        """Store the last sample of each GPU in place of the one before.

        Parameters
        ----------
        known
            The GPUs that have one already, read in this transaction.
        """
        rows = {uuid: {"at": s.at, "utilisation_percent": s.utilisation_percent, "memory_bytes": s.memory_bytes} for uuid, s in samples.items()}
        changed = [{"b_uuid": uuid, **values} for uuid, values in rows.items() if uuid in known]
        added = [{"device_uuid": uuid, **values} for uuid, values in rows.items() if uuid not in known]
        if changed:
            connection.execute(_SAMPLE, changed)
        if added:
            connection.execute(insert(gpu_samples), added)

    def open(self, connection: Connection) -> dict[UUID, OpenActivity]:
        """Return every open interval by allocation."""
        return {row["allocation_id"]: _open(row) for row in connection.execute(_OPEN).mappings()}

    def last_ends(self, connection: Connection, ids: Collection[UUID]) -> dict[UUID, datetime]:
        """Return where the closed intervals of some allocations end; those that have none are absent."""
        if not ids:
            return {}
        closed = select(activity_intervals.c.allocation_id, func.max(activity_intervals.c.ended_at).label("end"))
        rows = connection.execute(closed.where(activity_intervals.c.allocation_id.in_(ids)).group_by(activity_intervals.c.allocation_id))
        return {row.allocation_id: row.end for row in rows if row.end is not None}

    def begin(self, connection: Connection, intervals: Iterable[ActivityInterval]) -> None:
        """Add open intervals."""
        rows = [{"allocation_id": each.allocation_id, "started_at": each.started_at, **_values(each)} for each in intervals]
        if rows:
            connection.execute(insert(activity_intervals), rows)

    def extend(self, connection: Connection, longer: Mapping[int, ActivityInterval]) -> None:
        """Write how far open intervals reach now, by id."""
        rows = [{"b_id": id_, **_values(each)} for id_, each in longer.items()]
        if rows:
            connection.execute(_EXTEND, rows)

    def close(self, connection: Connection, ids: Collection[int]) -> None:
        """Close open intervals at their last proof."""
        if ids:
            connection.execute(update(activity_intervals).where(activity_intervals.c.id.in_(ids), _IS_OPEN).values(ended_at=activity_intervals.c.last_seen_at))

    def end_session(self, connection: Connection, allocation_id: UUID, ended_at: datetime) -> None:
        """Close what is open of a session that has ended, and cut off what reaches beyond its end."""
        mine = activity_intervals.c.allocation_id == allocation_id
        ends = func.coalesce(activity_intervals.c.ended_at, activity_intervals.c.last_seen_at)
        connection.execute(delete(activity_intervals).where(mine, activity_intervals.c.started_at >= ended_at))
        connection.execute(update(activity_intervals).where(mine, ends > ended_at).values(ended_at=ended_at, last_seen_at=ended_at))
        connection.execute(update(activity_intervals).where(mine, _IS_OPEN).values(ended_at=activity_intervals.c.last_seen_at))

    def of_session(self, connection: Connection, allocation_id: UUID) -> tuple[ActivityInterval, ...]:
        """Return every interval of a session, oldest first."""
        columns = activity_intervals.c
        rows = connection.execute(select(activity_intervals).where(columns.allocation_id == allocation_id).order_by(columns.started_at, columns.id))
        return tuple(_interval(row) for row in rows.mappings())

    def was_used(self, connection: Connection, allocation_id: UUID) -> bool:
        """Return whether a GPU of a session was ever seen busy."""
        columns = activity_intervals.c
        statement = select(columns.id).where(columns.allocation_id == allocation_id, columns.activity == "used").limit(1)
        return connection.execute(statement).first() is not None


def _open(row: RowMapping) -> OpenActivity:
    return OpenActivity(row["id"], _interval(row), row["session_ended_at"])


def _interval(row: RowMapping) -> ActivityInterval:
    return ActivityInterval(
        allocation_id=row["allocation_id"],
        activity=Activity(row["activity"]),
        started_at=row["started_at"],
        last_seen_at=row["last_seen_at"],
        samples=row["samples"],
        mean_utilisation_percent=row["mean_utilisation_percent"],
        max_memory_bytes=row["max_memory_bytes"],
    )


def _values(interval: ActivityInterval) -> dict[str, object]:
    return {
        "activity": interval.activity.value,
        "last_seen_at": interval.last_seen_at,
        "samples": interval.samples,
        "mean_utilisation_percent": interval.mean_utilisation_percent,
        "max_memory_bytes": interval.max_memory_bytes,
    }
