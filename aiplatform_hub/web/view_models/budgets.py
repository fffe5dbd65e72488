"""Budgets in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from aiplatform_hub.domain.budgets import AtLimit, Budget, Period, Scope, adjustment_words, from_micros
from aiplatform_hub.domain.runway import Runway
from aiplatform_hub.operations.budgets import AfterLaunch
from aiplatform_hub.storage.budgets import Standing
from aiplatform_hub.web.view_models.formats import Bar, money, percent
from aiplatform_hub.web.view_models.launch import Option
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import Problem

_WHOSE = {Scope.COST_CENTRE: "Budget of cost centre {}", Scope.PROJECT: "Budget of project {}", Scope.PERSON: "Your budget"}
_FOR = {Scope.COST_CENTRE: "Cost centre {}", Scope.PROJECT: "Project {}", Scope.PERSON: "{}"}
_SCOPES = {Scope.COST_CENTRE: "Cost centre", Scope.PROJECT: "Project", Scope.PERSON: "Person"}
_PERIODS = {Period.MONTH: "each month (UTC)", Period.TERM: "once, until an instant", Period.ONCE: "once, without an end"}
_AT_LIMIT = {AtLimit.LET_FINISH: "let what runs finish", AtLimit.STOP: "stop running sessions with GPUs"}


def budget_bar(standing: Standing, runway: Runway | None, now: datetime, *, label: str = "") -> Bar:
    """Return a budget as a bar: what is left of it, until when it lasts, and when it begins anew."""
    budget, spending, limit = standing.budget, standing.spending, standing.limit_micros
    left = max(0, limit - spending.taken_micros)
    return Bar(
        label or _WHOSE[budget.scope].format(budget.name),
        f"{money(from_micros(left), budget.currency)} left of {money(from_micros(limit), budget.currency)}",
        percent(Decimal(spending.taken_micros), Decimal(limit)),
        is_full=not left,
        note=f"begins {budget.starts_at:%Y-%m-%d %H:%M} (UTC)" if budget.is_to_come(now) else _spent_words(standing, runway if left else None, now),
    )


def _spent_words(standing: Standing, runway: Runway | None, now: datetime) -> str:
    budget, spending, span = standing.budget, standing.spending, standing.budget.span_at(now)
    parts = [f"{money(from_micros(spending.committed_micros), budget.currency)} used"]
    if spending.held_micros:
        parts.append(f"{money(from_micros(spending.held_micros), budget.currency)} held by open sessions")
    if lasts := runway_words(runway, now):
        parts.append(lasts)
    if span and span[1]:
        parts.append(f"{'begins anew' if budget.ends_at is None else 'until'} {span[1]:%Y-%m-%d} (UTC)")
    return ", ".join(parts)


def runway_words(runway: Runway | None, now: datetime) -> str:
    """Return until when a budget lasts, as a part of a sentence; empty where nobody can tell."""
    if runway is None:
        return ""
    if runway.spent_at is None:
        early = f", at the earliest spent on {_day(runway.earliest)}" if runway.earliest else ""
        return f"lasts its whole period{early}"
    if runway.spent_at <= now:
        return "spent"
    if runway.earliest == runway.latest:
        return f"lasts until about {_day(runway.spent_at)}"
    ends = f"{_day(runway.earliest)} to {_day(runway.latest)}" if runway.latest else f"{_day(runway.earliest)} at the earliest"
    return f"lasts until about {_day(runway.spent_at)} ({ends})"


def _day(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant:%Y-%m-%d}"


def after_sentence(after: AfterLaunch, now: datetime) -> str:
    """Return what a launch would leave of a budget, as one sentence; empty where it would not fit or hold nothing: the decision says why."""
    if not after.wanted_micros or not after.fits:
        return ""
    budget = after.standing.budget
    whose = {Scope.COST_CENTRE: f"the budget of cost centre {budget.name}", Scope.PROJECT: f"the budget of project {budget.name}"}
    left, limit = (money(from_micros(micros), budget.currency) for micros in (after.left_micros, after.standing.limit_micros))
    words = runway_words(after.runway, now)
    return f"After this launch {left} of {limit} are left in {whose.get(budget.scope, 'your budget')}{f'; {words}' if words else ''}."


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One budget, for admins."""

    id: str
    whose: str
    bar: Bar
    overdraft: str
    """Empty for none."""
    beside: str
    """What is counted beside sessions where they were launched, as a sentence; empty for nothing."""
    rules: str
    """What it does, in one sentence."""
    reason: str
    by: str
    is_spent: bool


@dataclass(frozen=True, slots=True)
class BudgetsPage:
    """Admin, Budgets."""

    rows: tuple[BudgetRow, ...]
    fields: Mapping[str, str]
    """What stands in the form."""
    scopes: tuple[Option, ...]
    periods: tuple[Option, ...]
    at_limits: tuple[Option, ...]
    names: tuple[str, ...]
    """Cost centres and projects, to choose from."""
    replacing: BudgetRow | None
    """The budget in whose place the form sets another."""
    problem: Problem | None
    done: str
    paths: Paths = field(default_factory=lambda: Paths("/"))

    @property
    def action(self) -> str:
        """Where the form is sent."""
        return f"{self.paths.platform}admin/budgets"

    def fault(self, name: str) -> str:
        """Return what is wrong with one field."""
        return self.problem.fields.get(name, "") if self.problem else ""


def budget_row(standing: Standing, runway: Runway | None, now: datetime) -> BudgetRow:
    """Return a budget as admins see it."""
    budget = standing.budget
    minutes = budget.grace // timedelta(minutes=1)
    told = f"People are told at {' and '.join(f'{each} %' for each in budget.soft_percents)}" if budget.soft_percents else "Nobody is told before it is spent"
    stops = f"when it is spent, running sessions with GPUs are stopped after {minutes} min" if budget.at_limit is AtLimit.STOP else "what runs may finish"
    over = standing.spending.overdraft_micros
    return BudgetRow(
        id=str(budget.id),
        whose=_FOR[budget.scope].format(budget.name),
        bar=budget_bar(standing, runway, now, label=_when(budget, now)),
        overdraft=money(from_micros(over), budget.currency) if over else "",
        beside=adjustment_words(standing.spending.adjustment, budget.currency),
        rules=f"{told}; {stops}.",
        reason=budget.reason,
        by=budget.created_by,
        is_spent=standing.spending.committed_micros >= standing.limit_micros,
    )


def _when(budget: Budget, now: datetime) -> str:
    if budget.is_to_come(now):
        return "Not begun yet"
    return "In this period" if budget.period is Period.MONTH else "So far"


def budget_fields(standing: Standing) -> dict[str, str]:
    """Return what the form begins with when it changes a budget."""
    budget = standing.budget
    return {
        "scope": budget.scope.value,
        "name": budget.name,
        "amount": f"{from_micros(budget.amount_micros).normalize():f}",
        "currency": budget.currency,
        "period": budget.period.value,
        "ends_at": "" if budget.ends_at is None else f"{budget.ends_at:%Y-%m-%dT%H:%M}",
        "soft_percents": ", ".join(map(str, budget.soft_percents)),
        "at_limit": budget.at_limit.value,
        "grace_minutes": str(budget.grace // timedelta(minutes=1)),
        "replaces": str(budget.id),
    }


def budgets_page(  # noqa: PLR0913  keyword-only
    rows: Iterable[BudgetRow], fields: Mapping[str, str], *, names: Iterable[str], currency: str, paths: Paths, problem: Problem | None = None, done: str = ""
) -> BudgetsPage:
    """Return the page with what was typed so far, which a refusal keeps.

    Parameters
    ----------
    names
        Of cost centres and projects.
    currency
        In which prices are now.
    """
    kept = tuple(rows)
    usual = dict.fromkeys(("name", "amount", "starts_at", "ends_at", "reason", "replaces"), "") | {
        "currency": currency,
        "soft_percents": "80, 95",
        "grace_minutes": "30",
    }
    shown = {**usual, **fields}
    return BudgetsPage(
        rows=kept,
        fields=shown,
        scopes=_options(_SCOPES, shown.get("scope", Scope.PROJECT.value)),
        periods=_options(_PERIODS, shown.get("period", Period.MONTH.value)),
        at_limits=_options(_AT_LIMIT, shown.get("at_limit", AtLimit.LET_FINISH.value)),
        names=tuple(sorted(set(names))),
        replacing=next((row for row in kept if row.id == shown.get("replaces", "")), None),
        problem=problem,
        done={"set": "The budget is set.", "ended": "The budget has ended. What was spent of it stays on record."}.get(done, ""),
        paths=paths,
    )


def _options(words: Mapping[Scope, str] | Mapping[Period, str] | Mapping[AtLimit, str], chosen: str) -> tuple[Option, ...]:
    return tuple(Option(each.value, label[0].upper() + label[1:], each.value == chosen) for each, label in words.items())
