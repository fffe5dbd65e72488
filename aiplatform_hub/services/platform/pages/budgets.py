"""Admin, Budgets: what is left of each, until when it lasts, and forms that set, change and end one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from uuid import UUID

from aiplatform_hub.domain.budgets import AtLimit
from aiplatform_hub.domain.rates import card_at
from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.budgets import BudgetDraft
from aiplatform_hub.services.platform.bodies import instant, invalid
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.web.view_models.budgets import BudgetsPage, budget_fields, budget_row, budgets_page
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import Problem, problem_of


class AdminBudgetsHandler(AdminPage):
    """``GET admin/budgets`` shows them, ``POST`` sets one."""

    tab = "budgets"
    title = "Budgets"

    async def get(self) -> None:
        await self.admin()
        await self.show_budgets(self.fields())

    async def post(self) -> None:
        admin = await self.acting_admin()
        fields = self.fields()
        try:
            draft, replaces = draft_of(fields), _id(fields.get("replaces", ""))
            await self.platform.run(self.factory.budgets.set, draft, admin.user_name, replaces=replaces)
        except AIPlatformError as error:
            await self.refuse(fields, error)
            return
        self.redirect(f"{self.paths.platform}admin/budgets?done=set", status=303)

    async def refuse(self, fields: Mapping[str, str], error: AIPlatformError) -> None:
        """Show the page with what was typed, and what is wrong with it."""
        self.set_status(error.status)
        self.set_error_headers(error)
        await self.show_budgets(fields, problem_of(error))

    async def show_budgets(self, fields: Mapping[str, str], problem: Problem | None = None) -> None:
        """Answer with the page."""
        page = await self.platform.run(read_page, self.factory, fields, self.paths, problem)
        self.show_tab("admin-budgets.html", page=page)


class EndBudgetHandler(AdminBudgetsHandler):
    """``POST admin/budgets/end``: nothing is refused or held by it any more."""

    async def get(self) -> None:
        """Lead to the budgets: a browser opens the address again."""
        await self.admin()
        self.redirect(f"{self.paths.platform}admin/budgets", status=303)

    async def post(self) -> None:
        admin = await self.acting_admin()
        try:
            budget_id = _id(self.fields().get("budget", ""))
            if budget_id is None:
                raise invalid("budget", "Say which budget ends.")
            await self.platform.run(self.factory.budgets.end, budget_id, admin.user_name)
        except AIPlatformError as error:
            await self.refuse({}, error)
            return
        self.redirect(f"{self.paths.platform}admin/budgets?done=ended", status=303)


def read_page(factory: Factory, fields: Mapping[str, str], paths: Paths, problem: Problem | None) -> BudgetsPage:
    """Read and word every budget that counts or is to come."""
    now, found = factory.clock(), factory.budgets.all()
    change = next((each for each in found if str(each.budget.id) == fields.get("change", "")), None)
    catalog = factory.catalog
    return budgets_page(
        (budget_row(each, factory.budgets.runway(each), now) for each in found),
        budget_fields(change) if change is not None else fields,
        names=(*catalog.cost_centres, *catalog.projects),
        currency=card_at(factory.rate_cards(), now).currency,
        paths=paths,
        problem=problem,
        done=fields.get("done", ""),
    )


def draft_of(fields: Mapping[str, str]) -> BudgetDraft:
    """Return what the form says.

    Raises
    ------
    InvalidOptionError
        Naming the first field at fault.
    """
    try:
        amount = Decimal(fields.get("amount", "").strip())
    except InvalidOperation:
        raise invalid("amount", "Write the amount as a number, for example 250.00.") from None
    at_limit = fields.get("at_limit", "")
    if at_limit == AtLimit.STOP and "sure" not in fields:
        raise invalid("sure", "Say that running sessions may be stopped, or let them finish.")
    return BudgetDraft(
        scope=fields.get("scope", ""),
        name=fields.get("name", "").strip(),
        amount=amount,
        currency=fields.get("currency", "").strip(),
        period=fields.get("period", ""),
        reason=fields.get("reason", ""),
        starts_at=_instant(fields, "starts_at"),
        ends_at=_instant(fields, "ends_at"),
        soft_percents=tuple(_whole("soft_percents", part) for part in fields.get("soft_percents", "").split(",") if part.strip()),
        at_limit=at_limit,
        grace=timedelta(minutes=_whole("grace_minutes", fields.get("grace_minutes", ""))),
    )


def _instant(fields: Mapping[str, str], name: str) -> datetime | None:
    """Return what a field for UTC says; None where it is empty."""
    text = fields.get(name, "").strip()
    return instant(f"{text}Z", name) if text else None


def _whole(name: str, text: str) -> int:
    clean = text.strip()
    if not (clean.isascii() and clean.isdigit() and len(clean) <= 6):  # noqa: PLR2004 - far above what is allowed
        raise invalid(name, "Write whole numbers, several of them with commas between." if name == "soft_percents" else "Write a whole number of minutes.")
    return int(clean)


def _id(text: str) -> UUID | None:
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise invalid("replaces", "There is no such budget.") from None
