"""Home's list of ended sessions: taking one off, and bringing it back."""

from __future__ import annotations

from uuid import UUID

from aiplatform_hub.errors import InsufficientScopeError
from aiplatform_hub.services.platform.auth import START
from aiplatform_hub.services.platform.pages.base import Page


class _ListHandler(Page):
    async def get(self, allocation_id: str) -> None:  # noqa: ARG002 - a browser that opens the address again
        """Lead to Home."""
        self.redirect(self.paths.home, status=303)

    def check(self) -> None:
        """Refuse a token that may only read.

        Raises
        ------
        InsufficientScopeError
            Naming the scope.
        """
        if not self.principal.may(START, self.principal.name):
            raise InsufficientScopeError(f"This needs the scope {START}!user={self.principal.name}.")


class HideHandler(_ListHandler):
    """``POST sessions/ID/hide``; Home then offers it back."""

    async def post(self, allocation_id: str) -> None:
        caller = await self.caller()
        self.check()
        await self.platform.run(self.factory.home_list.hide, UUID(allocation_id), by=caller.user_name)
        self.redirect(f"{self.paths.home}?hidden={allocation_id}", status=303)


class UnhideHandler(_ListHandler):
    """``POST sessions/ID/unhide``."""

    async def post(self, allocation_id: str) -> None:
        caller = await self.caller()
        self.check()
        await self.platform.run(self.factory.home_list.unhide, UUID(allocation_id), by=caller.user_name)
        self.redirect(self.paths.home, status=303)
