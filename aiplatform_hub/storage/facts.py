"""What a decision needs to know beside the open allocations, in one statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Connection, Uuid, case, func, literal, null, select, type_coerce

from aiplatform_hub.domain.units import to_microseconds
from aiplatform_hub.storage.schema import allocations, grants, storage_usage
from aiplatform_hub.storage.schema import usage_intervals as intervals

ALWAYS: frozenset[str] = frozenset()
"""A window that applies whatever tier is granted."""


@dataclass(frozen=True, slots=True)
class FactsQuery:
    """About whom, and which windowed sums."""

    user_id: int
    user_name: str
    project: str | None
    now: datetime
    user_windows: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Length in days of each window of the person, with the tiers that, once granted, make it apply; none means that it applies anyway."""
    project_windows: frozenset[int] = frozenset()
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database knows."""

    granted_tier: str | None
    grant_expires_at: datetime | None
    storage_bytes: int | None
    gpu_microseconds: Mapping[tuple[str, int], int]
    """Metered GPU-time by scope (``user``, ``project``) and window in days."""
    first_allocation_id: UUID | None
    """What the same idempotency key gave before."""


class FactStore:
    """Reads facts."""

    def read(self, connection: Connection, query: FactsQuery) -> Facts:
        """Return the facts."""
        windows = self._windows(query)
        columns = [*self._grant(query), self._storage(query), self._first(query), *(column for _, column in windows)]
        row = connection.execute(select(*columns)).one()
        sums = {key: int(value) for (key, _), value in zip(windows, row[4:], strict=True) if value is not None}
        return Facts(granted_tier=row[0], grant_expires_at=row[1], storage_bytes=row[2], first_allocation_id=row[3], gpu_microseconds=sums)

    def _grant(self, query: FactsQuery) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        in_force = (grants.c.user_name == query.user_name, grants.c.expires_at > query.now, grants.c.revoked_at.is_(None))
        tier, expires_at = (
            select(column).where(*in_force).order_by(grants.c.granted_at.desc()).limit(1).scalar_subquery() for column in (grants.c.tier, grants.c.expires_at)
        )
        return tier.label("granted_tier"), expires_at.label("grant_expires_at")

    def _storage(self, query: FactsQuery) -> ColumnElement[Any]:
        return select(storage_usage.c.storage_bytes).where(storage_usage.c.user_name == query.user_name).scalar_subquery().label("storage_bytes")

    def _first(self, query: FactsQuery) -> ColumnElement[Any]:
        if query.idempotency_key is None:
            return type_coerce(null(), Uuid()).label("first_id")
        same = (allocations.c.user_id == query.user_id, allocations.c.idempotency_key == query.idempotency_key)
        return select(allocations.c.id).where(*same).scalar_subquery().label("first_id")

    def _windows(self, query: FactsQuery) -> list[tuple[tuple[str, int], ColumnElement[Any]]]:
        """Return each windowed sum; the database computes the guarded ones only if the guard holds."""
        sums: list[tuple[tuple[str, int], ColumnElement[Any]]] = []
        granted = self._grant(query)[0].element
        for days, tiers in sorted(query.user_windows.items()):
            column = self._metered(intervals.c.user_id == query.user_id, query.now, days)
            guarded = case((granted.in_(sorted(tiers)), column), else_=null()) if tiers else column
            sums.append((("user", days), guarded.label(f"user_{days}")))
        for days in sorted(query.project_windows):
            column = self._metered(intervals.c.project == query.project, query.now, days)
            sums.append((("project", days), column.label(f"project_{days}")))
        return sums

    def _metered(self, whose: ColumnElement[bool], now: datetime, days: int) -> ColumnElement[Any]:
        """Return GPU-microseconds inside the window: closed intervals clipped to it, open ones up to now."""
        begin = literal(to_microseconds(now - timedelta(days=days)), BigInteger)
        end = literal(to_microseconds(now), BigInteger)
        started, ended = type_coerce(intervals.c.started_at, BigInteger), type_coerce(intervals.c.ended_at, BigInteger)
        clipped_start = case((started < begin, begin), else_=started)
        until_now = case((clipped_start < end, end - clipped_start), else_=0)
        closed = select(func.sum((ended - clipped_start) * intervals.c.gpus)).where(whose, ended > begin)
        running = select(func.sum(until_now * intervals.c.gpus)).where(whose, intervals.c.ended_at.is_(None))
        return func.coalesce(closed.scalar_subquery(), 0) + func.coalesce(running.scalar_subquery(), 0)
