"""Grants: a tier for one person until an instant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.plain_text import plain_line
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError, Reason
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.grants import Grant, GrantStore

LONGEST_NAME = 255
MOST_REASON = 500
"""Longest reason, in characters."""


class Grants:
    """Gives and takes back tiers; each act leaves its audit row in the same transaction."""

    def __init__(self, *, database: Database, catalog: Catalog, grants: GrantStore, audit_trail: AuditTrail, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._catalog = catalog
        self._grants = grants
        self._audit = audit_trail
        self._clock = clock

    def grant(self, user_name: str, tier: str, expires_at: datetime, reason: str, granted_by: str) -> Grant:
        """Give a person a tier until an instant, exclusive; the newest grant in force counts.

        Raises
        ------
        InvalidOptionError
            If there is no such tier, name or reason cannot be, or the instant is past.
        """
        now = self._clock()
        if tier not in self._catalog.tiers:
            raise _invalid("tier", f"There is no tier “{tier}”.", tuple(sorted(self._catalog.tiers)))
        user_name = plain_line(user_name, field="user", needs="Say who: user is missing.", most=LONGEST_NAME)
        reason = plain_line(reason, field="reason", needs="Say why; it stands in the audit trail.", most=MOST_REASON)
        if expires_at <= now:
            raise _invalid("expires_at", "The end of the grant is in the past.", ())
        grant = Grant(id=uuid4(), user_name=user_name, tier=tier, expires_at=expires_at, reason=reason, granted_by=granted_by, granted_at=now)
        detail = {"tier": tier, "expires_at": isoformat(expires_at), "reason": reason}
        with self._database.write() as connection:
            self._grants.insert(connection, grant)
            self._audit.record(connection, actor=granted_by, action="grant", target=f"user:{user_name}", outcome="done", detail=detail)
        return grant

    def revoke(self, user_name: str, revoked_by: str) -> int:
        """End a person's grants now; return how many were in force."""
        with self._database.write() as connection:
            count = self._grants.revoke(connection, user_name, self._clock())
            self._audit.record(connection, actor=revoked_by, action="revoke", target=f"user:{user_name}", outcome="done", detail={"grants": count})
        return count

    def end(self, grant_id: UUID, user_name: str, by: str) -> Grant:
        """End one grant of a person now.

        Raises
        ------
        NotFoundError
            If they have no such grant.
        ConflictError
            If it is over already.
        """
        now = self._clock()
        with self._database.write() as connection:
            grant = self._found(connection, grant_id, user_name)
            if not grant.is_in_force(now):
                raise ConflictError("This grant is over already.")
            self._grants.set_revoked(connection, grant_id, now)
            self._audit.record(connection, actor=by, action="revoke", target=f"user:{user_name}", outcome="done", detail=_told(grant))
        return replace(grant, revoked_at=now)

    def restore(self, grant_id: UUID, user_name: str, by: str) -> Grant:
        """Take back that a grant was ended; it runs until its own end.

        Raises
        ------
        NotFoundError
            If they have no such grant.
        ConflictError
            If nobody ended it, or its own end is past.
        """
        now = self._clock()
        with self._database.write() as connection:
            grant = self._found(connection, grant_id, user_name)
            if grant.revoked_at is None or grant.expires_at <= now:
                raise ConflictError("There is nothing to take back: this grant is in force, or its own end is past. Make a new one.")
            self._grants.set_revoked(connection, grant_id, None)
            self._audit.record(connection, actor=by, action="restore_grant", target=f"user:{user_name}", outcome="done", detail=_told(grant))
        return replace(grant, revoked_at=None)

    def of(self, user_name: str, *, limit: int = 50) -> tuple[Grant, ...]:
        """Return a person's latest grants, in force or not, the newest first."""
        with self._database.read() as connection:
            return self._grants.of(connection, user_name, limit=limit)

    def _found(self, connection: Connection, grant_id: UUID, user_name: str) -> Grant:
        grant = self._grants.find(connection, grant_id)
        if grant is None or grant.user_name != user_name:
            raise NotFoundError(f"{user_name} has no such grant.")
        return grant

    def active(self) -> tuple[Grant, ...]:
        """Return all grants in force."""
        with self._database.read() as connection:
            return self._grants.active(connection, self._clock())


def _told(grant: Grant) -> dict[str, str]:
    return {"grant": str(grant.id), "tier": grant.tier, "expires_at": isoformat(grant.expires_at)}


def _invalid(field: str, message: str, allowed: tuple[str, ...]) -> InvalidOptionError:
    return InvalidOptionError(message, (Reason(code="invalid_option", message=message, field=field, allowed=allowed),))
