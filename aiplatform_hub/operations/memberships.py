"""Memberships in projects, as admins give and end them and as launches ask for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.memberships import Membership, projects_by_user
from aiplatform_hub.domain.plain_text import plain_line
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError, Reason
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.memberships import MembershipStore

WHY = "Say why; it stands in the audit trail."
LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class MembershipDraft:
    """What an admin wants. Instants are aware UTC."""

    user_name: str
    project: str
    starts_at: datetime | None
    """None for now."""
    ends_at: datetime | None
    """Exclusive; None for no end."""
    reason: str


class Memberships:
    """Gives, ends and tells memberships; each act leaves its audit row in the same transaction."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        catalog: Catalog,
        memberships: MembershipStore,
        devices: DeviceStore,
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._memberships = memberships
        self._devices = devices
        self._audit_trail = audit_trail
        self._clock = clock

    def projects_of(self, user_name: str) -> frozenset[str]:
        """Return to which projects a person belongs now, beside those of their groups.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        with self._database.read() as connection:
            return self._memberships.projects_of(connection, user_name, self._clock())

    def projects_by_user(self) -> dict[str, frozenset[str]]:
        """Return the same of everybody who has one, by name."""
        now = self._clock()
        with self._database.read() as connection:
            return projects_by_user(self._memberships.counting(connection, now), now)

    def all(self, *, user_name: str | None = None, project: str | None = None, limit: int | None = None, offset: int = 0) -> tuple[Membership, ...]:
        """Return every membership, also those that are over or to come, by project, person and begin.

        Parameters
        ----------
        limit, offset
            Only so many, behind so many.
        """
        with self._database.read() as connection:
            return self._memberships.all(connection, user_name=user_name, project=project, limit=limit, offset=offset)

    def add(self, draft: MembershipDraft, by: str) -> Membership:
        """Let a person belong to a project for a span.

        Raises
        ------
        InvalidOptionError
            If there is no such project, it is everybody's own, or name, reason or span are missing.
        ConflictError
            If they belong to it in that span already.
        """
        now = self._clock()
        made = self._made(draft, by, now)
        with self._database.write() as connection:
            self._devices.lock(connection)  # of two at once one sees the other
            if any(made.overlaps(each) for each in self._memberships.all(connection, user_name=made.user_name, project=made.project)):
                raise ConflictError(f"{made.user_name} belongs to {made.project} in this span already. End that membership first, or choose another span.")
            self._memberships.insert(connection, made)
            self._audit_trail.record(connection, actor=by, action="add_membership", target=_target(made), outcome="done", detail=_detail(made))
        return made

    def end(self, membership_id: UUID, by: str) -> Membership:
        """End a membership now: from the next start on it counts no longer.

        Raises
        ------
        NotFoundError
            If there is none.
        ConflictError
            If it is over already.
        """
        now = self._clock()
        with self._database.write() as connection:
            self._devices.lock(connection)
            found = self._memberships.find(connection, membership_id)
            if found is None:
                raise NotFoundError("There is no such membership.")
            if found.is_over(now) or not self._memberships.end(connection, membership_id, now, by):
                raise ConflictError("This membership is over already.")
            ended = replace(found, ended_at=now, ended_by=by)
            self._audit_trail.record(connection, actor=by, action="end_membership", target=_target(ended), outcome="done", detail=_detail(ended))
        return ended

    def _made(self, draft: MembershipDraft, by: str, now: datetime) -> Membership:
        name = plain_line(draft.user_name, field="user", needs="Say who: user is missing.")
        if len(name) > LONGEST_NAME or "/" in name:
            raise _invalid("user", f"A name has up to {LONGEST_NAME} characters and no slash.")
        project = self._catalog.projects.get(draft.project)
        mine = tuple(sorted(each.name for each in self._catalog.projects.values() if not each.is_personal))
        if project is None:
            raise _invalid("project", f"There is no project “{draft.project}”.", mine)
        if project.is_personal:
            raise _invalid("project", f"Everybody belongs to {project.name}.", mine)
        starts_at = draft.starts_at or now
        if draft.ends_at is not None and draft.ends_at <= max(starts_at, now):
            raise _invalid("ends_at", "The end must be later than the begin, and than now.")
        return Membership(
            id=uuid4(),
            user_name=name,
            project=project.name,
            starts_at=starts_at,
            ends_at=draft.ends_at,
            reason=plain_line(draft.reason, field="reason", needs=WHY),
            added_by=by,
            added_at=now,
        )


def _invalid(option: str, message: str, allowed: tuple[str, ...] = ()) -> InvalidOptionError:
    return InvalidOptionError(message, (Reason("invalid_option", message, field=option, allowed=allowed),))


def _target(membership: Membership) -> str:
    return f"user:{membership.user_name}"


def _detail(membership: Membership) -> dict[str, str | None]:
    until = membership.until
    span = {"starts_at": isoformat(membership.starts_at), "ends_at": None if until is None else isoformat(until)}
    return {"project": membership.project, **span, "reason": membership.reason}
