"""Bodies about people: their tiers, grants and limits."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from aiplatform_hub.operations.people import PersonRecord
from aiplatform_hub.services.platform.wire import Input, Instant, Output
from aiplatform_hub.storage.grants import Grant


class GrantOut(Output):
    """A tier given to a person until an instant."""

    id: UUID
    user: str
    tier: str
    expires_at: Instant = Field(description="Exclusive")
    reason: str
    granted_by: str
    granted_at: Instant
    revoked_at: Instant | None
    is_in_force: bool


class GrantsOut(Output):
    """A person's latest grants, newest first; the newest in force counts."""

    items: tuple[GrantOut, ...]


class GrantBody(Input):
    """A grant to make."""

    tier: str
    expires_at: str = Field(description="UTC instant, exclusive, or a date: its midnight")
    reason: str = Field(description="Why; it stands in the audit trail")


class PersonOut(Output):
    """A person with what they have now."""

    name: str
    is_admin: bool
    groups: tuple[str, ...]
    tier: str
    tier_from: str = Field(description="`default`, `grant`, or `group:` with the group that gives the tier")
    projects: tuple[str, ...]
    grant: GrantOut | None = Field(description="The one in force that counts")
    sessions: int = Field(description="Open now")
    gpus: int = Field(description="Held now")


class PeoplePage(Output):
    """A page of people, by name."""

    items: tuple[PersonOut, ...]
    total: int = Field(description="How many fit, on all pages")
    next_cursor: str | None


def grant_out(grant: Grant, now: datetime) -> GrantOut:
    """Return a grant as it is sent."""
    return GrantOut(
        id=grant.id,
        user=grant.user_name,
        tier=grant.tier,
        expires_at=grant.expires_at,
        reason=grant.reason,
        granted_by=grant.granted_by,
        granted_at=grant.granted_at,
        revoked_at=grant.revoked_at,
        is_in_force=grant.is_in_force(now),
    )


def person_out(record: PersonRecord, now: datetime) -> PersonOut:
    """Return a person as they are sent."""
    tier = record.tier
    return PersonOut(
        name=record.user.name,
        is_admin=record.user.is_admin,
        groups=tuple(sorted(record.user.groups)),
        tier=tier.tier.name,
        tier_from="default" if tier.is_default else "grant" if tier.is_granted else f"group:{tier.groups[0]}",
        projects=tuple(project.name for project in record.projects),
        grant=None if record.grant is None else grant_out(record.grant, now),
        sessions=record.sessions,
        gpus=record.gpus,
    )
