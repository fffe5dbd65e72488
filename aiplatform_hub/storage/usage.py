"""The ledger of usage intervals and its chain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, and_, bindparam, case, insert, literal, or_, select, update

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.storage.schema import Instant
from aiplatform_hub.storage.schema import usage_intervals as intervals

_CLOSED_OUTSIDE_CHAIN = and_(intervals.c.ended_at.is_not(None), intervals.c.sequence.is_(None))


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The newest row of the chain; sequence 0 and an empty hash when there is none."""

    sequence: int = 0
    hash: str = ""


@dataclass(frozen=True, slots=True)
class ClosedUse:
    """What a closed interval says of demand."""

    sequence: int
    user_name: str
    project: str
    environment_template: str
    gpus: int
    gpu_type: str | None
    started_at: datetime
    ended_at: datetime


_OPEN = insert(intervals)
_OPEN_OF = select(intervals).where(intervals.c.allocation_id == bindparam("allocation_id"), intervals.c.ended_at.is_(None))
_CLOSE = update(intervals).where(intervals.c.id == bindparam("of"), intervals.c.ended_at.is_(None))
_HEAD = select(intervals.c.sequence, intervals.c.hash).where(intervals.c.sequence.is_not(None)).order_by(intervals.c.sequence.desc()).limit(1)
_CLOSED = select(*(intervals.c[name] for name in ClosedUse.__slots__)).order_by(intervals.c.sequence)


def interval_of(row: RowMapping) -> UsageInterval:
    """Return the interval of a row."""
    values = dict(row)
    values["end_cause"] = None if values["end_cause"] is None else EndCause(values["end_cause"])
    return UsageInterval(**values)


class UsageStore:
    """Reads and writes usage intervals."""

    def open(self, connection: Connection, interval: UsageInterval) -> None:
        """Add an open interval.

        Raises
        ------
        TakenError
            If its allocation already has an open one.
        """
        connection.execute(
            _OPEN,
            {
                "id": interval.id,
                "allocation_id": interval.allocation_id,
                "user_id": interval.user_id,
                "user_name": interval.user_name,
                "project": interval.project,
                "cost_centre": interval.cost_centre,
                "environment_template": interval.environment_template,
                "gpus": interval.gpus,
                "gpu_type": interval.gpu_type,
                "memory_bytes": interval.memory_bytes,
                "cpu_cores": interval.cpu_cores,
                "started_at": interval.started_at,
                "last_seen_at": interval.last_seen_at,
            },
        )

    def close(self, connection: Connection, interval: UsageInterval) -> bool:
        """Write the end and the chain of an interval that is still open; False if it is not."""
        cause = None if interval.end_cause is None else interval.end_cause.value
        values: dict[str, Any] = {
            "of": interval.id,
            "ended_at": interval.ended_at,
            "end_cause": cause,
            "estimated": interval.estimated,
            "sequence": interval.sequence,
            "previous_hash": interval.previous_hash,
            "hash": interval.hash,
        }
        return bool(connection.execute(_CLOSE, values).rowcount)

    def head(self, connection: Connection) -> ChainHead:
        """Return the newest row of the chain."""
        row = connection.execute(_HEAD).one_or_none()
        return ChainHead() if row is None else ChainHead(sequence=row.sequence, hash=row.hash or "")

    def open_of(self, connection: Connection, allocation_id: UUID) -> UsageInterval | None:
        """Return the open interval of an allocation, or None."""
        row = connection.execute(_OPEN_OF, {"allocation_id": allocation_id}).mappings().one_or_none()
        return None if row is None else interval_of(row)

    def of_allocation(self, connection: Connection, allocation_id: UUID) -> tuple[UsageInterval, ...]:
        """Return all intervals of an allocation, the oldest first."""
        statement = select(intervals).where(intervals.c.allocation_id == allocation_id).order_by(intervals.c.started_at)
        return tuple(interval_of(row) for row in connection.execute(statement).mappings())

    def all_open(self, connection: Connection) -> tuple[UsageInterval, ...]:
        """Return every open interval, the oldest first."""
        statement = select(intervals).where(intervals.c.ended_at.is_(None)).order_by(intervals.c.started_at)
        return tuple(interval_of(row) for row in connection.execute(statement).mappings())

    def seen(self, connection: Connection, proofs: Mapping[UUID, datetime]) -> int:
        """Store proofs of life of open intervals in one statement, never backwards; return how many moved."""
        if not proofs:
            return 0
        at = case(*[(intervals.c.allocation_id == id_, literal(moment, Instant)) for id_, moment in proofs.items()])
        is_newer = or_(intervals.c.last_seen_at.is_(None), intervals.c.last_seen_at < at)
        statement = update(intervals).where(intervals.c.allocation_id.in_(list(proofs)), intervals.c.ended_at.is_(None), is_newer)
        return connection.execute(statement.values(last_seen_at=at)).rowcount

    def closed_since(self, connection: Connection, instant: datetime) -> list[ClosedUse]:
        """Return what ended at or after an instant, in the order in which it was closed."""
        statement = _CLOSED.where(intervals.c.ended_at >= instant, intervals.c.sequence.is_not(None))
        return [ClosedUse(*row) for row in connection.execute(statement)]

    def closed_after(self, connection: Connection, sequence: int) -> list[ClosedUse]:
        """Return what was closed after a row of the chain, in that order."""
        return [ClosedUse(*row) for row in connection.execute(_CLOSED.where(intervals.c.sequence > sequence))]

    def chained(self, connection: Connection) -> Iterator[UsageInterval]:
        """Stream the rows of the chain in order."""
        statement = select(intervals).where(intervals.c.sequence.is_not(None)).order_by(intervals.c.sequence)
        result = connection.execution_options(yield_per=1000).execute(statement)
        for row in result.mappings():
            yield interval_of(row)

    def chained_after(self, connection: Connection, sequence: int, *, limit: int) -> list[UsageInterval]:
        """Return the next closed intervals of the chain behind a sequence, in its order."""
        statement = select(intervals).where(intervals.c.sequence > sequence).order_by(intervals.c.sequence).limit(limit)
        return [interval_of(row) for row in connection.execute(statement).mappings()]

    def first_unchained(self, connection: Connection) -> UsageInterval | None:
        """Return a closed row that stands outside the chain, the oldest, or None."""
        statement = select(intervals).where(_CLOSED_OUTSIDE_CHAIN).order_by(intervals.c.ended_at).limit(1)
        row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else interval_of(row)
