"""Tells people once, per period and soft limit, that a budget is nearly spent, and once that it is overdrawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from aiplatform_hub.domain.budgets import OVERDRAWN, Budget, Period, Scope, passed_percent, told_words
from aiplatform_hub.domain.notices import NoticeKind
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.operations.notices import Notices
from aiplatform_hub.storage.budgets import BudgetStore, Present
from aiplatform_hub.storage.database import Database

_TITLES = {Scope.COST_CENTRE: "Budget of cost centre {}", Scope.PROJECT: "Budget of project {}", Scope.PERSON: "Your budget"}


@dataclass(frozen=True, slots=True)
class Passed:
    """A soft limit that was passed and not told yet."""

    present: Present
    percent: int


class BudgetWarnings:
    """Finds what is to be told, and tells it in one transaction with the note that it was: whoever is killed in between, it is told once."""

    def __init__(self, *, database: Database, budgets: BudgetStore, notices: Notices, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._budgets = budgets
        self._notices = notices
        self._clock = clock

    def due(self) -> tuple[Passed, ...]:
        """Return the soft limits that were passed; of several of one budget the highest."""
        with self._database.read() as connection:
            present = self._budgets.present(connection, self._clock())
        return tuple(Passed(each, percent) for each in present if (percent := _percent(each)) is not None)

    def tell(self, passed: Passed, people: Iterable[str]) -> int:
        """Tell people of a soft limit; return how many were told. May be repeated."""
        present, now = passed.present, self._clock()
        with self._database.write() as connection:
            if not self._budgets.note_told(connection, present.period_id, passed.percent):
                return 0
            detail = _detail(present, passed.percent, now)
            return sum(
                self._notices.tell(
                    connection,
                    key=f"budget:{present.period_id}:{passed.percent}:{sha256(name.encode()).hexdigest()[:32]}",  # names may be longer than keys
                    user_name=name,
                    allocation_id=None,
                    kind=NoticeKind.BUDGET_LOW,
                    detail=detail,
                    at=now,
                )
                for name in sorted(set(people))
            )


def _percent(each: Present) -> int | None:
    if each.spending.overdraft_micros and each.told_percent < OVERDRAWN:
        return OVERDRAWN
    return passed_percent(each.budget.soft_percents, each.spending.taken_micros, each.limit_micros, each.told_percent)


def _detail(present: Present, percent: int, now: datetime) -> dict[str, object]:
    budget: Budget = present.budget
    span = budget.span_at(now)
    return {
        "title": _TITLES[budget.scope].format(budget.name),
        "server_name": "",
        "gpus": "",
        "word": str(percent),
        "until": isoformat(span[1]) if span and span[1] else None,
        "cause": "",
        "is_back": budget.period is Period.MONTH and budget.ends_at is None,
        "message": told_words(budget, present.spending, present.limit_micros),
    }
