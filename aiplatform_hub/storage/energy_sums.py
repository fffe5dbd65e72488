"""Sums of the energy of sessions' GPUs, by what reports are grouped by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from aiplatform_hub.storage.energy_tables import session_energy
from aiplatform_hub.storage.schema import allocations
from aiplatform_hub.storage.session_moves import LATEST_MOVES

COLUMNS = {
    "user": allocations.c.user_name,
    "project": func.coalesce(LATEST_MOVES.c.to_project, allocations.c.project),
    "cost_centre": func.coalesce(LATEST_MOVES.c.to_cost_centre, allocations.c.cost_centre),
    "environment_template": allocations.c.environment_template,
    "gpu_type": allocations.c.gpu_type,
    "allocation": allocations.c.id,
}
"""What sums can be grouped and filtered by, beside the day."""


@dataclass(frozen=True, slots=True)
class EnergySum:
    """What the GPUs of a group of sessions took on one UTC day."""

    day: datetime
    keys: Mapping[str, Any]
    millijoules: int
    known_microseconds: int


class EnergySums:
    """Reads sums."""

    def sums(self, connection: Connection, start: datetime, end: datetime, group_by: Sequence[str], filters: Mapping[str, Any]) -> Iterator[EnergySum]:
        """Yield sums of the UTC days that begin in ``[start, end)``, by day and group.

        Parameters
        ----------
        group_by
            Names among :data:`COLUMNS`.
        filters
            Value by such a name; a frozen set means any of its values.
        """
        groups = [COLUMNS[name].label(name) for name in group_by]
        day = session_energy.c.day
        sums = [func.sum(session_energy.c[name]).label(name) for name in ("millijoules", "known_microseconds")]
        statement = select(day.label("day"), *groups, *sums).join(allocations, allocations.c.id == session_energy.c.allocation_id)
        statement = statement.outerjoin(LATEST_MOVES, LATEST_MOVES.c.allocation_id == allocations.c.id)
        statement = statement.where(day >= start, day < end)
        for name, value in filters.items():
            statement = statement.where(COLUMNS[name].in_(value) if isinstance(value, frozenset) else COLUMNS[name] == value)
        for row in connection.execute(statement.group_by(day, *groups)).mappings():
            yield EnergySum(row["day"], {name: row[name] for name in group_by}, int(row["millijoules"]), int(row["known_microseconds"]))
