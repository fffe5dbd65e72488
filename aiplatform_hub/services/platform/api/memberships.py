"""Who belongs to which project from when until when: their own for everybody, all of them and their changes for admins."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from aiplatform_hub.domain.memberships import Membership
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.operations.memberships import MembershipDraft
from aiplatform_hub.services.platform.api.admin import ACT, DEFAULT_LIMIT, MAX_LIMIT, AdminApiHandler, page_parameters
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.bodies import instant, read_change
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Input, Instant, Output


class MembershipBody(Input):
    """A membership to give."""

    user: str = Field(description="Name of the person; they need not have logged in yet")
    project: str = Field(description="One of the catalogue, not everybody's own")
    starts_at: str | None = Field(None, description="A UTC instant or date; null for now")
    ends_at: str | None = Field(None, description="A UTC instant or date, exclusive; null for no end")
    reason: str


class MembershipOut(Output):
    """One person in one project for a span."""

    id: UUID
    user: str
    project: str
    starts_at: Instant
    ends_at: Instant | None = Field(description="Exclusive: as planned, or when an admin ended it; null for no end")
    state: Literal["to_come", "counts", "over"]
    reason: str
    added_by: str
    added_at: Instant
    ended_by: str | None


class MembershipPage(Output):
    """Some memberships, by project, person and begin."""

    items: tuple[MembershipOut, ...]
    next_cursor: str | None


class _MembershipApiHandler(AdminApiHandler):
    def body_of(self, one: Membership) -> MembershipOut:
        """Return a membership as the REST API shows it."""
        now = self.platform.factory.clock()
        state: Literal["to_come", "counts", "over"] = "counts" if one.counts_at(now) else "over" if one.is_over(now) else "to_come"
        return MembershipOut(
            id=one.id,
            user=one.user_name,
            project=one.project,
            starts_at=one.starts_at,
            ends_at=one.until,
            state=state,
            reason=one.reason,
            added_by=one.added_by,
            added_at=one.added_at,
            ended_by=one.ended_by,
        )


class MembershipsHandler(_MembershipApiHandler):
    """``GET`` and ``POST memberships``."""

    async def get(self) -> None:
        """Answer with a page of the caller's memberships; who sees everybody sees all."""
        user, project = (self.get_query_argument(name, None) for name in ("user", "project"))
        if not self.principal.sees_everybody:
            user = self.principal.name
        offset, limit = self.number("cursor", 0), self.number("limit", DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
        found = await self.platform.run(self.platform.factory.memberships.all, user_name=user, project=project, limit=limit + 1, offset=offset)
        cursor = str(offset + limit) if len(found) > limit else None
        self.reply(MembershipPage(items=tuple(map(self.body_of, found[:limit])), next_cursor=cursor))

    async def post(self) -> None:
        """Let a person belong to a project."""
        self.check_acts()
        body = read_change(MembershipBody, self.body_object())
        draft = MembershipDraft(
            user_name=body.user,
            project=body.project,
            starts_at=None if body.starts_at is None else instant(body.starts_at, "starts_at"),
            ends_at=None if body.ends_at is None else instant(body.ends_at, "ends_at"),
            reason=body.reason,
        )
        self.reply(self.body_of(await self.platform.run(self.platform.factory.memberships.add, draft, self.principal.name)), 201)


class MembershipHandler(_MembershipApiHandler):
    """``DELETE memberships/{id}``."""

    async def delete(self, membership_id: str) -> None:
        """End a membership."""
        self.check_acts()
        try:
            key = UUID(membership_id)
        except ValueError:
            raise NotFoundError("There is no such membership.") from None
        self.reply(self.body_of(await self.platform.run(self.platform.factory.memberships.end, key, self.principal.name)))


RESOURCES = (
    Resource(
        MembershipsHandler,
        (
            Route(
                method="GET",
                path="api/v1/memberships",
                summary="To which projects the caller belongs from when until when, beside those of their groups",
                description="Who may read everybody's servers sees everybody's, also those that are over.",
                scope=READ,
                parameters=(
                    Parameter("user", "Only of this person; others than oneself need the right to read everybody's", {"type": "string"}),
                    Parameter("project", "Only of this project", {"type": "string"}),
                    *page_parameters(cursor="`next_cursor` of the page before"),
                ),
                replies={200: Reply("Memberships", MembershipPage)},
                errors=(400,),
            ),
            Route(
                method="POST",
                path="api/v1/memberships",
                summary="Let a person belong to a project from an instant until another",
                description="For admins. It counts at each launch, and while a request waits; what runs goes on when it ends.",
                scope=ACT,
                body=MembershipBody,
                replies={201: Reply("The membership", MembershipOut)},
                errors=(400, 409),
            ),
        ),
    ),
    Resource(
        MembershipHandler,
        (
            Route(
                method="DELETE",
                path="api/v1/memberships/{id}",
                summary="End a membership now; it stays on record",
                description="For admins.",
                scope=ACT,
                replies={200: Reply("The membership, ended", MembershipOut)},
                errors=(404, 409),
            ),
        ),
    ),
)
