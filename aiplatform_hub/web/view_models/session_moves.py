"""Sessions that are charged to another project than they were started in, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.charges import Charge
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.domain.session_moves import Account, MovedAmount, SessionMove
from aiplatform_hub.web.view_models.environments import Fact
from aiplatform_hub.web.view_models.formats import money, stamp
from aiplatform_hub.web.view_models.problem import Problem
from aiplatform_hub.web.view_models.session import Step

_PLACES = 6
CHARGED_TO = "Charged to"


@dataclass(frozen=True, slots=True)
class ProjectChoice:
    """A project that a session can be charged to."""

    name: str
    text: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class AmountRow:
    """What a move changes in one month."""

    month: str
    before: str
    after: str
    difference: str


@dataclass(frozen=True, slots=True)
class MovePage:
    """What the page that moves a session shows."""

    title: str
    owner: str
    now: str
    """What it is charged to now."""
    choices: tuple[ProjectChoice, ...]
    session_url: str
    target: str = ""
    """What it would be charged to; empty until a project was chosen."""
    chosen: str = ""
    """Name of that project."""
    amounts: tuple[AmountRow, ...] = ()
    reason: str = ""
    problem: Problem | None = None


def account_text(account: Account) -> str:
    """Return what a session is charged to, for example ``vision, cost centre lab``."""
    return f"{account.project}, cost centre {account.cost_centre}"


def choices(catalog: Catalog, present: Account, chosen: str) -> tuple[ProjectChoice, ...]:
    """Return the projects that a session can be moved to, by name."""
    others = [p for p in catalog.projects.values() if Account(p.name, p.cost_centre) != present]
    return tuple(ProjectChoice(p.name, account_text(Account(p.name, p.cost_centre)), p.name == chosen) for p in sorted(others, key=lambda p: p.name))


def amount_rows(amounts: Iterable[MovedAmount]) -> tuple[AmountRow, ...]:
    """Return what a move changes, month by month."""
    return tuple(
        AmountRow(
            month=one.month,
            before=money(rounded(one.before, _PLACES), one.currency),
            after=money(rounded(one.after, _PLACES), one.currency),
            difference=money(rounded(one.after - one.before, _PLACES), one.currency),
        )
        for one in amounts
    )


def move_steps(moves: Iterable[SessionMove]) -> tuple[Step, ...]:
    """Return the lines that moves have in a session's history."""
    return tuple(
        Step(stamp(move.at), f"Charged to {account_text(move.target)}, and no longer to {account_text(move.source)}: {move.reason}", move.moved_by)
        for move in moves
    )


def moved_facts(facts: tuple[Fact, ...], moves: tuple[SessionMove, ...]) -> tuple[Fact, ...]:
    """Return the facts of a session with what it is charged to now."""
    if not moves:
        return facts
    text = f"{account_text(moves[-1].target)}; it was started in {moves[0].source.project}"
    return tuple(replace(fact, text=text) if fact.label == CHARGED_TO else fact for fact in facts)


def correction_note(charge: Charge) -> str:
    """Return what a cost line says of a correction; empty for what was metered."""
    if not charge.is_correction:
        return ""
    return f", taken back from {charge.project}" if charge.units < 0 else f", charged to {charge.project}"
