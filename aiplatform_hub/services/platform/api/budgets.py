"""Budgets: what a caller's sessions are paid from, for everybody; all of them, and their changes, for admins."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from uuid import UUID

from aiplatform_hub.domain.budgets import from_micros
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.operations.budgets import BudgetDraft
from aiplatform_hub.services.platform.auth import BILLING, READ
from aiplatform_hub.services.platform.base import ApiHandler, insufficient_scope
from aiplatform_hub.services.platform.bodies import instant, invalid, read_change
from aiplatform_hub.services.platform.budget_models import BudgetBody, BudgetList, BudgetOut, runway_out
from aiplatform_hub.services.platform.routes import Reply, Resource, Route
from aiplatform_hub.storage.budgets import Standing

WRITE = "admin:servers"
"""What an admin's token has and nobody else's; the owner must be an admin too."""


class BudgetsHandler(ApiHandler):
    """``GET`` and ``POST budgets``."""

    async def get(self) -> None:
        """Answer with the caller's budgets; who sees everybody sees all."""
        factory = self.platform.factory
        if self.principal.sees_everybody or self.principal.reads_billing:
            found = await self.platform.run(factory.budgets.all)
        else:
            caller = await self.platform.sessions.caller(self.principal.name)
            projects = tuple(project.name for project in factory.catalog.projects_of(caller.groups, caller.projects))
            found = await self.platform.run(factory.budgets.of, caller, projects)
        self.reply(await self.platform.run(lambda: BudgetList(items=tuple(map(self.body_of, found)))))  # forecasts of thousands would hold the loop up

    async def post(self) -> None:
        """Set a budget, or refuse it by the field that is wrong."""
        check_admin(self)
        body = read_change(BudgetBody, self.body_object())
        draft = BudgetDraft(
            scope=body.scope,
            name=body.name,
            amount=_amount(body.amount),
            currency=body.currency,
            period=body.period,
            reason=body.reason,
            starts_at=None if body.starts_at is None else instant(body.starts_at, "starts_at"),
            ends_at=None if body.ends_at is None else instant(body.ends_at, "ends_at"),
            soft_percents=tuple(body.soft_percents),
            at_limit=body.at_limit,
            grace=_minutes(body.grace_minutes),
        )
        factory = self.platform.factory
        budget = await self.platform.run(factory.budgets.set, draft, self.principal.name, replaces=None if body.replaces is None else _id(body.replaces))
        found = await self.platform.run(factory.budgets.all)
        standing = next((each for each in found if each.budget.id == budget.id), Standing.new(budget))
        self.reply(self.body_of(standing), 201)

    def body_of(self, standing: Standing) -> BudgetOut:
        """Return a budget as the REST API shows it."""
        budget, spending = standing.budget, standing.spending
        start, end = budget.span_at(max(self.platform.factory.clock(), budget.starts_at)) or (budget.starts_at, budget.ends_at)
        return BudgetOut(
            id=budget.id,
            scope=budget.scope.value,
            name=budget.name,
            amount=from_micros(standing.limit_micros),
            committed=from_micros(spending.committed_micros),
            moved=from_micros(spending.adjustment.moved_micros),
            storage=from_micros(spending.adjustment.storage_micros),
            credits=from_micros(spending.adjustment.credit_micros),
            held=from_micros(spending.held_micros),
            left=from_micros(max(0, standing.limit_micros - spending.taken_micros)),
            overdraft=from_micros(spending.overdraft_micros),
            currency=budget.currency,
            period=budget.period.value,
            period_starts_at=start,
            period_ends_at=end,
            reason=budget.reason,
            soft_percents=budget.soft_percents,
            at_limit=budget.at_limit.value,
            grace_minutes=budget.grace // timedelta(minutes=1),
            runway=runway_out(self.platform.factory.budgets.runway(standing)),
        )


class BudgetHandler(ApiHandler):
    """``DELETE budgets/{id}``."""

    async def delete(self, budget_id: str) -> None:
        """End a budget."""
        check_admin(self)
        await self.platform.run(self.platform.factory.budgets.end, _id(budget_id), self.principal.name)
        self.set_status(204)
        self.clear_header("Content-Type")


def check_admin(handler: ApiHandler) -> None:
    """Refuse everybody but admins.

    Raises
    ------
    InsufficientScopeError
        If it is somebody else.
    """
    if not (handler.principal.is_admin and handler.principal.holds(WRITE)):
        raise insufficient_scope(WRITE)


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise invalid("amount", 'Write the amount as a decimal string, for example "250.00".') from None


def _minutes(number: int) -> timedelta:
    try:
        return timedelta(minutes=number)
    except OverflowError:
        raise invalid("grace_minutes", "The grace is longer than any time.") from None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("There is no such budget.") from None


RESOURCES = (
    Resource(
        BudgetsHandler,
        (
            Route(
                method="GET",
                path="api/v1/budgets",
                summary="The budgets that the caller's sessions are paid from, and how they stand",
                description="Who may read everybody's servers, and a billing viewer, sees all of them.",
                scope=READ,
                other_scope=BILLING,
                replies={200: Reply("Budgets", BudgetList)},
            ),
            Route(
                method="POST",
                path="api/v1/budgets",
                summary="Set a budget for a cost centre, project or person",
                description=(
                    "For admins. One at a time: name the one before in `replaces`, or end it first. What sessions cost in its first period before it was set "
                    "counts in it. When it is spent, new sessions with GPUs are refused; those that run go on, and what they cost then is overdraft, or they "
                    "are warned and stopped after a grace, as `at_limit` says. Nothing that was saved is deleted."
                ),
                scope=WRITE,
                body=BudgetBody,
                replies={201: Reply("The budget", BudgetOut)},
                errors=(400, 404, 409),
            ),
        ),
    ),
    Resource(
        BudgetHandler,
        (
            Route(
                method="DELETE",
                path="api/v1/budgets/{id}",
                summary="End a budget",
                description="For admins. Nothing is refused or held by it any more; what was spent of it stays on record.",
                scope=WRITE,
                replies={204: Reply("It has ended")},
                errors=(404, 409),
            ),
        ),
    ),
)
