"""Credits in words: Home's bars, and Admin's page of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from aiplatform_hub.domain.budgets import Scope, from_micros
from aiplatform_hub.storage.credits import Balance
from aiplatform_hub.web.view_models.formats import Bar, Stamp, money, percent, stamp
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import Problem

_WHOSE = {Scope.COST_CENTRE: "Credit of cost centre {}", Scope.PROJECT: "Credit of project {}", Scope.PERSON: "Your credit"}
SCOPES = {Scope.PERSON: "Person", Scope.PROJECT: "Project", Scope.COST_CENTRE: "Cost centre"}
"""What a person calls them."""
_STATES = {"to_come": ("To come", "warn"), "active": ("Pays", "good"), "used_up": ("Used up", ""), "expired": ("Expired", ""), "ended": ("Ended", "")}


def credit_bar(balance: Balance, now: datetime) -> Bar:
    """Return a credit as a bar: what is left of it, and when it expires."""
    credit = balance.credit
    parts = [f"pays from {credit.starts_at:%Y-%m-%d} on (UTC)"] if now < credit.starts_at else []
    parts.append(f"expires on {credit.expires_at:%Y-%m-%d at %H:%M} UTC" if credit.expires_at else "does not expire")
    return Bar(
        _WHOSE[credit.scope].format(credit.name),
        f"{money(from_micros(balance.left_micros), credit.currency)} left of {money(credit.amount, credit.currency)}",
        percent(Decimal(balance.paid_micros), Decimal(credit.amount_micros)),
        is_full=not balance.left_micros,
        note=", ".join(parts),
    )


@dataclass(frozen=True, slots=True)
class CreditRow:
    """One credit in Admin's list."""

    id: str
    whose: str
    scope: str
    given: str
    paid: str
    left: str
    priority: int
    start: Stamp | None
    end: Stamp | None
    """When it stopped or stops paying; None for never."""
    state: str
    tone: str
    reason: str
    by: str
    can_end: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Whom a credit can be given to."""

    value: str
    label: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class CreditsPage:
    """Admin's page of credits."""

    rows: tuple[CreditRow, ...]
    scopes: tuple[Choice, ...]
    values: Mapping[str, str]
    """What stands in the form's fields, by their names."""
    done: str = ""
    problem: Problem | None = None
    paths: Paths = field(default_factory=lambda: Paths("/"))

    @property
    def action(self) -> str:
        """Where the form is sent."""
        return f"{self.paths.platform}admin/credits"

    def fault(self, name: str) -> str:
        """Return what is wrong with one field."""
        return self.problem.fields.get(name, "") if self.problem else ""


FIELDS = ("name", "amount", "currency", "priority", "starts_at", "expires_at", "reason")
"""Of the form, beside whom it is for."""
_DONE = {"granted": "The credit is given. It pays for what is used from its start on.", "ended": "The credit has ended. What it has paid stays paid."}


def credits_page(  # noqa: PLR0913  keyword-only
    balances: Iterable[Balance], fields: Mapping[str, str], *, now: datetime, currency: str, paths: Paths, problem: Problem | None = None
) -> CreditsPage:
    """Return the page with what was typed so far, which a refusal keeps.

    Parameters
    ----------
    currency
        Of the prices now: what a credit is usually given in.
    """
    chosen, usual = fields.get("scope", Scope.PERSON.value), {"currency": currency, "priority": "100"}
    return CreditsPage(
        rows=tuple(_row(each, now) for each in balances),
        scopes=tuple(Choice(scope.value, label, scope.value == chosen) for scope, label in SCOPES.items()),
        values={name: fields.get(name, usual.get(name, "")) for name in FIELDS},
        done=_DONE.get(fields.get("done", ""), ""),
        problem=problem,
        paths=paths,
    )


def _row(balance: Balance, now: datetime) -> CreditRow:
    credit, (state, tone) = balance.credit, _STATES[balance.state(now)]
    return CreditRow(
        id=str(credit.id),
        whose=credit.name,
        scope=SCOPES[credit.scope],
        given=money(credit.amount, credit.currency),
        paid=money(from_micros(balance.paid_micros), credit.currency),
        left=money(from_micros(balance.left_micros), credit.currency),
        priority=credit.priority,
        start=stamp(credit.starts_at),
        end=stamp(credit.until if credit.ended_at or credit.expires_at else None),
        state=state,
        tone=tone,
        reason=credit.reason,
        by=credit.created_by,
        can_end=now < credit.until,
    )
