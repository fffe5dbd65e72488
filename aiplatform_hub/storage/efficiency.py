"""What sessions held and did, and how long requests waited, over some weeks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, or_, select

from aiplatform_hub.domain.activity import Activity
from aiplatform_hub.domain.allocations import AllocationState
from aiplatform_hub.domain.gpu_weeks import GpuSpan, Waited
from aiplatform_hub.storage.schema import activity_intervals as activities
from aiplatform_hub.storage.schema import allocations
from aiplatform_hub.storage.schema import usage_intervals as intervals

MOST_REQUESTS = 50_000
"""So many requests are looked at, the newest."""
_GONE = (AllocationState.DENIED.value, AllocationState.WITHDRAWN.value, AllocationState.EXPIRED.value)


class EfficiencyStore:
    """Reads spans and waits."""

    def held(self, connection: Connection, start: datetime) -> Iterator[GpuSpan]:
        """Yield the spans in which sessions held GPUs and that reach beyond an instant; open ones to their last proof of life."""
        end = func.coalesce(intervals.c.ended_at, intervals.c.last_seen_at, intervals.c.started_at, type_=intervals.c.started_at.type)
        statement = select(intervals.c.started_at, end.label("end"), intervals.c.gpus).where(intervals.c.gpus > 0, *_reaching(start))
        yield from (GpuSpan(row.started_at, row.end, row.gpus) for row in connection.execute(statement))

    def used(self, connection: Connection, start: datetime) -> Iterator[GpuSpan]:
        """Yield the spans in which their GPUs computed."""
        end = func.coalesce(activities.c.ended_at, activities.c.last_seen_at, type_=activities.c.started_at.type)
        statement = (
            select(activities.c.started_at, end.label("end"), intervals.c.gpus)
            .join(intervals, intervals.c.allocation_id == activities.c.allocation_id)
            .where(intervals.c.gpus > 0, *_reaching(start), activities.c.activity == Activity.USED.value)
        )
        yield from (GpuSpan(row.started_at, row.end, row.gpus) for row in connection.execute(statement))

    def waited(self, connection: Connection, start: datetime, now: datetime) -> list[Waited]:
        """Return how long the requests for GPUs since an instant waited; without those that were refused or given up."""
        columns = (allocations.c.gpus, allocations.c.requested_at, allocations.c.held_at, allocations.c.state)
        asked = (allocations.c.requested_at >= start, allocations.c.gpus > 0, allocations.c.succeeds.is_(None), allocations.c.state.not_in(_GONE))
        rows = connection.execute(select(*columns).where(*asked).order_by(allocations.c.requested_at.desc()).limit(MOST_REQUESTS))
        queued = AllocationState.QUEUED.value
        return [
            Waited(row.gpus, ((row.held_at or now) - row.requested_at).total_seconds(), is_waiting=row.state == queued)
            for row in rows
            if row.held_at is not None or row.state == queued
        ]


def _reaching(start: datetime) -> tuple[ColumnElement[bool], ...]:
    return (or_(intervals.c.ended_at > start, intervals.c.ended_at.is_(None)),)
