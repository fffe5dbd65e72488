"""Tiers granted to one person until an instant."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, insert, or_, select, update

from aiplatform_hub.storage.live_allocations import IS_QUEUED
from aiplatform_hub.storage.schema import allocations, grants


@dataclass(frozen=True, slots=True)
class Grant:
    """A tier given to one person. Instants are aware UTC."""

    id: UUID
    user_name: str
    tier: str
    expires_at: datetime
    """Exclusive."""
    reason: str
    granted_by: str
    granted_at: datetime
    revoked_at: datetime | None = None

    def is_in_force(self, at: datetime) -> bool:
        """Return whether it counts at an instant."""
        return self.revoked_at is None and self.expires_at > at


class GrantStore:
    """Reads and writes grants."""

    def insert(self, connection: Connection, grant: Grant) -> None:
        """Store a grant."""
        connection.execute(
            insert(grants).values(
                id=grant.id,
                user_name=grant.user_name,
                tier=grant.tier,
                expires_at=grant.expires_at,
                reason=grant.reason,
                granted_by=grant.granted_by,
                granted_at=grant.granted_at,
            )
        )

    def active_of(self, connection: Connection, user_name: str, at: datetime) -> Grant | None:
        """Return the newest grant of a person that is in force at an instant, or None."""
        statement = select(grants).where(grants.c.user_name == user_name, grants.c.expires_at > at, grants.c.revoked_at.is_(None))
        row = connection.execute(statement.order_by(grants.c.granted_at.desc()).limit(1)).mappings().one_or_none()
        return None if row is None else Grant(**row)

    def active(self, connection: Connection, at: datetime) -> tuple[Grant, ...]:
        """Return all grants in force at an instant, by person and then the newest first."""
        statement = select(grants).where(grants.c.expires_at > at, grants.c.revoked_at.is_(None))
        rows = connection.execute(statement.order_by(grants.c.user_name, grants.c.granted_at.desc())).mappings()
        return tuple(Grant(**row) for row in rows)

    def find(self, connection: Connection, grant_id: UUID) -> Grant | None:
        """Return a grant, in force or not, or None."""
        row = connection.execute(select(grants).where(grants.c.id == grant_id)).mappings().one_or_none()
        return None if row is None else Grant(**row)

    def of(self, connection: Connection, user_name: str, *, limit: int) -> tuple[Grant, ...]:
        """Return a person's latest grants, in force or not, the newest first."""
        statement = select(grants).where(grants.c.user_name == user_name).order_by(grants.c.granted_at.desc()).limit(limit)
        return tuple(Grant(**row) for row in connection.execute(statement).mappings())

    def newest_of(self, connection: Connection, user_names: Collection[str], at: datetime) -> dict[str, Grant]:
        """Return the grant that counts at an instant of each of these people who has one, by name."""
        statement = select(grants).where(grants.c.user_name.in_(user_names), grants.c.expires_at > at, grants.c.revoked_at.is_(None))
        rows = connection.execute(statement.order_by(grants.c.granted_at)).mappings()
        return {row["user_name"]: Grant(**row) for row in rows}

    def set_revoked(self, connection: Connection, grant_id: UUID, at: datetime | None) -> None:
        """End a grant at an instant; None takes its end back."""
        connection.execute(update(grants).where(grants.c.id == grant_id).values(revoked_at=at))

    def tier_at(self, connection: Connection, user_name: str, at: datetime) -> str | None:
        """Return the tier that a person had by a grant at an instant, also of the past; None if none."""
        columns = grants.c
        is_in_force = (columns.granted_at <= at, columns.expires_at > at, or_(columns.revoked_at.is_(None), columns.revoked_at > at))
        statement = select(columns.tier).where(columns.user_name == user_name, *is_in_force).order_by(columns.granted_at.desc()).limit(1)
        return connection.execute(statement).scalar_one_or_none()

    def tiers_of_waiting(self, connection: Connection, at: datetime) -> dict[str, str]:
        """Return the granted tiers in force at an instant of those who have something in the queue, by name."""
        owners = select(allocations.c.user_name).where(IS_QUEUED)
        statement = select(grants.c.user_name, grants.c.tier).where(grants.c.user_name.in_(owners), grants.c.expires_at > at, grants.c.revoked_at.is_(None))
        return {row.user_name: row.tier for row in connection.execute(statement.order_by(grants.c.granted_at))}

    def revoke(self, connection: Connection, user_name: str, at: datetime) -> int:
        """End all grants of a person that are in force; return how many there were."""
        statement = update(grants).where(grants.c.user_name == user_name, grants.c.expires_at > at, grants.c.revoked_at.is_(None))
        return connection.execute(statement.values(revoked_at=at)).rowcount
