"""Admin's page of credits, for golden pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from aiplatform_hub.domain.budgets import Scope
from aiplatform_hub.domain.credits import Credit
from aiplatform_hub.errors import InvalidOptionError, Reason
from aiplatform_hub.storage.credits import Balance
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models.credits import credits_page
from aiplatform_hub.web.view_models.problem import problem_of
from tests.web.samples import HOSTILE, NOW, PATHS, frame

COURSE = Credit(
    id=UUID(int=1),
    scope=Scope.PROJECT,
    name=HOSTILE,
    amount_micros=250_000_000,
    currency="EUR",
    priority=10,
    starts_at=NOW - timedelta(days=3),
    expires_at=NOW + timedelta(days=60),
    reason=HOSTILE,
    created_by=HOSTILE,
    created_at=NOW - timedelta(days=3),
)
BALANCES = (
    Balance(COURSE, 100_333_333, NOW),
    Balance(replace(COURSE, id=UUID(int=2), scope=Scope.PERSON, name="ada", expires_at=None), 250_000_000, NOW),
    Balance(replace(COURSE, id=UUID(int=3), scope=Scope.COST_CENTRE, name="lab", expires_at=NOW), 5, NOW),
    Balance(replace(COURSE, id=UUID(int=4), starts_at=NOW + timedelta(days=1))),
    Balance(replace(COURSE, id=UUID(int=5), ended_at=NOW - timedelta(days=1)), 1_000_000, NOW),
)


def admin_credits() -> str:
    refused = problem_of(InvalidOptionError("Bad.", (Reason("invalid_option", "The amount is more than 0.", field="amount"),)))
    typed = {"scope": "project", "name": HOSTILE, "amount": HOSTILE, "reason": HOSTILE, "done": "granted"}
    page = credits_page(BALANCES, typed, now=NOW, currency="EUR", paths=PATHS, problem=refused)
    return render("admin-credits.html", frame("admin", is_admin=True), page=page, tabs=())
