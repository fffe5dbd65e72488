"""Who belongs to which project: rows are added and ended, never changed otherwise."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from aiplatform_hub.domain.memberships import Membership
from aiplatform_hub.storage.membership_tables import memberships

_COLUMNS = memberships.c
_NOW = bindparam("now", type_=_COLUMNS.starts_at.type)
_COUNTS = (
    _COLUMNS.starts_at <= _NOW,
    or_(_COLUMNS.ends_at.is_(None), _COLUMNS.ends_at > _NOW),
    or_(_COLUMNS.ended_at.is_(None), _COLUMNS.ended_at > _NOW),
)
_PROJECTS_OF = select(_COLUMNS.project).where(_COLUMNS.user_name == bindparam("user_name"), *_COUNTS)
_COUNTING = select(memberships).where(*_COUNTS)


class MembershipStore:
    """Rows of the table ``memberships``."""

    def insert(self, connection: Connection, membership: Membership) -> None:
        """Store a membership."""
        connection.execute(insert(memberships).values(**{name: getattr(membership, name) for name in membership.__slots__}))

    def end(self, connection: Connection, membership_id: UUID, at: datetime, by: str) -> bool:
        """End a membership; False if somebody has ended it."""
        mine = update(memberships).where(_COLUMNS.id == membership_id, _COLUMNS.ended_at.is_(None))
        return bool(connection.execute(mine.values(ended_at=at, ended_by=by)).rowcount)

    def find(self, connection: Connection, membership_id: UUID) -> Membership | None:
        """Return a membership, also one that is over."""
        row = connection.execute(select(memberships).where(_COLUMNS.id == membership_id)).mappings().one_or_none()
        return None if row is None else Membership(**row)

    def projects_of(self, connection: Connection, user_name: str, now: datetime) -> frozenset[str]:
        """Return to which projects a person belongs at an instant."""
        return frozenset(connection.execute(_PROJECTS_OF, {"user_name": user_name, "now": now}).scalars())

    def counting(self, connection: Connection, now: datetime) -> tuple[Membership, ...]:
        """Return every membership that counts at an instant."""
        return tuple(Membership(**row) for row in connection.execute(_COUNTING, {"now": now}).mappings())

    def all(
        self, connection: Connection, *, user_name: str | None = None, project: str | None = None, limit: int | None = None, offset: int = 0
    ) -> tuple[Membership, ...]:
        """Return every membership that ever was, of one person or project if one is named, by project, person and begin.

        Parameters
        ----------
        limit, offset
            Only so many, behind so many.
        """
        statement = select(memberships).order_by(_COLUMNS.project, _COLUMNS.user_name, _COLUMNS.starts_at, _COLUMNS.id)
        if user_name is not None:
            statement = statement.where(_COLUMNS.user_name == user_name)
        if project is not None:
            statement = statement.where(_COLUMNS.project == project)
        return tuple(Membership(**row) for row in connection.execute(statement.limit(limit).offset(offset)).mappings())
