"""Grants: a tier for one person until an instant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import InvalidOptionError, Reason
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.grants import Grant, GrantStore


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
            If there is no such tier, or the instant is past.
        """
        now = self._clock()
        if tier not in self._catalog.tiers:
            raise _invalid("tier", f"There is no tier “{tier}”.", tuple(sorted(self._catalog.tiers)))
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

    def active(self) -> tuple[Grant, ...]:
        """Return all grants in force."""
        with self._database.read() as connection:
            return self._grants.active(connection, self._clock())


def _invalid(field: str, message: str, allowed: tuple[str, ...]) -> InvalidOptionError:
    return InvalidOptionError(message, (Reason(code="invalid_option", message=message, field=field, allowed=allowed),))
