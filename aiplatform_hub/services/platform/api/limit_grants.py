"""Raised limits, for admins."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from aiplatform_hub.domain.dimensions import DIMENSIONS
from aiplatform_hub.domain.limit_grants import LimitGrant
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.operations.limit_grants import LimitGrantDraft
from aiplatform_hub.services.platform.api.admin import ACT, AdminApiHandler
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.bodies import instant, read_change
from aiplatform_hub.services.platform.routes import Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Input, Instant, Output


class LimitGrantBody(Input):
    """A limit to raise."""

    scope: str = Field(description="`user` or `group`")
    name: str = Field(description="Of the user or group")
    dimension: str = Field(description="As in the catalogue's tiers: `gpus`, `environments`, `memory_bytes`, `cpu_cores`, `storage_bytes` or `gpu_hours`")
    gpu_type: str | None = Field(None, description="For `gpus`: the type whose limit it is; null for the total")
    window_days: int | None = Field(None, description="For `gpu_hours`: the window whose limit it is")
    amount: str = Field(description="The limit from now on, as in the catalogue: `6`, `64 GiB`, `12.5`; a higher one stays")
    expires_at: str = Field(description="UTC instant, exclusive, or a date: its midnight")
    reason: str = Field(description="Why; it stands in the audit trail")


class LimitGrantOut(Output):
    """A limit raised until an instant."""

    id: UUID
    scope: str
    name: str
    dimension: str
    gpu_type: str | None
    window_days: int | None
    amount: str
    unit: str
    expires_at: Instant = Field(description="Exclusive")
    reason: str
    granted_by: str
    granted_at: Instant
    revoked_at: Instant | None
    is_in_force: bool


class LimitGrantList(Output):
    """Raised limits in force, by whom they are for."""

    items: tuple[LimitGrantOut, ...]


class _LimitGrantApiHandler(AdminApiHandler):
    def body_of(self, one: LimitGrant) -> LimitGrantOut:
        """Return a grant as the REST API shows it."""
        return LimitGrantOut(
            id=one.id,
            scope=one.scope.value,
            name=one.name,
            dimension=one.dimension,
            gpu_type=one.gpu_type,
            window_days=one.window_days,
            amount=format(one.amount, "f"),
            unit=DIMENSIONS[one.dimension].unit,
            expires_at=one.expires_at,
            reason=one.reason,
            granted_by=one.granted_by,
            granted_at=one.granted_at,
            revoked_at=one.revoked_at,
            is_in_force=one.is_in_force(self.platform.factory.clock()),
        )


class LimitGrantsHandler(_LimitGrantApiHandler):
    """``GET`` and ``POST limit-grants``."""

    async def get(self) -> None:
        """Answer with what is in force."""
        self.check_reads()
        found = await self.platform.run(self.platform.factory.limit_grants.in_force)
        self.reply(LimitGrantList(items=tuple(map(self.body_of, found))))

    async def post(self) -> None:
        """Raise a limit."""
        self.check_acts()
        body = read_change(LimitGrantBody, self.body_object())
        draft = LimitGrantDraft(**{**body.model_dump(), "expires_at": instant(body.expires_at, "expires_at")})
        self.reply(self.body_of(await self.platform.run(self.platform.factory.limit_grants.give, draft, self.principal.name)), 201)


class LimitGrantHandler(_LimitGrantApiHandler):
    """``DELETE limit-grants/{id}``."""

    async def delete(self, grant_id: str) -> None:
        """End the grant now."""
        self.check_acts()
        self.reply(self.body_of(await self.platform.run(self.platform.factory.limit_grants.end, _id_of(grant_id), self.principal.name)))


class RestoreLimitGrantHandler(_LimitGrantApiHandler):
    """``POST limit-grants/{id}/restore``."""

    async def post(self, grant_id: str) -> None:
        """Take back that it was ended."""
        self.check_acts()
        self.reply(self.body_of(await self.platform.run(self.platform.factory.limit_grants.restore, _id_of(grant_id), self.principal.name)))


def _id_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("There is no such grant.") from None


RESOURCES = (
    Resource(
        LimitGrantsHandler,
        (
            Route(
                method="GET",
                path="api/v1/limit-grants",
                summary="Raised limits in force, of people and groups",
                description="For admins. Where a person's limit comes from one, their quota says so in `source`.",
                scope=READ,
                replies={200: Reply("The grants", LimitGrantList)},
            ),
            Route(
                method="POST",
                path="api/v1/limit-grants",
                summary="Raise one limit of a person or of a group's members until an instant",
                description="For admins. It counts from the next start on, and while a request waits.",
                scope=ACT,
                body=LimitGrantBody,
                replies={201: Reply("The grant", LimitGrantOut)},
                errors=(400,),
            ),
        ),
    ),
    Resource(
        LimitGrantHandler,
        (
            Route(
                method="DELETE",
                path="api/v1/limit-grants/{id}",
                summary="End a raised limit now; running sessions are left alone",
                description="For admins.",
                scope=ACT,
                replies={200: Reply("The grant", LimitGrantOut)},
                errors=(404, 409),
            ),
        ),
    ),
    Resource(
        RestoreLimitGrantHandler,
        (
            Route(
                method="POST",
                path="api/v1/limit-grants/{id}/restore",
                summary="Take back that a raised limit was ended; it counts until its own end",
                description="For admins.",
                scope=ACT,
                replies={200: Reply("The grant", LimitGrantOut)},
                errors=(404, 409),
            ),
        ),
    ),
)
