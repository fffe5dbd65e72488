"""Charging an ended session to another project: an admin chooses, sees what it changes, and says why."""

from __future__ import annotations

from collections.abc import Mapping

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.session_moves import Account
from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.services.platform.pages.session import OneAllocationPage
from aiplatform_hub.web.view_models.labels import template_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import problem_of
from aiplatform_hub.web.view_models.session_moves import MovePage, account_text, amount_rows, choices


class MoveSessionHandler(OneAllocationPage, AdminPage):
    """``GET sessions/ID/move`` shows what a move would change, ``POST`` records it."""

    active = "admin"
    tab = "now"

    async def get(self, allocation_id: str) -> None:
        await self.admin()
        await self._ask(await self.allocation(allocation_id), self.fields(), None)

    async def post(self, allocation_id: str) -> None:
        admin = await self.acting_admin()
        allocation = await self.allocation(allocation_id)
        fields = self.fields()
        try:
            moves = self.factory.session_moves
            await self.platform.run(moves.move, allocation.id, fields.get("project", ""), reason=fields.get("reason", ""), by=admin.user_name)
        except AIPlatformError as error:
            self.set_status(error.status)
            self.set_error_headers(error)
            await self._ask(allocation, fields, error)
            return
        self.redirect(self.paths.session(allocation.id), status=303)

    async def _ask(self, allocation: Allocation, fields: Mapping[str, str], error: AIPlatformError | None) -> None:
        self.title = "Charge to another project"
        page = await self.platform.run(move_page, self.factory, allocation, fields, error, self.paths)
        self.show("session-move.html", page=page)


def move_page(factory: Factory, allocation: Allocation, fields: Mapping[str, str], error: AIPlatformError | None, paths: Paths) -> MovePage:
    """Read and word what a move would change."""
    catalog, request = factory.catalog, allocation.request
    moves = factory.session_moves.of(allocation.id)
    present = moves[-1].target if moves else Account(request.project, request.cost_centre)
    chosen, problem, plan = fields.get("project", ""), error, None
    if chosen:
        try:
            plan = factory.session_moves.plan(allocation.id, chosen, by="")
        except AIPlatformError as refused:
            problem = problem or refused
    return MovePage(
        title=template_label(catalog, request.environment_template),
        owner=allocation.user_name,
        now=account_text(plan.move.source if plan else present),
        choices=choices(catalog, present, chosen),
        session_url=paths.session(allocation.id),
        target=account_text(plan.move.target) if plan else "",
        chosen=chosen if plan else "",
        amounts=amount_rows(plan.amounts) if plan else (),
        reason=fields.get("reason", ""),
        problem=problem_of(problem) if problem else None,
    )
