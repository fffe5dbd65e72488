"""Notifications: what the caller themselves was told."""

from __future__ import annotations

import re
from uuid import UUID

from pydantic import Field

from aiplatform_hub.domain.notices import NoticeKind, text_of
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.operations.notices import Told
from aiplatform_hub.services.platform.auth import READ, START
from aiplatform_hub.services.platform.base import ApiHandler
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Instant, Output

DEFAULT_LIMIT, MAX_LIMIT = 50, 200


class NotificationOut(Output):
    """One thing that the caller was told."""

    id: int
    at: Instant
    kind: str = Field(description=f"One of {', '.join(f'`{kind.value}`' for kind in NoticeKind)}")
    allocation_id: UUID | None
    subject: str
    sentences: tuple[str, ...] = Field(description="What happened and what to do, with times in UTC")
    until: Instant | None = Field(description="When what is announced happens; for `turn_came` until when it has to be opened")
    is_current: bool = Field(description="Whether pages still show it: it was not dismissed and is not past")
    dismissed_at: Instant | None


class NotificationPage(Output):
    """A page of notifications."""

    items: tuple[NotificationOut, ...]
    next_cursor: str | None


class NotificationsHandler(ApiHandler):
    """``GET notifications``."""

    async def get(self) -> None:
        """Answer with what the caller was told; a service is never told anything."""
        limit = self._number("limit", DEFAULT_LIMIT, MAX_LIMIT)
        before = self._number("cursor", 0, None)
        principal = self.principal
        if not principal.is_user or not principal.may(READ, principal.name):
            self.reply(NotificationPage(items=(), next_cursor=None))
            return
        found = await self.platform.run(self.platform.factory.notices.of, principal.name, limit=limit + 1, before=before or None)
        cursor = str(found[limit - 1].notice.id) if len(found) > limit else None
        self.reply(NotificationPage(items=tuple(body_of(told) for told in found[:limit]), next_cursor=cursor))

    def _number(self, name: str, default: int, most: int | None) -> int:
        text = self.get_query_argument(name, str(default))
        if not re.fullmatch(r"[0-9]{1,18}", text) or (most is not None and not 1 <= int(text) <= most):
            raise invalid(name, f"{name} must be a whole number from 1 to {most}." if most else f"{name} must be the next_cursor of the page before.")
        return int(text)


class DismissHandler(ApiHandler):
    """``POST notifications/{id}/dismiss``."""

    async def post(self, notice_id: str) -> None:
        """Note that the caller has seen a notification of theirs."""
        principal = self.principal
        if not re.fullmatch(r"[0-9]{1,18}", notice_id) or not principal.is_user:
            raise NotFoundError("There is no such notification, or it is not yours.")
        await self.require(START, principal.name)
        self.reply(body_of(await self.platform.run(self.platform.factory.notices.dismiss, int(notice_id), by=principal.name)))


def body_of(told: Told) -> NotificationOut:
    """Return a notice as the REST API shows it."""
    notice = told.notice
    return NotificationOut(
        id=notice.id,
        at=notice.at,
        kind=notice.kind.value,
        allocation_id=notice.allocation_id,
        subject=told.words.subject,
        sentences=tuple(text_of(sentence) for sentence in told.words.sentences),
        until=told.until,
        is_current=told.is_current,
        dismissed_at=notice.dismissed_at,
    )


RESOURCES = (
    Resource(
        NotificationsHandler,
        (
            Route(
                method="GET",
                path="api/v1/notifications",
                summary="What the caller was told, newest first",
                description="Their own only, also for admins: whose turn came, what expires or was released, what could not be started.",
                scope=READ,
                parameters=(
                    Parameter("limit", "Most items of a page", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
                    Parameter("cursor", "`next_cursor` of the page before", {"type": "string"}),
                ),
                replies={200: Reply("A page", NotificationPage)},
                errors=(400,),
            ),
        ),
    ),
    Resource(
        DismissHandler,
        (
            Route(
                method="POST",
                path="api/v1/notifications/{id}/dismiss",
                summary="Say that a notification was seen: pages show it no more; may be repeated",
                scope=START,
                replies={200: Reply("The notification", NotificationOut)},
                errors=(404,),
            ),
        ),
    ),
)
