"""GPUs, and whole nodes, on which nothing new starts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, select, update

from aiplatform_hub.domain.drains import Drain, DrainKind
from aiplatform_hub.storage.schema import drains


class DrainStore:
    """Reads and writes drains. Who writes has to apply them to the GPUs in the same transaction."""

    def standing(self, connection: Connection) -> tuple[Drain, ...]:
        """Return the drains that stand, the oldest first."""
        rows = connection.execute(select(drains).where(drains.c.undone_at.is_(None)).order_by(drains.c.id)).mappings()
        return tuple(_drain(row) for row in rows)

    def find(self, connection: Connection, drain_id: int) -> Drain | None:
        """Return a drain, whether it stands or not; None if there never was one."""
        row = connection.execute(select(drains).where(drains.c.id == drain_id)).mappings().one_or_none()
        return None if row is None else _drain(row)

    def insert(self, connection: Connection, drain: Drain) -> int:
        """Store a drain; return the id that it was given.

        Raises
        ------
        TakenError
            If the same is drained already.
        """
        values = {"kind": drain.kind.value, "target": drain.target, "at": drain.at, "drained_by": drain.by, "reason": drain.reason}
        return int(connection.execute(insert(drains).values(**values).returning(drains.c.id)).scalar_one())

    def undo(self, connection: Connection, drain_id: int, at: datetime) -> bool:
        """Let a drain end; False when it has ended already."""
        statement = update(drains).where(drains.c.id == drain_id, drains.c.undone_at.is_(None)).values(undone_at=at)
        return bool(connection.execute(statement).rowcount)


def _drain(row: RowMapping) -> Drain:
    return Drain(row["id"], DrainKind(row["kind"]), row["target"], row["at"], row["drained_by"], row["reason"])
