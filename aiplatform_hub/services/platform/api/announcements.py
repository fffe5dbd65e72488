"""Announcements: read by everybody, written and taken back by admins."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from aiplatform_hub.domain.announcements import Announcement, Draft, Level, is_shown
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.base import ApiHandler, insufficient_scope
from aiplatform_hub.services.platform.bodies import instant, read_change
from aiplatform_hub.services.platform.routes import Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Input, Instant, Output

WRITE = "admin:servers"
"""What an admin's token has and nobody else's; the owner must be an admin too."""


class AnnouncementOut(Output):
    """What an admin tells everybody."""

    id: int
    text: str
    level: str = Field(description=f"One of {', '.join(f'`{level.value}`' for level in Level)}")
    starts_at: Instant
    ends_at: Instant = Field(description="Exclusive")
    is_maintenance: bool = Field(description="Whether it is a maintenance window, of which starts that reach into it are told")
    is_shown: bool = Field(description="Whether pages show it now; maintenance windows are shown 14 days ahead")
    created_at: Instant
    withdrawn_at: Instant | None


class AnnouncementList(Output):
    """Announcements."""

    items: tuple[AnnouncementOut, ...]


class AnnouncementBody(Input):
    """What to tell everybody."""

    text: str = Field(description="Plain text, at most 500 characters")
    level: Literal["info", "warning", "critical"] = "info"
    starts_at: str | None = Field(None, description="A UTC instant; null for now", json_schema_extra={"format": "date-time"})
    ends_at: str = Field(description="A UTC instant, exclusive", json_schema_extra={"format": "date-time"})
    is_maintenance: bool = False


class _AdminHandler(ApiHandler):
    def check_admin(self) -> None:
        """Refuse everybody but admins.

        Raises
        ------
        InsufficientScopeError
            If it is somebody else.
        """
        if not (self.principal.is_admin and self.principal.holds(WRITE)):
            raise insufficient_scope(WRITE)

    def body_of(self, one: Announcement) -> AnnouncementOut:
        """Return an announcement as the REST API shows it."""
        known = {name: getattr(one, name) for name in AnnouncementOut.model_fields if name != "is_shown"}
        return AnnouncementOut(**{**known, "level": one.level.value}, is_shown=is_shown(one, self.platform.factory.clock()))


class AnnouncementsHandler(_AdminHandler):
    """``GET`` and ``POST announcements``."""

    async def get(self) -> None:
        """Answer with what is not over yet."""
        found = await self.platform.run(self.platform.factory.announcements.not_over)
        self.reply(AnnouncementList(items=tuple(self.body_of(one) for one in found)))

    async def post(self) -> None:
        """Tell everybody something, or refuse it with everything that is wrong with it."""
        self.check_admin()
        factory, body = self.platform.factory, read_change(AnnouncementBody, self.body_object())
        draft = Draft(
            text=body.text,
            level=Level(body.level),
            starts_at=factory.clock() if body.starts_at is None else instant(body.starts_at, "starts_at"),
            ends_at=instant(body.ends_at, "ends_at"),
            is_maintenance=body.is_maintenance,
        )
        self.reply(self.body_of(await self.platform.run(factory.announcements.announce, draft, by=self.principal.name)), 201)


class AnnouncementHandler(_AdminHandler):
    """``DELETE announcements/{number}``."""

    async def delete(self, number: str) -> None:
        """Take it back."""
        self.check_admin()
        withdraw = self.platform.factory.announcements.withdraw
        self.reply(self.body_of(await self.platform.run(withdraw, _number(number), by=self.principal.name)))


class RestoreHandler(_AdminHandler):
    """``POST announcements/{number}/restore``."""

    async def post(self, number: str) -> None:
        """Let it count again."""
        self.check_admin()
        restore = self.platform.factory.announcements.restore
        self.reply(self.body_of(await self.platform.run(restore, _number(number), by=self.principal.name)))


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise NotFoundError(f"There is no announcement {text}.")
    return int(text)


RESOURCES = (
    Resource(
        AnnouncementsHandler,
        (
            Route(
                method="GET",
                path="api/v1/announcements",
                summary="What admins tell everybody, now and later; also maintenance windows",
                scope=READ,
                replies={200: Reply("What is not over, the first to begin first", AnnouncementList)},
            ),
            Route(
                method="POST",
                path="api/v1/announcements",
                summary="Tell everybody something, on every page",
                description="For admins. A maintenance window stops nothing: it is shown ahead, and whoever starts something that reaches into it is told so.",
                scope=WRITE,
                body=AnnouncementBody,
                replies={201: Reply("The announcement", AnnouncementOut)},
                errors=(400,),
            ),
        ),
    ),
    Resource(
        AnnouncementHandler,
        (
            Route(
                method="DELETE",
                path="api/v1/announcements/{number}",
                summary="Take an announcement back; may be repeated",
                description="For admins.",
                scope=WRITE,
                replies={200: Reply("The announcement, withdrawn", AnnouncementOut)},
                errors=(404,),
            ),
        ),
    ),
    Resource(
        RestoreHandler,
        (
            Route(
                method="POST",
                path="api/v1/announcements/{number}/restore",
                summary="Show a withdrawn announcement again; may be repeated",
                description="For admins.",
                scope=WRITE,
                replies={200: Reply("The announcement", AnnouncementOut)},
                errors=(404, 409),
            ),
        ),
    ),
)
