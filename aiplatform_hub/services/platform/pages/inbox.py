"""What the reader is told: read again, and dismissed."""

from __future__ import annotations

from aiplatform_hub.errors import AIPlatformError, InsufficientScopeError
from aiplatform_hub.services.platform.auth import START
from aiplatform_hub.services.platform.pages.base import Page


class InboxHandler(Page):
    """``GET notifications``: what stands above every page, alone; for the page that asks, if a script of ours does."""

    async def get(self) -> None:
        await self.caller()
        self.here = self.own_address(self.request.headers.get("HX-Current-URL", ""))
        self.show("inbox.html")


class DismissHandler(Page):
    """``POST notifications/ID/dismiss``, then the page that it was asked from."""

    async def get(self, notice_id: str) -> None:  # noqa: ARG002 - a browser that opens the address again
        """Lead to Home."""
        self.redirect(self.paths.home, status=303)

    async def post(self, notice_id: str) -> None:
        caller = await self.caller()
        if not self.principal.may(START, caller.user_name):
            raise InsufficientScopeError(f"This needs the scope {START}!user={caller.user_name}.")
        self.here = self.own_address(self.fields().get("back", ""))
        try:
            await self.platform.run(self.factory.notices.dismiss, int(notice_id), by=caller.user_name)
        except AIPlatformError as error:
            if error.status >= 500:  # noqa: PLR2004 - HTTP
                raise
            # gone, or never theirs: the list below is right
        if "HX-Request" not in self.request.headers:
            self.redirect(self.here, status=303)
            return
        self.inbox = await self.read_inbox()
        self.show("inbox.html")
