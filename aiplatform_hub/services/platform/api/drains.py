"""Draining: nothing new starts on a GPU, or on the whole machine, until it is undone. For admins."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.drains import Drain, DrainKind
from aiplatform_hub.domain.plain_text import MOST_CHARACTERS, plain_line
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.services.platform.base import ApiHandler, insufficient_scope
from aiplatform_hub.services.platform.bodies import read_change
from aiplatform_hub.services.platform.routes import Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Input, Instant, Output

SCOPE = "admin:servers"
"""What an admin's token has and nobody else's; the owner must be an admin too."""
WHY_DRAIN = "Say why: other admins read it beside the GPU."


class DrainBody(Input):
    """What is to be drained."""

    kind: Literal["gpu", "node"]
    target: Annotated[str, Field(max_length=512, description="UUID of a GPU as `GET capacity` gives it to admins, or `machine`")]
    reason: Annotated[str, Field(description=f"For other admins: one line of at most {MOST_CHARACTERS} characters")]


class SessionOn(Output):
    """A session that is still on a drained GPU."""

    allocation_id: UUID
    user: str
    server_name: str
    gpus: int


class DrainOut(Output):
    """One drain that stands."""

    id: int
    kind: Literal["gpu", "node"]
    target: str
    at: Instant
    by: str
    reason: str
    sessions: tuple[SessionOn, ...] = Field(description="Who is still on it; empty once it may be serviced")


class DrainList(Output):
    """The drains that stand."""

    items: tuple[DrainOut, ...]


class _Admins(ApiHandler):
    def require_admin(self) -> None:
        """Refuse everybody else."""
        if not (self.principal.is_admin and self.principal.holds(SCOPE)):
            raise insufficient_scope(SCOPE)


class DrainsHandler(_Admins):
    """``GET`` and ``POST drains``."""

    async def get(self) -> None:
        """Answer with what is drained, and who is still on it."""
        self.require_admin()
        standing = await self.platform.run(self.platform.factory.drains.standing)
        self.reply(DrainList(items=tuple(drain_out(drain, sessions) for drain, sessions in standing.items())))

    async def post(self) -> None:
        """Drain, and answer with who is still on it."""
        self.require_admin()
        body = read_change(DrainBody, self.body_object())
        reason = plain_line(body.reason, field="reason", needs=WHY_DRAIN)
        drain, sessions = await self.platform.run(self.platform.factory.drains.drain, DrainKind(body.kind), body.target, by=self.principal.name, reason=reason)
        self.reply(drain_out(drain, sessions), 201)


class DrainHandler(_Admins):
    """``DELETE drains/{id}``."""

    async def delete(self, drain_id: str) -> None:
        """Give the GPUs out again."""
        self.require_admin()
        if not re.fullmatch(r"[0-9]{1,18}", drain_id):
            raise NotFoundError("There is no such drain.")
        await self.platform.run(self.platform.factory.drains.undo, int(drain_id), by=self.principal.name)
        self.set_status(204)
        self.clear_header("Content-Type")


def drain_out(drain: Drain, sessions: tuple[Allocation, ...]) -> DrainOut:
    """Return a drain as it is sent."""
    return DrainOut(
        id=drain.id,
        kind=drain.kind.value,
        target=drain.target,
        at=drain.at,
        by=drain.by,
        reason=drain.reason,
        sessions=tuple(SessionOn(allocation_id=a.id, user=a.user_name, server_name=a.server_name, gpus=a.request.gpus) for a in sessions),
    )


RESOURCES = (
    Resource(
        DrainsHandler,
        (
            Route(
                method="GET",
                path="api/v1/drains",
                summary="What is drained: GPUs, or the whole machine, on which nothing new starts; who is still on them",
                description="For admins.",
                scope=SCOPE,
                replies={200: Reply("The drains", DrainList)},
            ),
            Route(
                method="POST",
                path="api/v1/drains",
                summary="Let nothing new start on a GPU, or on the whole machine",
                description="For admins. What runs there goes on; `sessions` says who that is. In a cluster, cordon the node instead.",
                scope=SCOPE,
                body=DrainBody,
                replies={201: Reply("The drain", DrainOut)},
                errors=(400, 409),
            ),
        ),
    ),
    Resource(
        DrainHandler,
        (
            Route(
                method="DELETE",
                path="api/v1/drains/{id}",
                summary="Give drained GPUs out again; may be repeated",
                description="For admins.",
                scope=SCOPE,
                replies={204: Reply("They are given out")},
                errors=(404,),
            ),
        ),
    ),
)
