"""Decisions with their inputs as they were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, bindparam, case, insert, select

from aiplatform_hub.errors import Reason
from aiplatform_hub.storage.schema import decision_parts, decisions

_INSERT = insert(decisions)
_ADD_PARTS = insert(decision_parts).returning(decision_parts.c.id, sort_by_parameter_order=True)
_QUEUED_FIRST = case((decisions.c.outcome == "queue", 0), else_=1)
"""Between decisions of one instant: one cannot leave the queue before entering it."""
FIND_DECISION = select(decisions).where(decisions.c.allocation_id == bindparam("allocation_id")).order_by(decisions.c.at, _QUEUED_FIRST)
"""The decisions of one allocation, the oldest first."""
_TUPLES = ("held_by", "remedies", "allowed", "remedy_codes")


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """One decision as it was stored."""

    id: UUID
    allocation_id: UUID
    at: datetime
    actor: str
    outcome: str
    error_code: str | None
    inputs: Mapping[str, Any]
    """Everything the decision was given, as JSON; what is large, by the ids of its parts."""
    reasons: tuple[Reason, ...]


def _decision_of(row: RowMapping) -> StoredDecision:
    reasons = tuple(Reason(**{**reason, **{name: tuple(reason.get(name, ())) for name in _TUPLES}}) for reason in row["reasons"])
    return StoredDecision(
        id=row["id"],
        allocation_id=row["allocation_id"],
        at=row["at"],
        actor=row["actor"],
        outcome=row["outcome"],
        error_code=row["error_code"],
        inputs=row["inputs"],
        reasons=reasons,
    )


class DecisionStore:
    """Reads and writes decisions."""

    def insert(self, connection: Connection, decision: StoredDecision) -> None:
        """Store a decision."""
        reasons = [{name: value for name, value in asdict(reason).items() if value not in (None, ())} for reason in decision.reasons]
        values = {
            "id": decision.id,
            "allocation_id": decision.allocation_id,
            "at": decision.at,
            "actor": decision.actor,
            "outcome": decision.outcome,
            "error_code": decision.error_code,
            "inputs": decision.inputs,
            "reasons": reasons,
        }
        connection.execute(_INSERT, values)

    def add_parts(self, connection: Connection, contents: Sequence[Any]) -> list[int]:
        """Store what decisions will name; return the ids, in order."""
        return list(connection.execute(_ADD_PARTS, [{"content": content} for content in contents]).scalars()) if contents else []

    def parts(self, connection: Connection, ids: Iterable[int]) -> dict[int, Any]:
        """Return parts by their ids; those that are not stored are left out."""
        return {row.id: row.content for row in connection.execute(select(decision_parts).where(decision_parts.c.id.in_(list(ids))))}

    def find(self, connection: Connection, decision_id: UUID) -> StoredDecision | None:
        """Return the decision with this id, or None."""
        row = connection.execute(select(decisions).where(decisions.c.id == decision_id)).mappings().one_or_none()
        return None if row is None else _decision_of(row)

    def owner_of(self, connection: Connection, allocation_id: UUID) -> tuple[datetime, frozenset[str]] | None:
        """Return when the newest decision about an allocation was made, and which groups its owner had then; None without one."""
        statement = select(decisions.c.at, decisions.c.inputs["caller", "groups"]).where(decisions.c.allocation_id == allocation_id)
        found = connection.execute(statement.order_by(decisions.c.at.desc(), _QUEUED_FIRST.desc()).limit(1)).one_or_none()
        return None if found is None else (found[0], frozenset(found[1]))

    def of_allocation(self, connection: Connection, allocation_id: UUID) -> StoredDecision | None:
        """Return the newest decision about an allocation, or None."""
        rows = connection.execute(FIND_DECISION, {"allocation_id": allocation_id}).mappings().all()
        return _decision_of(rows[-1]) if rows else None
