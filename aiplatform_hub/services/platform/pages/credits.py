"""Admin, Credits: what was given to whom, what is left of it, and a form to give more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

from aiplatform_hub.domain.rates import card_at
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.credits import CreditDraft
from aiplatform_hub.services.platform.bodies import instant, invalid
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.web.view_models.credits import CreditsPage, credit_bar, credits_page
from aiplatform_hub.web.view_models.formats import Bar
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import Problem, problem_of


def credit_bars(factory: Factory, caller: Caller) -> tuple[Bar, ...]:
    """Return the credits that a person's sessions are or will be paid from, for Home."""
    projects = tuple(project.name for project in factory.catalog.projects_of(caller.groups, caller.projects))
    now = factory.clock()
    return tuple(credit_bar(each, now) for each in factory.credits.of(caller, projects))


class AdminCreditsHandler(AdminPage):
    """``GET admin/credits`` lists them, ``POST`` gives one."""

    tab = "credits"
    title = "Credits"

    async def get(self) -> None:
        await self.admin()
        await self.show_credits({"done": self.fields().get("done", "")})

    async def post(self) -> None:
        admin = await self.acting_admin()
        fields = self.fields()
        try:
            await self.platform.run(self.factory.credits.grant, draft_of(fields), admin.user_name)
        except AIPlatformError as error:
            await self.refuse(fields, error)
            return
        self.redirect(f"{self.paths.platform}admin/credits?done=granted", status=303)

    async def refuse(self, fields: Mapping[str, str], error: AIPlatformError) -> None:
        """Show the page with what was typed, and what is wrong with it."""
        self.set_status(error.status)
        self.set_error_headers(error)
        await self.show_credits(fields, problem_of(error))

    async def show_credits(self, fields: Mapping[str, str], problem: Problem | None = None) -> None:
        """Answer with the page."""
        self.show_tab("admin-credits.html", page=await self.platform.run(read_page, self.factory, fields, self.paths, problem))


class EndCreditHandler(AdminCreditsHandler):
    """``POST admin/credits/ID/end``."""

    async def get(self, credit_id: str) -> None:  # type: ignore[override]  # noqa: ARG002 - a browser that opens the address again
        """Lead to the list."""
        await self.admin()
        self.redirect(f"{self.paths.platform}admin/credits", status=303)

    async def post(self, credit_id: str) -> None:  # type: ignore[override]  # its address names one
        admin = await self.acting_admin()
        try:
            await self.platform.run(self.factory.credits.end, UUID(credit_id), admin.user_name)
        except AIPlatformError as error:
            await self.refuse({}, error)
            return
        self.redirect(f"{self.paths.platform}admin/credits?done=ended", status=303)


def read_page(factory: Factory, fields: Mapping[str, str], paths: Paths, problem: Problem | None) -> CreditsPage:
    """Read and word the credits."""
    now = factory.clock()
    return credits_page(factory.credits.all(), fields, now=now, currency=card_at(factory.rate_cards(), now).currency, paths=paths, problem=problem)


def draft_of(fields: Mapping[str, str]) -> CreditDraft:
    """Return what a form says.

    Raises
    ------
    InvalidOptionError
        Naming the field at fault.
    """
    try:
        amount = Decimal(fields.get("amount", "").strip())
    except InvalidOperation:
        raise invalid("amount", "Write the amount as a number, for example 250.00.") from None
    priority = fields.get("priority", "").strip()
    if not (priority.isascii() and priority.isdigit() and len(priority) < len("10000")):
        raise invalid("priority", "The priority is a whole number from 0 to 1000; the smallest burns first.")
    return CreditDraft(
        scope=fields.get("scope", ""),
        name=fields.get("name", "").strip(),
        amount=amount,
        currency=fields.get("currency", "").strip(),
        reason=fields.get("reason", ""),
        priority=int(priority),
        starts_at=_at(fields, "starts_at"),
        expires_at=_at(fields, "expires_at"),
    )


def _at(fields: Mapping[str, str], name: str) -> datetime | None:
    text = fields.get(name, "").strip()
    return instant(text if text.endswith("Z") else f"{text}Z", name) if text else None
