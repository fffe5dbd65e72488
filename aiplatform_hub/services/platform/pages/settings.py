"""A person's own settings, and the files that make the pages an app."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from tornado.web import RequestHandler, StaticFileHandler

from aiplatform_hub.errors import InsufficientScopeError, NotFoundError
from aiplatform_hub.services.platform.auth import START
from aiplatform_hub.services.platform.pages.base import Page
from aiplatform_hub.web.rendering import environment, static_version
from aiplatform_hub.web.security_headers import CSP, PAGE_POLICY, WORKER_POLICY
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.settings import settings_page

WORKER = "service-worker.js"


class SettingsHandler(Page):
    """``GET settings``."""

    active = "settings"
    title = "Settings"

    async def get(self) -> None:
        caller = await self.caller()
        found = await self.platform.run(self.factory.push_desk.of, caller.user_name) if self.factory.has_push else None
        wants = await self.platform.run(self.factory.showback.is_wanted, caller.user_name) if self.factory.showback.is_lead(caller.user_name) else None
        self.show("settings.html", page=settings_page(found, self.paths, showback=wants))


class ShowbackChoiceHandler(Page):
    """``POST settings/showback``: switches the monthly mail on or off, then the settings."""

    async def get(self) -> None:
        """Lead to the settings, for a browser that opens the address again."""
        self.redirect(self.paths.settings, status=303)

    async def post(self) -> None:
        caller = await self.caller()
        if not self.principal.may(START, caller.user_name):
            raise InsufficientScopeError(f"This needs the scope {START}!user={caller.user_name}.")
        await self.platform.run(self.factory.showback.choose, caller.user_name, is_wanted=self.fields().get("showback") == "on")
        self.redirect(f"{self.paths.settings}#showback", status=303)


class BrowserOffHandler(Page):
    """``POST settings/browsers/ID/off``, then the settings."""

    async def get(self, subscription_id: str) -> None:  # noqa: ARG002 - a browser that opens the address again
        """Lead to the settings."""
        self.redirect(self.paths.settings, status=303)

    async def post(self, subscription_id: str) -> None:
        caller = await self.caller()
        if not self.principal.may(START, caller.user_name):
            raise InsufficientScopeError(f"This needs the scope {START}!user={caller.user_name}.")
        if not self.factory.has_push:
            raise NotFoundError("This hub does not tell browsers by push.")
        with suppress(NotFoundError):  # gone, or never theirs: the list below is right
            await self.platform.run(self.factory.push_desk.switch_off, UUID(subscription_id), by=caller.user_name)
        self.redirect(self.paths.settings, status=303)


class OfflineHandler(RequestHandler):
    """``GET offline``: what the service worker keeps for when nothing answers. It is the same for everybody."""

    def get(self) -> None:
        paths = Paths(self.application.settings["platform"].settings.base_url)
        self.set_header(CSP, PAGE_POLICY)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        self.finish(environment().get_template("offline.html").render(paths=paths, version=static_version()))


class AppFileHandler(StaticFileHandler):
    """The manifest and the service worker, which may speak for no more than the folder that it is in."""

    def set_extra_headers(self, path: str) -> None:
        """Have the browser look for a new one each time."""
        self.set_header("Cache-Control", "no-cache")
        if path == WORKER:
            self.set_header(CSP, WORKER_POLICY)

    def get_content_type(self) -> str:
        kind: Any = super().get_content_type()
        return "application/manifest+json" if str(self.absolute_path).endswith(".webmanifest") else str(kind)
