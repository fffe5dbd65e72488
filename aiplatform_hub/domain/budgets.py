"""Budgets: what may be spent on what in which period, and whether a launch still fits. Pure; money is whole millionths of the currency."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum
from uuid import UUID

from aiplatform_hub.domain.rates import next_month
from aiplatform_hub.errors import BudgetExhaustedError, Reason

MICROS = 1_000_000
"""Parts of one unit of a currency in which budgets are kept."""

UNPLANNED_HOURS = 4
"""For how long a launch without a planned length is held; a session that runs for longer is held for longer as it runs."""

MOST_MICROS = 10**15
"""Largest amount of a budget: a thousand million."""


SOFT_PERCENTS = (80, 95)
"""Parts of a limit at which people are told, unless the budget says others."""

OVERDRAWN = 101
"""Stands for the percentage at which people are told that more than the limit is taken; told whatever the soft limits are."""

GRACE = timedelta(minutes=30)
"""For how long sessions run on after they were warned, where a spent budget stops them and does not say otherwise."""


class Scope(StrEnum):
    """Whose spending a budget bounds."""

    COST_CENTRE = "cost_centre"
    PROJECT = "project"
    PERSON = "person"


class Period(StrEnum):
    """When a budget begins anew."""

    MONTH = "month"
    """Each calendar month in UTC."""
    TERM = "term"
    """Once, from one instant until another."""
    ONCE = "once"
    """Once, without an end."""


class AtLimit(StrEnum):
    """What becomes of sessions with GPUs that run when a budget is spent."""

    LET_FINISH = "let_finish"
    """They go on; what they cost is overdraft."""
    STOP = "stop"
    """Their owners are warned, and after the grace they are stopped. Files stay."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A bound on spending. Instants are aware UTC."""

    id: UUID
    scope: Scope
    name: str
    """Of the cost centre, project or person."""
    amount_micros: int
    """Hard limit of each period."""
    currency: str
    period: Period
    starts_at: datetime
    ends_at: datetime | None
    """Exclusive; None for ever."""
    reason: str
    created_by: str
    created_at: datetime
    ended_at: datetime | None = None
    """When an admin ended it."""
    soft_percents: tuple[int, ...] = SOFT_PERCENTS
    """Parts of the limit at which people are told, rising; empty for never."""
    at_limit: AtLimit = AtLimit.LET_FINISH
    grace: timedelta = GRACE
    """From when it is spent until sessions are stopped."""

    def is_to_come(self, instant: datetime) -> bool:
        """Whether it begins later."""
        return instant < self.starts_at

    def span_at(self, instant: datetime) -> tuple[datetime, datetime | None] | None:
        """Return the half-open period that an instant is in; None when the budget does not count then."""
        if self.is_to_come(instant) or (self.ends_at is not None and instant >= self.ends_at):
            return None
        if self.period is not Period.MONTH:
            return self.starts_at, self.ends_at
        first = instant.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        after = next_month(first)
        return max(first, self.starts_at), after if self.ends_at is None else min(after, self.ends_at)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What a budget counts beside sessions where they were launched, of the use inside its period."""

    moved_micros: int = 0
    """Of sessions that were moved here, less those that were moved away; negative where more went than came."""
    storage_micros: int = 0
    """Of people's storage."""
    credit_micros: int = 0
    """What credits have paid; it is taken off."""

    @property
    def total_micros(self) -> int:
        """What comes to the cost of sessions; negative where it is less."""
        return self.moved_micros + self.storage_micros - self.credit_micros


@dataclass(frozen=True, slots=True)
class Spending:
    """What became of a budget in one period."""

    committed_micros: int = 0
    """What was used and counted, as it is invoiced: with moves and storage, less what credits paid. Never negative."""
    held_micros: int = 0
    """What open sessions may still cost."""
    overdraft_micros: int = 0
    """The part of what was committed that went beyond the limit."""
    adjustment: Adjustment = Adjustment()
    """What of it is not of sessions where they were launched."""

    @property
    def taken_micros(self) -> int:
        """What nobody else can have: it never exceeds the limit by more than the overdraft."""
        return self.committed_micros + self.held_micros


@dataclass(frozen=True, slots=True)
class Claim:
    """What a launch wants of one budget, with how that budget stands: an input of the decision."""

    budget_id: UUID
    scope: str
    name: str
    limit_micros: int
    committed_micros: int
    held_micros: int
    wanted_micros: int
    """Price × planned length, rounded up."""
    hourly_micros: int
    currency: str
    price_currency: str
    renews_at: datetime | None
    """When it begins anew; None if it does not."""

    @property
    def left_micros(self) -> int:
        """What can still be held; never negative."""
        return max(0, self.limit_micros - self.committed_micros - self.held_micros)

    @property
    def fits(self) -> bool:
        """Whether the launch fits. A price in another currency never does: nobody can tell."""
        return self.currency == self.price_currency and self.wanted_micros <= self.left_micros


def passed_percent(soft_percents: Iterable[int], taken_micros: int, limit_micros: int, told_percent: int) -> int | None:
    """Return the highest soft limit that was passed and not told yet; None if there is none.

    Parameters
    ----------
    told_percent
        The highest that was told in this period; 0 for none.
    """
    return max((percent for percent in soft_percents if percent > told_percent and taken_micros * 100 >= percent * limit_micros), default=None)


def claim_of(  # noqa: PLR0913, PLR0917  what a claim says
    budget: Budget, spending: Spending, limit_micros: int, price_per_hour: Decimal, price_currency: str, hours: int, now: datetime
) -> Claim:
    """Return what a launch at this price wants of a budget, held for so many hours."""
    span = budget.span_at(now)
    return Claim(
        budget_id=budget.id,
        scope=budget.scope.value,
        name=budget.name,
        limit_micros=limit_micros,
        committed_micros=spending.committed_micros,
        held_micros=spending.held_micros,
        wanted_micros=to_micros(price_per_hour * hours),
        hourly_micros=to_micros(price_per_hour),
        currency=budget.currency,
        price_currency=price_currency,
        renews_at=span[1] if span and budget.period is Period.MONTH else None,
    )


def planned_hours(max_hours: int | None) -> int:
    """Return for how many hours a launch is held."""
    return UNPLANNED_HOURS if max_hours is None else max_hours


def to_micros(amount: Decimal) -> int:
    """Return an amount in whole millionths, rounded up: what is held is never less than what it may cost."""
    return int((amount * MICROS).to_integral_value(ROUND_CEILING))


def from_micros(micros: int) -> Decimal:
    """Return millionths as an amount."""
    return Decimal(micros) / MICROS


def budget_reasons(claims: Iterable[Claim]) -> tuple[Reason, ...]:
    """Return why a launch does not fit the budgets that it is paid from; empty if it does."""
    return tuple(_reason(claim) for claim in claims if not claim.fits)


def _reason(claim: Claim) -> Reason:
    whose = {"cost_centre": f"the cost centre “{claim.name}”", "project": f"the project “{claim.name}”", "person": "you"}[claim.scope]
    if claim.currency != claim.price_currency:
        message = f"The budget of {whose} is in {claim.currency}, and prices are in {claim.price_currency} now: nothing can be held of it."
        return _as_reason(claim, message, ("Ask an admin to set the budget anew.",))
    message = (
        f"The budget of {whose} has {_money(claim.left_micros, claim.currency)} left of {_money(claim.limit_micros, claim.currency)}"
        f" ({_money(claim.committed_micros, claim.currency)} used, {_money(claim.held_micros, claim.currency)} held by open sessions);"
        f" this launch needs {_money(claim.wanted_micros, claim.currency)}."
    )
    return _as_reason(claim, message, tuple(_remedies(claim)))


def _remedies(claim: Claim) -> Iterable[str]:
    hours = claim.left_micros // claim.hourly_micros if claim.hourly_micros else 0
    if hours:
        yield f"Plan for at most {hours} {'hour' if hours == 1 else 'hours'}, or choose fewer GPUs."
    if claim.held_micros:
        yield "Stop a session that is paid from it: what it does not use comes back."
    if claim.renews_at is not None:
        yield f"Wait until it begins anew on {claim.renews_at:%Y-%m-%d} (UTC)."
    yield "Ask an admin for more."


def _as_reason(claim: Claim, message: str, remedies: tuple[str, ...]) -> Reason:
    return Reason(
        code=BudgetExhaustedError.code,
        message=message,
        dimension="budget",
        scope=f"{claim.scope}:{claim.name}",
        limit=str(from_micros(claim.limit_micros)),
        used=str(from_micros(claim.committed_micros + claim.held_micros)),
        requested=str(from_micros(claim.wanted_micros)),
        remedies=remedies,
    )


def told_words(budget: Budget, spending: Spending, limit_micros: int) -> str:
    """Return how a budget stands and what happens next, for those who are told that a soft limit was passed."""
    stands = (
        f"{_money(spending.committed_micros, budget.currency)} of {_money(limit_micros, budget.currency)} are used"
        f" and {_money(spending.held_micros, budget.currency)} held by open sessions."
    )
    minutes = round(budget.grace.total_seconds() / 60)
    then = {
        AtLimit.LET_FINISH: "What does not fit is refused; sessions that run go on.",
        AtLimit.STOP: f"What does not fit is refused; when it is spent, running sessions with GPUs are stopped after {minutes} minutes. Files stay.",
    }
    return " ".join(part for part in (stands, adjustment_words(spending.adjustment, budget.currency), then[budget.at_limit]) if part)


def adjustment_words(adjustment: Adjustment, currency: str) -> str:
    """Return what of the used amount is not of sessions where they were launched, as a sentence; empty for nothing."""
    moved, storage, credit = (_money(abs(each), currency) for each in (adjustment.moved_micros, adjustment.storage_micros, adjustment.credit_micros))
    parts = (
        f"{moved} {'came with' if adjustment.moved_micros > 0 else 'went with'} moved sessions" if adjustment.moved_micros else "",
        f"{storage} are for storage" if adjustment.storage_micros else "",
        f"credits paid {credit}" if adjustment.credit_micros else "",
    )
    said = ", ".join(part for part in parts if part)
    return f"In this, {said}." if said else ""


def _money(micros: int, currency: str) -> str:
    """Return an amount to two places, rounded down: what is said to be left is there."""
    return f"{(Decimal(micros) / MICROS).quantize(Decimal('0.01'), ROUND_FLOOR)} {currency}"
