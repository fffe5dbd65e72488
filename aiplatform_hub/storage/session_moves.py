"""Moves of sessions from one project to another: rows are added, never changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, RowMapping, exists, insert, select

from aiplatform_hub.domain.session_moves import Account, SessionMove
from aiplatform_hub.storage.charge_rollup import ChargeRollupStore
from aiplatform_hub.storage.session_move_tables import session_moves

_COLUMNS = session_moves.c
_LATER = session_moves.alias()
LATEST_MOVES = (
    select(_COLUMNS.allocation_id, _COLUMNS.to_project, _COLUMNS.to_cost_centre)
    .where(~exists().where(_LATER.c.allocation_id == _COLUMNS.allocation_id, _LATER.c.number > _COLUMNS.number))
    .subquery("latest_moves")
)
"""Where each moved session is now."""


class SessionMoveStore:
    """Rows of the table ``session_moves``."""

    def insert(self, connection: Connection, move: SessionMove) -> None:
        """Store a move.

        Raises
        ------
        TakenError
            If it does not begin where the one before it ended.
        """
        places = {"from_project": move.source.project, "from_cost_centre": move.source.cost_centre}
        places |= {"to_project": move.target.project, "to_cost_centre": move.target.cost_centre}
        same = {name: getattr(move, name) for name in ("allocation_id", "number", "started_at", "ended_at", "at", "moved_by", "reason")}
        connection.execute(insert(session_moves).values(**same, **places))
        ChargeRollupStore().touch(connection, move.started_at, move.ended_at)

    def of(self, connection: Connection, allocation_ids: Collection[UUID]) -> dict[UUID, tuple[SessionMove, ...]]:
        """Return the moves of some sessions, each session's in their order; sessions without any are left out."""
        found: dict[UUID, list[SessionMove]] = defaultdict(list)
        statement = select(session_moves).where(_COLUMNS.allocation_id.in_(allocation_ids)).order_by(_COLUMNS.allocation_id, _COLUMNS.number)
        for row in connection.execute(statement).mappings() if allocation_ids else ():
            found[row["allocation_id"]].append(_move(row))
        return {id_: tuple(moves) for id_, moves in found.items()}

    def moved(self, connection: Connection, start: datetime, end: datetime) -> list[UUID]:
        """Return the sessions with time in ``[start, end)`` that were moved, in order of their ids."""
        reaches = (_COLUMNS.ended_at > start, _COLUMNS.started_at < end)
        return list(connection.execute(select(_COLUMNS.allocation_id).where(*reaches).distinct().order_by(_COLUMNS.allocation_id)).scalars())


def _move(row: RowMapping) -> SessionMove:
    return SessionMove(
        allocation_id=row["allocation_id"],
        number=row["number"],
        source=Account(row["from_project"], row["from_cost_centre"]),
        target=Account(row["to_project"], row["to_cost_centre"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        at=row["at"],
        moved_by=row["moved_by"],
        reason=row["reason"],
    )
