"""Bodies of the REST API about budgets."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from aiplatform_hub.domain.budgets import SOFT_PERCENTS, from_micros
from aiplatform_hub.domain.runway import Runway
from aiplatform_hub.operations.budgets import AfterLaunch
from aiplatform_hub.services.platform.wire import Input, Instant, Money, Output


class RunwayOut(Output):
    """When a budget is spent if people go on as in the last 14 days; null where it lasts until its period ends."""

    spent_at: Instant | None
    earliest: Instant | None = Field(description="Spent before with 10 %")
    latest: Instant | None = Field(description="Spent before with 90 %")


class BudgetOut(Output):
    """A budget, with how its present period stands."""

    id: UUID
    scope: str = Field(description="`cost_centre`, `project` or `person`")
    name: str
    amount: Money = Field(description="Hard limit of the present period")
    committed: Money = Field(description="What was used, as it is invoiced: with `moved` and `storage`, less `credits`; never below 0")
    moved: Money = Field(description="Of `committed`, what sessions that were moved here cost, less those that were moved away")
    storage: Money = Field(description="Of `committed`, what people's storage cost")
    credits: Money = Field(description="What credits paid, and `committed` is less by")
    held: Money = Field(description="What open sessions may still cost")
    left: Money = Field(description="What a launch can still hold")
    overdraft: Money = Field(description="What was committed and held beyond the limit by sessions that ran on or were moved here, and by storage")
    currency: str
    period: str = Field(description="`month`, `term` or `once`")
    period_starts_at: Instant
    period_ends_at: Instant | None = Field(description="Exclusive")
    reason: str
    soft_percents: tuple[int, ...] = Field(description="Parts of the limit at which people are told, once per period")
    at_limit: str = Field(description="What becomes of running sessions with GPUs when it is spent: `let_finish` or `stop`")
    grace_minutes: int = Field(description="For how long they run on after they were warned, where they are stopped")
    runway: RunwayOut | None = Field(description="When it is spent; null where too few days are known to tell")


class BudgetList(Output):
    """Budgets."""

    items: tuple[BudgetOut, ...]


class BudgetBody(Input):
    """A budget to set."""

    scope: Literal["cost_centre", "project", "person"]
    name: str = Field(description="Of the cost centre, project or person")
    amount: str = Field(description="Hard limit of each period, as a decimal string")
    currency: str
    period: Literal["month", "term", "once"] = "month"
    reason: str
    starts_at: str | None = Field(None, description="A UTC instant; null for now, or for a monthly budget the first of this month")
    ends_at: str | None = Field(None, description="A UTC instant, exclusive; needed for a term")
    soft_percents: list[int] = Field(list(SOFT_PERCENTS), description="Parts of the limit at which people are told; at most five, rising")
    at_limit: Literal["let_finish", "stop"] = Field("let_finish", description="What becomes of running sessions with GPUs when it is spent")
    grace_minutes: int = Field(30, description="For how long they run on after they were warned, where they are stopped; at most a week")
    replaces: str | None = Field(
        None, description="The budget of the same cost centre, project or person that ends in the same moment; without `starts_at` it begins when that one did"
    )


class BudgetAfterOut(Output):
    """What a launch would leave of one budget that it would be paid from."""

    scope: str
    name: str
    currency: str
    amount: Money = Field(description="Hard limit of the present period")
    needs: Money = Field(description="What the launch would hold of it")
    left_after: Money = Field(description="What another launch could hold then")
    fits: bool
    runway: RunwayOut | None = Field(description="When it is spent with this launch; null where too few days are known to tell")


def runway_out(found: Runway | None) -> RunwayOut | None:
    """Return a forecast as it is sent."""
    return None if found is None else RunwayOut(spent_at=found.spent_at, earliest=found.earliest, latest=found.latest)


def after_out(after: AfterLaunch) -> BudgetAfterOut:
    """Return what a launch would leave of a budget as it is sent."""
    budget = after.standing.budget
    return BudgetAfterOut(
        scope=budget.scope.value,
        name=budget.name,
        currency=budget.currency,
        amount=from_micros(after.standing.limit_micros),
        needs=from_micros(after.wanted_micros),
        left_after=from_micros(after.left_micros),
        fits=after.fits,
        runway=runway_out(after.runway),
    )
