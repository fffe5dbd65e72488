"""Bodies about sessions that are charged to another project than they were started in."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from aiplatform_hub.domain.plain_text import MOST_CHARACTERS
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.domain.session_moves import MovedAmount, SessionMove
from aiplatform_hub.operations.session_moves import MovePlan
from aiplatform_hub.services.platform.wire import Input, Instant, Money, Output

_PLACES = 6


class MoveSessionBody(Input):
    """Where a session is to be charged."""

    project: Annotated[str, Field(max_length=64, description="The project that it should have been charged to; its cost centre is the one that it has now")]
    reason: str = Field("", description=f"One line of at most {MOST_CHARACTERS} characters; needed unless `dry_run`")
    dry_run: bool = Field(False, description="Only say what would change; nothing is written")


class AccountOut(Output):
    """What a session is charged to."""

    project: str
    cost_centre: str


class MovedAmountOut(Output):
    """What a move changes in one month and one currency."""

    month: str = Field(description="In UTC, such as `2026-11`; a month that was invoiced is corrected on the next invoice")
    currency: str
    before: Money = Field(description="What the project that the session leaves is given back, to six places")
    after: Money = Field(description="What the other project pays, with its own discounts")


class SessionMoveOut(Output):
    """One session from one project to another."""

    allocation_id: UUID
    number: int = Field(description="Of the session's moves, from 1 on")
    source: AccountOut
    target: AccountOut
    at: Instant
    moved_by: str
    reason: str


class MovePlanOut(Output):
    """A move, with what it changes."""

    is_done: bool = Field(description="False for a dry run")
    move: SessionMoveOut
    amounts: tuple[MovedAmountOut, ...]


class SessionMoveList(Output):
    """The moves of a session, in their order."""

    items: tuple[SessionMoveOut, ...]


def move_out(move: SessionMove) -> SessionMoveOut:
    """Return a move as the REST API shows it."""
    return SessionMoveOut(
        allocation_id=move.allocation_id,
        number=move.number,
        source=AccountOut(project=move.source.project, cost_centre=move.source.cost_centre),
        target=AccountOut(project=move.target.project, cost_centre=move.target.cost_centre),
        at=move.at,
        moved_by=move.moved_by,
        reason=move.reason,
    )


def plan_out(plan: MovePlan, *, is_done: bool) -> MovePlanOut:
    """Return a move with what it changes, as the REST API shows it."""
    return MovePlanOut(is_done=is_done, move=move_out(plan.move), amounts=tuple(map(_amount, plan.amounts)))


def _amount(one: MovedAmount) -> MovedAmountOut:
    return MovedAmountOut(month=one.month, currency=one.currency, before=rounded(one.before, _PLACES), after=rounded(one.after, _PLACES))
