"""Announcements: above every page, hidden for a visit, and written by admins."""

from __future__ import annotations

from datetime import datetime

from aiplatform_hub.domain.announcements import Draft, Level
from aiplatform_hub.errors import AIPlatformError, InvalidOptionError
from aiplatform_hub.services.platform.bodies import instant, invalid
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.services.platform.pages.base import DISMISSED_COOKIE, Page
from aiplatform_hub.web.view_models.announcements import announcements_page, cookie_of
from aiplatform_hub.web.view_models.problem import problem_of

LISTED = 50
"""So many of the newest are listed."""


class BannersHandler(Page):
    """``GET announcements``: what stands above every page, alone; for the page that asks."""

    async def get(self) -> None:
        await self.caller()
        self.here = self.own_address(self.request.headers.get("HX-Current-URL", ""))
        self.show("_announcements.html")


class HideBannerHandler(Page):
    """``POST announcements/ID/dismiss``: hides one in this browser until it ends, then the page that it was asked from."""

    async def get(self, announcement_id: str) -> None:  # noqa: ARG002 - a browser that opens the address again
        """Lead to Home."""
        self.redirect(self.paths.home, status=303)

    async def post(self, announcement_id: str) -> None:
        await self.caller()
        shown = await self.platform.run(self.factory.announcements.shown)
        hidden = self.dismissed() | {int(announcement_id)}
        secure = self.request.protocol == "https"
        self.set_cookie(DISMISSED_COOKIE, cookie_of(hidden, shown), path=self.paths.platform, httponly=True, samesite="Lax", secure=secure)
        self.here = self.own_address(self.fields().get("back", ""))
        if "HX-Request" not in self.request.headers:
            self.redirect(self.here, status=303)
            return
        self.announcements = tuple(banner for banner in self.announcements if banner.id not in hidden)
        self.show("_announcements.html")


class AdminAnnouncementsHandler(AdminPage):
    """``GET admin/announcements`` lists them, ``POST`` writes one."""

    tab = "announcements"
    title = "Announcements"

    async def get(self) -> None:
        await self.admin()
        await self._show({}, None)

    async def post(self) -> None:
        admin = await self.acting_admin()
        fields = self.fields()
        try:
            await self.platform.run(self.factory.announcements.announce, draft_of(fields, self.factory.clock()), by=admin.user_name)
        except AIPlatformError as error:
            self.set_status(error.status)
            self.set_error_headers(error)
            await self._show(fields, error)
            return
        self.redirect(self.paths.admin_announcements, status=303)

    async def _show(self, fields: dict[str, str], error: AIPlatformError | None) -> None:
        latest = await self.platform.run(self.factory.announcements.latest, limit=LISTED)
        problem, withdrawn = problem_of(error) if error else None, self.get_query_argument("withdrawn", "")
        page = announcements_page(latest, fields, now=self.factory.clock(), paths=self.paths, problem=problem, withdrawn_id=withdrawn)
        self.show_tab("admin_announcements.html", page=page)


class _ChangeHandler(AdminPage):
    """Changes one announcement, then shows the list."""

    async def get(self, announcement_id: str) -> None:  # noqa: ARG002 - a browser that opens the address again
        """Lead to the list."""
        await self.admin()
        self.redirect(self.paths.admin_announcements, status=303)


class WithdrawHandler(_ChangeHandler):
    """``POST admin/announcements/ID/withdraw``; the list then offers it back."""

    async def post(self, announcement_id: str) -> None:
        admin = await self.acting_admin()
        await self.platform.run(self.factory.announcements.withdraw, int(announcement_id), by=admin.user_name)
        self.redirect(f"{self.paths.admin_announcements}?withdrawn={int(announcement_id)}", status=303)


class RestoreHandler(_ChangeHandler):
    """``POST admin/announcements/ID/restore``."""

    async def post(self, announcement_id: str) -> None:
        admin = await self.acting_admin()
        await self.platform.run(self.factory.announcements.restore, int(announcement_id), by=admin.user_name)
        self.redirect(self.paths.admin_announcements, status=303)


def draft_of(fields: dict[str, str], now: datetime) -> Draft:
    """Return what a form says.

    Raises
    ------
    InvalidOptionError
        Naming each field at fault.
    """
    faults: list[InvalidOptionError] = []

    def at(name: str) -> datetime:
        text = fields.get(name, "").strip()
        if not text and name == "starts_at":
            return now
        try:
            return instant(text if text.endswith("Z") or not text else f"{text}Z", name)
        except InvalidOptionError as error:
            faults.append(error)
            return now

    level = fields.get("level", "")
    if level not in set(Level):
        faults.append(invalid("level", "Choose how much it matters.", tuple(Level)))
    starts_at, ends_at = at("starts_at"), at("ends_at")
    if faults:
        raise InvalidOptionError(" ".join(fault.message for fault in faults), tuple(reason for fault in faults for reason in fault.reasons))
    return Draft(text=fields.get("text", ""), level=Level(level), starts_at=starts_at, ends_at=ends_at, is_maintenance="is_maintenance" in fields)
