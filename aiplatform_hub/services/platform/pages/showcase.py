"""Every building block of pages in every state; only in a demo."""

from __future__ import annotations

from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.services.platform.pages.base import Page
from aiplatform_hub.web.view_models import showcase as view


class ShowcaseHandler(Page):
    """``GET components``."""

    title = "Building blocks"

    async def get(self) -> None:
        await self.caller()
        if not self.platform.settings.is_demo:
            raise NotFoundError("There is nothing here.")
        self.show(
            "showcase.html",
            page=view.showcase(self.factory.clock(), self.paths),
            badges=view.BADGES,
            alerts=view.ALERTS,
            buttons=view.BUTTONS,
            bars=view.BARS,
        )
