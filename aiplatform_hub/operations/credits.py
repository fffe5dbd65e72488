"""Credits, as admins give and end them and as people read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from aiplatform_hub.domain.budgets import Scope
from aiplatform_hub.domain.catalog import Catalog, RateCard
from aiplatform_hub.domain.credits import Credit
from aiplatform_hub.domain.rates import card_at
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import ConflictError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.money_drafts import check_name, invalid, micros_of, one_of, reason_of
from aiplatform_hub.storage.credits import Balance, CreditStore
from aiplatform_hub.storage.database import Database

MOST_REASON = 500
"""Longest reason, in characters."""
MOST_PRIORITY = 1000
USUAL_PRIORITY = 100


@dataclass(frozen=True, slots=True)
class CreditDraft:
    """A credit as it is asked for."""

    scope: str
    name: str
    amount: Decimal
    currency: str
    reason: str
    priority: int = USUAL_PRIORITY
    starts_at: datetime | None = None
    """Aware UTC; None is now."""
    expires_at: datetime | None = None
    """None never expires."""


class Credits:
    """Gives and ends credits; each act leaves its audit row in the same transaction."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        credits_: CreditStore,
        catalog: Catalog,
        cards: Callable[[], tuple[RateCard, ...]],
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._credits = credits_
        self._catalog = catalog
        self._cards = cards
        self._audit = audit_trail
        self._clock = clock

    def grant(self, draft: CreditDraft, actor: str) -> Credit:
        """Give a credit. It pays for what is used from its start on, and never for what was used before it was given.

        Raises
        ------
        InvalidOptionError
            With the field that is wrong, and what would be right.
        """
        credit = self._checked(draft, actor)
        detail = {"credit": str(credit.id), "amount": format(credit.amount, "f"), "currency": credit.currency, "priority": credit.priority}
        detail |= {"starts_at": isoformat(credit.starts_at), "expires_at": isoformat(credit.expires_at) if credit.expires_at else "", "reason": credit.reason}
        with self._database.write() as connection:
            self._credits.insert(connection, credit)
            self._audit.record(connection, actor=actor, action="grant_credit", target=_target(credit), outcome="done", detail=detail)
        return credit

    def end(self, credit_id: UUID, actor: str) -> Credit:
        """End a credit: it pays for nothing that is used from now on. What it has paid stays paid.

        Raises
        ------
        NotFoundError
            If there is no such credit.
        ConflictError
            If it has ended or expired.
        """
        now = self._clock()
        with self._database.write() as connection:
            credit = self._credits.find(connection, credit_id)
            if credit is None:
                raise NotFoundError("There is no such credit.")
            if credit.until <= now or not self._credits.end(connection, credit_id, max(now, credit.created_at)):
                raise ConflictError("This credit has ended already.")
            self._audit.record(connection, actor=actor, action="end_credit", target=_target(credit), outcome="done", detail={"credit": str(credit_id)})
        return credit

    def all(self) -> tuple[Balance, ...]:
        """Return every credit that was ever given, with what is left of it, in burn order."""
        with self._database.read() as connection:
            return self._credits.balances(connection)

    def of(self, caller: Caller, projects: tuple[str, ...]) -> tuple[Balance, ...]:
        """Return the credits that a person's sessions in some projects are or will be paid from, in burn order."""
        centres = {project.cost_centre for name in projects if (project := self._catalog.projects.get(name))}
        with self._database.read() as connection:
            return self._credits.of_any(connection, caller.user_name, projects, centres, self._clock())

    def _checked(self, draft: CreditDraft, actor: str) -> Credit:
        now = self._clock()
        scope = one_of(Scope, "scope", draft.scope)
        check_name(self._catalog, scope, draft.name)
        self._check_money(draft, now)
        reason = reason_of(draft.reason, most=MOST_REASON, where="reports and in the audit trail")
        if not 0 <= draft.priority <= MOST_PRIORITY:
            raise invalid("priority", f"The priority is a whole number from 0 to {MOST_PRIORITY}; the smallest burns first.")
        starts_at = draft.starts_at or now
        if starts_at < now:
            raise invalid("starts_at", "It cannot begin in the past: what was used is paid or owed already. Leave it out to begin now.")
        if draft.expires_at is not None and draft.expires_at <= starts_at:
            raise invalid("expires_at", "It expires before it begins, or is in the past.")
        return Credit(
            id=uuid4(),
            scope=scope,
            name=draft.name,
            amount_micros=micros_of(draft.amount),
            currency=draft.currency,
            priority=draft.priority,
            starts_at=starts_at,
            expires_at=draft.expires_at,
            reason=reason,
            created_by=actor,
            created_at=now,
        )

    def _check_money(self, draft: CreditDraft, now: datetime) -> None:
        currency = card_at(self._cards(), now).currency
        if draft.currency != currency:
            raise invalid("currency", f"Prices are in {currency}; a credit in {draft.currency} would pay for nothing.", (currency,))
        micros_of(draft.amount)


def _target(credit: Credit) -> str:
    return f"{credit.scope.value}:{credit.name}"
