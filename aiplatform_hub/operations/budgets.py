"""Budgets, as admins set and end them and as people read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from aiplatform_hub.domain.budgets import GRACE, SOFT_PERCENTS, AtLimit, Budget, Period, Scope, planned_hours, to_micros
from aiplatform_hub.domain.catalog import Catalog, RateCard
from aiplatform_hub.domain.rates import card_at
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.runway import DAYS, Runway, runway
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import ConflictError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.budget_days import midnight
from aiplatform_hub.operations.money_drafts import check_name, invalid, micros_of, one_of, reason_of, words_of
from aiplatform_hub.storage.budgets import BudgetStore, Payer, Standing
from aiplatform_hub.storage.database import Connection, Database, TakenError
from aiplatform_hub.storage.devices import DeviceStore

MOST_REASON = 500
"""Longest reason, in characters."""
MOST_SOFT = 5
"""Most soft limits of one budget."""
LONGEST_GRACE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class BudgetDraft:
    """A budget as it is asked for."""

    scope: str
    name: str
    amount: Decimal
    currency: str
    period: str
    reason: str
    starts_at: datetime | None = None
    """Aware UTC; None is now, or for a monthly budget the first of this month."""
    ends_at: datetime | None = None
    soft_percents: tuple[int, ...] = SOFT_PERCENTS
    at_limit: str = AtLimit.LET_FINISH.value
    grace: timedelta = GRACE


@dataclass(frozen=True, slots=True)
class AfterLaunch:
    """What a launch would leave of one budget."""

    standing: Standing
    wanted_micros: int
    left_micros: int
    """Never negative."""
    fits: bool
    runway: Runway | None
    """Until when the rest lasts; None where that cannot be told."""


class Budgets:
    """Sets and ends budgets; each act leaves its audit row in the same transaction."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        budgets: BudgetStore,
        devices: DeviceStore,
        catalog: Catalog,
        cards: Callable[[], tuple[RateCard, ...]],
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._budgets = budgets
        self._devices = devices
        self._catalog = catalog
        self._cards = cards
        self._audit = audit_trail
        self._clock = clock

    def set(self, draft: BudgetDraft, actor: str, *, replaces: UUID | None = None) -> Budget:
        """Set a budget. What sessions have cost in its first period before counts in it from the keeper's next look on.

        Parameters
        ----------
        replaces
            A budget of the same cost centre, project or person that ends in the same transaction: there is no moment without one. Where the
            draft does not say when it begins, it begins when that one did.

        Raises
        ------
        InvalidOptionError
            With the field that is wrong, and what would be right.
        ConflictError
            If this cost centre, project or person has another budget: end it first, or replace it.
        NotFoundError
            If what it replaces does not exist, or is somebody else's.
        """
        budget = self._checked(draft if replaces is None else self._since_before(draft, replaces), actor)
        detail: dict[str, Any] = {"amount": str(draft.amount), "currency": budget.currency, "period": budget.period.value}
        detail |= {"soft_percents": list(budget.soft_percents), "at_limit": budget.at_limit.value, "grace_minutes": budget.grace // timedelta(minutes=1)}
        detail |= {"starts_at": isoformat(budget.starts_at), "ends_at": isoformat(budget.ends_at) if budget.ends_at else "", "reason": budget.reason}
        try:
            with self._database.write() as connection:
                self._devices.lock(connection)
                if replaces is not None:
                    self._end(connection, replaces, actor, whose=(budget.scope, budget.name))
                self._make_room(connection, budget, actor)
                self._budgets.insert(connection, budget)
                self._audit.record(connection, actor=actor, action="set_budget", target=_target(budget), outcome="done", detail=detail)
        except TakenError as error:
            raise ConflictError(f"The {words_of(budget.scope)} “{budget.name}” has a budget already; end it first, then set the new one.") from error
        return budget

    def _make_room(self, connection: Connection, budget: Budget, actor: str) -> None:
        """End a budget whose own end is past; refuse a second one beside one that counts, or is to come."""
        before = self._budgets.unended(connection, budget.scope, budget.name)
        if before is None:
            return
        if before.ends_at is None or before.ends_at > budget.created_at:
            since = f"{before.starts_at:%Y-%m-%d}"
            raise ConflictError(
                f"The {words_of(budget.scope)} “{budget.name}” has a budget already, {before.id}, from {since} on; end it first, then set the new one."
            )
        self._end(connection, before.id, actor)

    def _since_before(self, draft: BudgetDraft, replaces: UUID) -> BudgetDraft:
        """Return a draft that begins when the budget began whose place it takes, so that what was spent since counts in it too; or when that was to begin."""
        with self._database.read() as connection:
            before = self._budgets.find(connection, replaces)
        if before is None or draft.starts_at is not None:
            return draft
        is_kept = draft.period == before.period.value or before.is_to_come(self._clock())
        return replace(draft, starts_at=before.starts_at) if is_kept else draft

    def end(self, budget_id: UUID, actor: str) -> Budget:
        """End a budget: nothing is refused or held by it any more. What it was and what was spent of it stays on record.

        Raises
        ------
        NotFoundError
            If there is no such budget.
        ConflictError
            If it has ended.
        """
        with self._database.write() as connection:
            self._devices.lock(connection)
            return self._end(connection, budget_id, actor)

    def _end(self, connection: Connection, budget_id: UUID, actor: str, whose: tuple[Scope, str] | None = None) -> Budget:
        budget = self._budgets.find(connection, budget_id)
        if budget is None or (whose is not None and whose != (budget.scope, budget.name)):
            raise NotFoundError(
                "There is no such budget." if budget is None else "This budget is for somebody or something else; it cannot be replaced by this one."
            )
        if not self._budgets.end(connection, budget_id, self._clock()):
            raise ConflictError("This budget has ended already.")
        self._audit.record(connection, actor=actor, action="end_budget", target=_target(budget), outcome="done", detail={"budget": str(budget_id)})
        return budget

    def all(self) -> tuple[Standing, ...]:
        """Return every budget that counts now or is to come, with how it stands."""
        with self._database.read() as connection:
            return self._with_days(connection, self._budgets.to_show(connection, self._clock()))

    def of(self, caller: Caller, projects: tuple[str, ...]) -> tuple[Standing, ...]:
        """Return the budgets that a person's sessions in some projects are paid from, each once."""
        centres = {project.cost_centre for name in projects if (project := self._catalog.projects.get(name))}
        with self._database.read() as connection:
            return self._with_days(connection, self._budgets.of_any(connection, caller.user_name, projects, centres, self._clock()))

    def after(self, user_name: str, request: LaunchRequest, per_hour: Decimal, currency: str) -> tuple[AfterLaunch, ...]:
        """Return what a launch would leave of each budget that it would be paid from.

        Parameters
        ----------
        per_hour
            Its price now, in this currency.
        """
        project = self._catalog.projects.get(request.project)
        payer = Payer(user_name, request.project, project.cost_centre if project else "")
        with self._database.read() as connection:
            found = self._with_days(connection, self._budgets.of(connection, payer, self._clock()))
        wanted = to_micros(per_hour * planned_hours(request.max_hours)) if request.gpus else 0
        return tuple(self._after(each, wanted, currency) for each in found)

    def runway(self, standing: Standing, *, less_micros: int = 0) -> Runway | None:
        """Return until when a budget lasts; None where that cannot be told.

        Parameters
        ----------
        less_micros
            What is taken of it before.
        """
        now = self._clock()
        span = standing.budget.span_at(now)
        if span is None:
            return None
        left = standing.limit_micros - standing.spending.committed_micros - less_micros
        return runway(standing.daily_micros, left, now, span[1])

    def _after(self, each: Standing, wanted: int, currency: str) -> AfterLaunch:
        rest = each.limit_micros - each.spending.taken_micros - wanted
        fits = not wanted or (rest >= 0 and currency == each.budget.currency)
        return AfterLaunch(each, wanted, max(0, rest), fits, self.runway(each, less_micros=wanted))

    def _with_days(self, connection: Connection, found: tuple[Standing, ...]) -> tuple[Standing, ...]:
        if not found:
            return ()
        days = self._budgets.days(connection, tuple(each.budget.id for each in found), midnight(self._clock()) - timedelta(days=DAYS))
        return tuple(replace(each, daily_micros=tuple(days.get(each.budget.id, {}).values())) for each in found)

    def _checked(self, draft: BudgetDraft, actor: str) -> Budget:
        now = self._clock()
        scope, period = one_of(Scope, "scope", draft.scope), one_of(Period, "period", draft.period)
        check_name(self._catalog, scope, draft.name)
        self._check_money(draft, now)
        reason = reason_of(draft.reason, most=MOST_REASON, where="the audit trail")
        starts_at = draft.starts_at or (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) if period is Period.MONTH else now)
        if period is Period.TERM and draft.ends_at is None:
            raise invalid("ends_at", "A budget for a term needs its end; take the period “once” for one without an end.")
        if draft.ends_at is not None and draft.ends_at <= max(starts_at, now):
            raise invalid("ends_at", "The end is not after the start, or is in the past.")
        at_limit = one_of(AtLimit, "at_limit", draft.at_limit)
        self._check_soft(draft)
        return Budget(
            id=uuid4(),
            scope=scope,
            name=draft.name,
            amount_micros=micros_of(draft.amount),
            currency=draft.currency,
            period=period,
            starts_at=starts_at,
            ends_at=draft.ends_at,
            reason=reason,
            created_by=actor,
            created_at=now,
            soft_percents=draft.soft_percents,
            at_limit=at_limit,
            grace=draft.grace,
        )

    def _check_soft(self, draft: BudgetDraft) -> None:
        percents = draft.soft_percents
        if len(percents) > MOST_SOFT or any(not 1 <= each <= 100 for each in percents) or list(percents) != sorted(set(percents)):  # noqa: PLR2004 - all of it
            raise invalid("soft_percents", f"Soft limits are at most {MOST_SOFT} whole percentages from 1 to 100, rising, for example 80 and 95.")
        if not timedelta(0) <= draft.grace <= LONGEST_GRACE or draft.grace % timedelta(minutes=1):
            raise invalid("grace_minutes", f"The grace is 0 to {LONGEST_GRACE // timedelta(minutes=1)} whole minutes.")

    def _check_money(self, draft: BudgetDraft, now: datetime) -> None:
        currency = card_at(self._cards(), now).currency
        if draft.currency != currency:
            raise invalid("currency", f"Prices are in {currency}; a budget in {draft.currency} could not be compared with them.", (currency,))
        micros_of(draft.amount)


def _target(budget: Budget) -> str:
    return f"{budget.scope.value}:{budget.name}"
