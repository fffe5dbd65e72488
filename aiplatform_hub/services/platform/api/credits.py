"""Credits: what a caller's sessions are paid from, for everybody; all of them, and their changes, for admins."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Literal
from uuid import UUID

from pydantic import Field

from aiplatform_hub.domain.budgets import from_micros
from aiplatform_hub.domain.credits import Credit
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.operations.credits import USUAL_PRIORITY, CreditDraft
from aiplatform_hub.services.platform.api.budgets import WRITE, check_admin
from aiplatform_hub.services.platform.auth import BILLING, READ
from aiplatform_hub.services.platform.base import ApiHandler
from aiplatform_hub.services.platform.bodies import instant, invalid, read_change
from aiplatform_hub.services.platform.routes import Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Input, Instant, Money, Output
from aiplatform_hub.storage.credits import Balance


class CreditOut(Output):
    """A credit, with what is left of it."""

    id: UUID
    scope: str = Field(description="`cost_centre`, `project` or `person`")
    name: str
    amount: Money = Field(description="What was given")
    paid: Money = Field(description="What it has paid so far")
    left: Money = Field(description="What it has not paid; nothing is paid with it once it has expired or ended")
    currency: str
    priority: int = Field(description="The smallest burns first, then the one that expires first, then the oldest")
    state: str = Field(description="`to_come`, `active`, `used_up`, `expired` or `ended`")
    starts_at: Instant
    expires_at: Instant | None = Field(description="Exclusive; null for never")
    ended_at: Instant | None = Field(description="When an admin ended it")
    as_of: Instant | None = Field(description="Use before this instant is counted in what is paid; null before the first count")
    reason: str


class CreditList(Output):
    """Credits, in burn order."""

    items: tuple[CreditOut, ...]


class CreditBody(Input):
    """A credit to give."""

    scope: Literal["cost_centre", "project", "person"]
    name: str = Field(description="Of the cost centre, project or person")
    amount: str = Field(description="As a decimal string")
    currency: str
    reason: str = Field(description="Stands on reports and in the audit trail")
    priority: int = Field(USUAL_PRIORITY, description="From 0 to 1000; the smallest burns first")
    starts_at: str | None = Field(None, description="A UTC instant that is not over; null for now")
    expires_at: str | None = Field(None, description="A UTC instant, exclusive; null for never")


class CreditsHandler(ApiHandler):
    """``GET`` and ``POST credits``."""

    async def get(self) -> None:
        """Answer with the caller's credits; who sees everybody sees all."""
        factory = self.platform.factory
        if self.principal.sees_everybody or self.principal.reads_billing:
            found = await self.platform.run(factory.credits.all)
        else:
            caller = await self.platform.sessions.caller(self.principal.name)
            projects = tuple(project.name for project in factory.catalog.projects_of(caller.groups, caller.projects))
            found = await self.platform.run(factory.credits.of, caller, projects)
        self.reply(await self.platform.run(lambda: CreditList(items=tuple(map(self.body_of, found)))))  # they may be thousands

    async def post(self) -> None:
        """Give a credit, or refuse it by the field that is wrong."""
        check_admin(self)
        body = read_change(CreditBody, self.body_object())
        draft = CreditDraft(
            scope=body.scope,
            name=body.name,
            amount=_amount(body.amount),
            currency=body.currency,
            reason=body.reason,
            priority=body.priority,
            starts_at=None if body.starts_at is None else instant(body.starts_at, "starts_at"),
            expires_at=None if body.expires_at is None else instant(body.expires_at, "expires_at"),
        )
        credit: Credit = await self.platform.run(self.platform.factory.credits.grant, draft, self.principal.name)
        self.reply(self.body_of(Balance(credit)), 201)

    def body_of(self, balance: Balance) -> CreditOut:
        """Return a credit as the REST API shows it."""
        credit = balance.credit
        return CreditOut(
            id=credit.id,
            scope=credit.scope.value,
            name=credit.name,
            amount=credit.amount,
            paid=from_micros(balance.paid_micros),
            left=from_micros(balance.left_micros),
            currency=credit.currency,
            priority=credit.priority,
            state=balance.state(self.platform.factory.clock()),
            starts_at=credit.starts_at,
            expires_at=credit.expires_at,
            ended_at=credit.ended_at,
            as_of=balance.as_of,
            reason=credit.reason,
        )


class CreditHandler(ApiHandler):
    """``DELETE credits/{id}``."""

    async def delete(self, credit_id: str) -> None:
        """End a credit."""
        check_admin(self)
        await self.platform.run(self.platform.factory.credits.end, _id(credit_id), self.principal.name)
        self.set_status(204)
        self.clear_header("Content-Type")


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise invalid("amount", 'Write the amount as a decimal string, for example "250.00".') from None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("There is no such credit.") from None


RESOURCES = (
    Resource(
        CreditsHandler,
        (
            Route(
                method="GET",
                path="api/v1/credits",
                summary="The credits that pay for the caller's sessions, and what is left of them",
                description="Those that pay now or will. Who may read everybody's servers, and a billing viewer, sees all that were ever given.",
                scope=READ,
                other_scope=BILLING,
                replies={200: Reply("Credits", CreditList)},
            ),
            Route(
                method="POST",
                path="api/v1/credits",
                summary="Give a credit to a cost centre, project or person",
                description=(
                    "For admins. It pays for what is used from its start until it expires, and never for what was used before it was given. "
                    "It cannot be changed, only ended."
                ),
                scope=WRITE,
                body=CreditBody,
                replies={201: Reply("The credit", CreditOut)},
                errors=(400,),
            ),
        ),
    ),
    Resource(
        CreditHandler,
        (
            Route(
                method="DELETE",
                path="api/v1/credits/{id}",
                summary="End a credit",
                description="For admins. It pays for nothing that is used from now on; what it has paid stays paid.",
                scope=WRITE,
                replies={204: Reply("It has ended")},
                errors=(404, 409),
            ),
        ),
    ),
)
"""What was given to cost centres, projects and people."""
