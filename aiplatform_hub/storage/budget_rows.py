"""Rows of budgets as values, and values as rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import RowMapping

from aiplatform_hub.domain.budgets import Adjustment, AtLimit, Budget, Period, Scope, Spending


def budget_row(budget: Budget) -> dict[str, Any]:
    """Return a budget as a row of ``budgets``."""
    values: dict[str, Any] = {name: getattr(budget, name) for name in budget.__slots__}
    values["grace_seconds"] = round(values.pop("grace").total_seconds())
    return values | {"soft_percents": ",".join(map(str, budget.soft_percents)), "at_limit": budget.at_limit.value}


def budget_of(row: RowMapping) -> Budget:
    """Return the budget of a row."""
    return Budget(
        id=row["id"],
        scope=Scope(row["scope"]),
        name=row["name"],
        amount_micros=row["amount_micros"],
        currency=row["currency"],
        period=Period(row["period"]),
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        reason=row["reason"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        soft_percents=tuple(int(part) for part in row["soft_percents"].split(",") if part),
        at_limit=AtLimit(row["at_limit"]),
        grace=timedelta(seconds=row["grace_seconds"]),
    )


def spending_of(row: RowMapping) -> Spending:
    """Return how a period stands, of its row."""
    adjustment = Adjustment(row["moved_micros"], row["storage_micros"], row["credit_micros"])
    return Spending(row["committed_micros"], row["held_micros"], row["overdraft_micros"], adjustment)
