"""Budgets in words."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from aiplatform_hub.domain.budgets import Budget, Scope, Spending, from_micros
from aiplatform_hub.web.view_models.formats import Bar, money, percent

_WHOSE = {Scope.COST_CENTRE: "Budget of cost centre {}", Scope.PROJECT: "Budget of project {}", Scope.PERSON: "Your budget"}


def budget_bar(budget: Budget, spending: Spending, limit_micros: int, now: datetime) -> Bar:
    """Return a budget as a bar: what is left of it, and when it begins anew."""
    left = max(0, limit_micros - spending.taken_micros)
    span = budget.span_at(now)
    parts = [f"{money(from_micros(spending.committed_micros), budget.currency)} used"]
    if spending.held_micros:
        parts.append(f"{money(from_micros(spending.held_micros), budget.currency)} held by open sessions")
    if span and span[1]:
        parts.append(f"{'begins anew' if budget.ends_at is None else 'until'} {span[1]:%Y-%m-%d} (UTC)")
    return Bar(
        _WHOSE[budget.scope].format(budget.name),
        f"{money(from_micros(left), budget.currency)} left of {money(from_micros(limit_micros), budget.currency)}",
        percent(Decimal(spending.taken_micros), Decimal(limit_micros)),
        is_full=not left,
        note=", ".join(parts),
    )
