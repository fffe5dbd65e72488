"""Raised limits: one limit of a person or of a group's members, of another amount until an instant."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.dimensions import DIMENSIONS
from aiplatform_hub.domain.limit_grants import GrantScope, LimitGrant, grantable, limit_name
from aiplatform_hub.domain.plain_text import plain_line
from aiplatform_hub.domain.units import isoformat, parse_bytes
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError, Reason
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.limit_grants import LimitGrantStore

LONGEST_NAME = 255
MOST_REASON = 500
"""Longest reason, in characters."""
MOST_AMOUNT = 10**15
"""Largest amount, in the dimension's unit: as in the catalogue."""
_WHOLE = re.compile(r"[0-9]{1,16}")
_HOURS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")


Holder = tuple[str, Collection[str]]
"""A person's name and the names of their groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitGrantDraft:
    """What an admin wants to grant."""

    scope: str
    name: str
    dimension: str
    amount: str
    """As in the catalogue: ``6``, ``64 GiB``, for hours also ``12.5``."""
    gpu_type: str | None = None
    window_days: int | None = None
    expires_at: datetime
    """Aware UTC, exclusive."""
    reason: str


class LimitGrants:
    """Raises limits and takes that back; each act leaves its audit row in the same transaction."""

    def __init__(self, *, database: Database, catalog: Catalog, limit_grants: LimitGrantStore, audit_trail: AuditTrail, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._catalog = catalog
        self._store = limit_grants
        self._audit = audit_trail
        self._clock = clock

    def give(self, draft: LimitGrantDraft, by: str) -> LimitGrant:
        """Raise a limit from now on; of several grants of one limit the highest counts.

        Raises
        ------
        InvalidOptionError
            Naming the field that is wrong, and what would be right.
        """
        grant = self._made(draft, by)
        with self._database.write() as connection:
            self._store.insert(connection, grant)
            self._audit.record(connection, actor=by, action="grant_limit", target=_target(grant), outcome="done", detail=_detail(grant))
        return grant

    def end(self, grant_id: UUID, by: str, *, of: Holder | None = None) -> LimitGrant:
        """End a grant now; running sessions are left alone.

        Parameters
        ----------
        of
            A person's name and groups, whose grant it has to be; None for anybody's.

        Raises
        ------
        NotFoundError
            If there is none of this id, or it is somebody else's.
        ConflictError
            If it is over already.
        """
        now = self._clock()
        with self._database.write() as connection:
            grant = self._find(connection, grant_id, of)
            if not grant.is_in_force(now):
                raise ConflictError("This grant is over already.")
            self._store.set_revoked(connection, grant_id, now)
            self._audit.record(connection, actor=by, action="end_limit_grant", target=_target(grant), outcome="done", detail=_detail(grant))
        return replace(grant, revoked_at=now)

    def restore(self, grant_id: UUID, by: str, *, of: Holder | None = None) -> LimitGrant:
        """Take back that a grant was ended; it counts until its own end.

        Parameters
        ----------
        of
            A person's name and groups, whose grant it has to be; None for anybody's.

        Raises
        ------
        NotFoundError
            If there is none of this id, or it is somebody else's.
        ConflictError
            If nobody ended it, or its own end is past.
        """
        with self._database.write() as connection:
            grant = self._find(connection, grant_id, of)
            if grant.revoked_at is None or grant.expires_at <= self._clock():
                raise ConflictError("There is nothing to take back: this grant is in force, or its own end is past. Make a new one.")
            self._store.set_revoked(connection, grant_id, None)
            self._audit.record(connection, actor=by, action="restore_limit_grant", target=_target(grant), outcome="done", detail=_detail(grant))
        return replace(grant, revoked_at=None)

    def in_force(self) -> tuple[LimitGrant, ...]:
        """Return all grants in force, by whom they are for."""
        with self._database.read() as connection:
            return self._store.in_force(connection, self._clock())

    def of(self, user_name: str, groups: Collection[str], *, limit: int = 50) -> tuple[LimitGrant, ...]:
        """Return the latest grants of a person and their groups, in force or not, the newest first."""
        with self._database.read() as connection:
            return self._store.of(connection, user_name, groups, limit=limit)

    def _find(self, connection: Connection, grant_id: UUID, of: Holder | None) -> LimitGrant:
        grant = self._store.find(connection, grant_id)
        if grant is None or (of is not None and not _is_of(grant, *of)):
            raise NotFoundError("There is no such grant.")
        return grant

    def _made(self, draft: LimitGrantDraft, by: str) -> LimitGrant:
        now, key = self._clock(), (draft.dimension, draft.gpu_type or None, draft.window_days or None)
        if draft.scope not in set(GrantScope):
            raise _invalid("scope", "A grant is for a user or a group.", tuple(GrantScope))
        name = plain_line(draft.name, field="name", needs=f"Name the user or group in 1 to {LONGEST_NAME} characters.", most=LONGEST_NAME)
        known = grantable(self._catalog)
        if key not in known:
            allowed = tuple(sorted(map(limit_name, known)))
            raise _invalid("dimension", f"No tier has the limit “{limit_name(key)}”, so there is nothing to raise.", allowed)
        reason = plain_line(
            draft.reason, field="reason", needs=f"Say why, in at most {MOST_REASON} characters; it stands in the audit trail.", most=MOST_REASON
        )
        if draft.expires_at <= now:
            raise _invalid("expires_at", "The end of the grant is in the past.")
        return LimitGrant(
            id=uuid4(),
            scope=GrantScope(draft.scope),
            name=name,
            dimension=key[0],
            gpu_type=key[1],
            window_days=key[2],
            amount=_amount(draft.amount.strip(), DIMENSIONS[key[0]].unit),
            expires_at=draft.expires_at,
            reason=reason,
            granted_by=by,
            granted_at=now,
        )


def _amount(text: str, unit: str) -> Decimal:
    try:
        if unit == "B":
            amount = Decimal(parse_bytes(text))
        elif (_HOURS if unit == "h" else _WHOLE).fullmatch(text):
            amount = Decimal(text)
        else:
            raise ValueError
    except ValueError:
        form = {"B": "an amount with its unit, for example 64 GiB", "h": "hours, for example 120 or 12.5"}.get(unit, "a whole number, for example 6")
        raise _invalid("amount", f"Write {form}.") from None
    if not 0 < amount <= MOST_AMOUNT:
        raise _invalid("amount", "The amount must be more than 0, and smaller.")
    return amount


def _target(grant: LimitGrant) -> str:
    return f"{grant.scope.value}:{grant.name}"


def _detail(grant: LimitGrant) -> dict[str, str]:
    of_limit = {"grant": str(grant.id), "limit": limit_name(grant.key), "amount": format(grant.amount, "f")}
    return {**of_limit, "expires_at": isoformat(grant.expires_at), "reason": grant.reason}


def _invalid(field: str, message: str, allowed: tuple[str, ...] = ()) -> InvalidOptionError:
    return InvalidOptionError(message, (Reason(code="invalid_option", message=message, field=field, allowed=allowed),))


def _is_of(grant: LimitGrant, user_name: str, groups: Collection[str]) -> bool:
    return grant.name == user_name if grant.scope is GrantScope.USER else grant.name in groups
