"""Budgets for the pages that show them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from aiplatform_hub.domain.budgets import MICROS, Adjustment, AtLimit, Budget, Period, Scope, Spending
from aiplatform_hub.domain.runway import Runway
from aiplatform_hub.errors import InvalidOptionError, Reason
from aiplatform_hub.storage.budgets import Standing
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models.budgets import BudgetsPage, budget_fields, budget_row, budgets_page
from aiplatform_hub.web.view_models.problem import problem_of
from tests.web.samples import HOSTILE, NOW, PATHS, frame

PROJECT = Budget(UUID(int=1), Scope.PROJECT, "vision", 2500 * MICROS, "EUR", Period.MONTH, NOW - timedelta(days=9), None, HOSTILE, "ada", NOW)
PERSON = replace(PROJECT, id=UUID(int=2), scope=Scope.PERSON, name=HOSTILE, amount_micros=50 * MICROS, at_limit=AtLimit.STOP, reason="A try.")
TERM = replace(PROJECT, id=UUID(int=3), scope=Scope.COST_CENTRE, name="lab", period=Period.TERM, ends_at=NOW + timedelta(days=90), soft_percents=())
STANDINGS = (
    Standing(PROJECT, Spending(1800 * MICROS, 90 * MICROS), 2500 * MICROS),
    Standing(PERSON, Spending(52 * MICROS, 0, 2 * MICROS, Adjustment(40 * MICROS, 3 * MICROS, 5 * MICROS)), 50 * MICROS),
    Standing(TERM, Spending(), 2500 * MICROS),
)
RUNWAYS = (
    Runway(NOW + timedelta(days=3), NOW + timedelta(days=2), NOW + timedelta(days=5)),
    Runway(NOW, NOW, NOW),
    None,
)


def page_of(**fields: str) -> BudgetsPage:
    rows = [budget_row(standing, runway, NOW) for standing, runway in zip(STANDINGS, RUNWAYS, strict=True)]
    refused = problem_of(InvalidOptionError("Bad.", (Reason("invalid_option", f"There is no project {HOSTILE}.", field="name"),)))
    return budgets_page(
        rows, fields, names=("vision", "lab"), currency="EUR", paths=PATHS, problem=refused if fields.get("name") == HOSTILE else None, done="set"
    )


def admin_budgets() -> str:
    page = page_of(name=HOSTILE, scope="project", at_limit="stop", reason=HOSTILE, amount=HOSTILE)
    return render("admin-budgets.html", frame("admin", is_admin=True), page=page, tabs=())


def admin_budgets_changing() -> str:
    return render("admin-budgets.html", frame("admin", is_admin=True), page=page_of(**budget_fields(STANDINGS[0])), tabs=())


def admin_budgets_none() -> str:
    return render("admin-budgets.html", frame("admin", is_admin=True), page=budgets_page((), {}, names=(), currency="EUR", paths=PATHS), tabs=())
