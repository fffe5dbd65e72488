"""What a decision needs to know beside the open allocations, in one statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Connection, ScalarSelect, Select, Text, Uuid, bindparam, case, cast, exists, func, null, select, type_coerce

from aiplatform_hub.domain.limit_grants import LimitGrant
from aiplatform_hub.domain.units import to_microseconds
from aiplatform_hub.storage.budget_tables import budgets
from aiplatform_hub.storage.budgets import Standing
from aiplatform_hub.storage.limit_grants import LimitGrantStore, limit_grants_from_text, limit_grants_of_caller
from aiplatform_hub.storage.numbers import number
from aiplatform_hub.storage.queue_outlooks import LATEST_OUTLOOK, JsonMemory
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
    groups: frozenset[str] = frozenset()
    """The person's, for limits that are raised for a group."""
    idempotency_key: str | None = None
    has_queue: bool = False
    """Whether to read what the dispatcher knows, too."""


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
    outlook: Mapping[str, Any] | None = None
    """What the dispatcher knows, as JSON; None if nobody asked or it has made no pass."""
    has_budgets: bool = False
    """Whether there is any budget, whoever it is for."""
    limit_grants: tuple[LimitGrant, ...] = ()
    """The raised limits in force of the person and their groups."""
    budgets: tuple[Standing, ...] = ()
    """Those that a session in the project would be paid from."""


class FactStore:
    """Reads facts."""

    def __init__(self) -> None:
        self._outlook = JsonMemory()
        self._limit_grants = LimitGrantStore()

    def read(self, connection: Connection, query: FactsQuery) -> Facts:
        """Return the facts."""
        windows = tuple((days, tuple(sorted(tiers))) for days, tiers in sorted(query.user_windows.items()))
        statement, keys = _statement(windows, tuple(sorted(query.project_windows)), query.idempotency_key is not None, query.has_queue)
        row = connection.execute(statement, _values(query)).one()
        sums = {key: int(value) for key, value in zip(keys, row[7:], strict=True) if value is not None}
        return Facts(
            granted_tier=row[0],
            grant_expires_at=row[1],
            storage_bytes=row[2],
            first_allocation_id=row[3],
            outlook=self._outlook.of(row[4]),
            has_budgets=bool(row[5]),
            limit_grants=limit_grants_from_text(row[6]),
            gpu_microseconds=sums,
        )

    def limit_grants(self, connection: Connection, at: datetime) -> tuple[LimitGrant, ...]:
        """Return every raised limit in force at an instant."""
        return self._limit_grants.in_force(connection, at)


def _values(query: FactsQuery) -> dict[str, Any]:
    values = {"user_id": query.user_id, "user_name": query.user_name, "project": query.project, "now": query.now, "key": query.idempotency_key}
    values["groups"] = sorted(query.groups)
    begins = {f"begin_{days}": to_microseconds(query.now - timedelta(days=days)) for days in (*query.user_windows, *query.project_windows)}
    return values | begins | {"until": to_microseconds(query.now)}


_HAS_BUDGETS = exists().where(budgets.c.ended_at.is_(None)).label("has_budgets")


@lru_cache(maxsize=64)
def _statement(
    user_windows: tuple[tuple[int, tuple[str, ...]], ...], project_windows: tuple[int, ...], has_key: bool, has_queue: bool
) -> tuple[Select[Any], tuple[tuple[str, int], ...]]:
    """Return the statement of one shape, built once, and what its sums are. The tiers of the catalogue give few shapes.

    The database computes a guarded sum only if the guard holds.
    """
    tier, expires_at = (_granted(column) for column in (grants.c.tier, grants.c.expires_at))
    columns: list[ColumnElement[Any]] = [
        tier.label("granted_tier"),
        expires_at.label("grant_expires_at"),
        _storage(),
        _first(has_key),
        _outlook(has_queue),
        _HAS_BUDGETS,
        limit_grants_of_caller().label("limit_grants"),
    ]
    keys: list[tuple[str, int]] = []
    for days, tiers in user_windows:
        column = _metered(intervals.c.user_id == bindparam("user_id"), days)
        guarded = case((tier.in_(tiers), column), else_=null()) if tiers else column
        columns.append(guarded.label(f"user_{days}"))
        keys.append(("user", days))
    for days in project_windows:
        columns.append(_metered(intervals.c.project == bindparam("project"), days).label(f"project_{days}"))
        keys.append(("project", days))
    return select(*columns), tuple(keys)


def _granted(column: ColumnElement[Any]) -> ScalarSelect[Any]:
    in_force = (grants.c.user_name == bindparam("user_name"), grants.c.expires_at > bindparam("now"), grants.c.revoked_at.is_(None))
    return select(column).where(*in_force).order_by(grants.c.granted_at.desc()).limit(1).scalar_subquery()


def _storage() -> ColumnElement[Any]:
    return select(storage_usage.c.storage_bytes).where(storage_usage.c.user_name == bindparam("user_name")).scalar_subquery().label("storage_bytes")


def _first(has_key: bool) -> ColumnElement[Any]:
    if not has_key:
        return type_coerce(null(), Uuid()).label("first_id")
    same = (allocations.c.user_id == bindparam("user_id"), allocations.c.idempotency_key == bindparam("key"))
    return select(allocations.c.id).where(*same).scalar_subquery().label("first_id")


def _outlook(has_queue: bool) -> ColumnElement[Any]:
    if not has_queue:
        return type_coerce(null(), Text()).label("outlook")
    return cast(LATEST_OUTLOOK.scalar_subquery(), Text()).label("outlook")


def _metered(whose: ColumnElement[bool], days: int) -> ColumnElement[Any]:
    """Return GPU-microseconds inside the window: closed intervals clipped to it, open ones up to now."""
    begin, end = bindparam(f"begin_{days}", type_=BigInteger), bindparam("until", type_=BigInteger)
    started, ended = number(intervals.c.started_at), number(intervals.c.ended_at)
    clipped_start = case((started < begin, begin), else_=started)
    until_now = case((clipped_start < end, end - clipped_start), else_=0)
    closed = select(func.sum((ended - clipped_start) * intervals.c.gpus)).where(whose, ended > begin)
    running = select(func.sum(until_now * intervals.c.gpus)).where(whose, intervals.c.ended_at.is_(None))
    return func.coalesce(closed.scalar_subquery(), 0) + func.coalesce(running.scalar_subquery(), 0)
