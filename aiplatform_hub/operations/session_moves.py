"""Moves ended sessions to the project that they should have been charged to: corrections, never edits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.catalog import Catalog, RateCard
from aiplatform_hub.domain.plain_text import plain_line
from aiplatform_hub.domain.session_moves import Account, MovedAmount, SessionMove, corrections, moved_amounts
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError, Reason
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.charged_use import ChargedUse, ChargedUseStore
from aiplatform_hub.storage.database import Connection, Database, TakenError
from aiplatform_hub.storage.session_moves import SessionMoveStore

WHY = "Say why: it stands on the session's page and in the audit trail."
_EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class MovePlan:
    """A move, with what it changes."""

    move: SessionMove
    amounts: tuple[MovedAmount, ...]


class SessionMoves:
    """Plans and records moves; each leaves its audit row in the same transaction."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        catalog: Catalog,
        allocations: AllocationStore,
        moves: SessionMoveStore,
        uses: ChargedUseStore,
        cards: Callable[[], tuple[RateCard, ...]],
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._allocations = allocations
        self._moves = moves
        self._uses = uses
        self._cards = cards
        self._audit_trail = audit_trail
        self._clock = clock

    def of(self, allocation_id: UUID) -> tuple[SessionMove, ...]:
        """Return the moves of a session, in their order."""
        with self._database.read() as connection:
            return self._moves.of(connection, [allocation_id]).get(allocation_id, ())

    def plan(self, allocation_id: UUID, project: str, *, by: str) -> MovePlan:
        """Return what a move would change; writes nothing.

        Raises
        ------
        NotFoundError
            If there is no such session.
        InvalidOptionError
            If there is no such project.
        ConflictError
            If it has not ended, never ran, or is charged there already.
        """
        with self._database.read() as connection:
            return self._plan(connection, allocation_id, project, by, "")

    def move(self, allocation_id: UUID, project: str, *, reason: str, by: str) -> MovePlan:
        """Charge a session to another project, and to the cost centre that this has now.

        Raises
        ------
        NotFoundError, InvalidOptionError, ConflictError
            As :meth:`plan`; also without a reason, and if somebody else was faster.
        """
        told = plain_line(reason, field="reason", needs=WHY)
        try:
            with self._database.write() as connection:
                plan = self._plan(connection, allocation_id, project, by, told)
                self._moves.insert(connection, plan.move)
                self._audit_trail.record(
                    connection, actor=by, action="move_session", target=f"allocation:{allocation_id}", outcome="done", detail=_detail(plan.move)
                )
        except TakenError as error:
            raise ConflictError("Somebody else has moved this session just now. Look at it again first.") from error
        return plan

    def _plan(self, connection: Connection, allocation_id: UUID, project: str, by: str, reason: str) -> MovePlan:
        allocation = self._allocations.find(connection, allocation_id)
        if allocation is None:
            raise NotFoundError("There is no such session.")
        target = self._account_of(project)
        uses = self._ended(connection, allocation)
        before = self._moves.of(connection, [allocation_id]).get(allocation_id, ())
        metered = uses[-1].interval
        source = before[-1].target if before else Account(metered.project, metered.cost_centre)
        if source == target:
            raise ConflictError(f"It is charged to {target.project}, cost centre {target.cost_centre}, already.")
        ends = [use.interval.ended_at for use in uses if use.interval.ended_at is not None]
        now = self._clock()
        if now < max(ends):
            raise ConflictError(f"The clock stands at {now:%Y-%m-%d %H:%M:%S} UTC, before this session's end: set it right first.")
        move = SessionMove(
            allocation_id=allocation_id,
            number=len(before) + 1,
            source=source,
            target=target,
            started_at=min(use.interval.started_at for use in uses),
            ended_at=max(ends),
            at=now,
            moved_by=by,
            reason=reason,
        )
        return MovePlan(move, self._amounts(uses, before, move))

    def _account_of(self, name: str) -> Account:
        project = self._catalog.projects.get(name)
        if project is None:
            message = f"There is no project “{name}”."
            raise InvalidOptionError(message, (Reason("invalid_option", message, field="project", allowed=tuple(sorted(self._catalog.projects))),))
        return Account(project.name, project.cost_centre)

    def _ended(self, connection: Connection, allocation: Allocation) -> list[ChargedUse]:
        """Return everything that was metered of a session that has ended."""
        uses = list(self._uses.stream(connection, *_EVER, {"allocation": allocation.id}, has_idle=True, has_tiers=True))
        is_over = allocation.state is AllocationState.ENDED and all(use.interval.ended_at is not None for use in uses)
        if not is_over:
            raise ConflictError("Only a session that has ended can be moved: what still runs is charged where it was started.")
        if not uses:
            raise ConflictError("It never ran, so there is nothing to move.")
        return uses

    def _amounts(self, uses: list[ChargedUse], before: tuple[SessionMove, ...], move: SessionMove) -> tuple[MovedAmount, ...]:
        """Return what a move changes: the corrections with it, without those that are there before."""
        cards, until = self._cards(), move.ended_at + timedelta(microseconds=1)
        found = []
        for use in uses:
            priced = list(corrections(use.interval, (*before, move), cards, until, tier=use.tier, idle=use.idle))
            known = sum(1 for _ in corrections(use.interval, before, cards, until, tier=use.tier, idle=use.idle))
            found += priced[known:]
        return moved_amounts(found)


def _detail(move: SessionMove) -> dict[str, str]:
    return {
        "from": move.source.project,
        "from_cost_centre": move.source.cost_centre,
        "to": move.target.project,
        "to_cost_centre": move.target.cost_centre,
        "reason": move.reason,
    }
