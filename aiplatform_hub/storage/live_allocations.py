"""Every allocation that is not over, in one statement, also where a thousand wait."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, String, Text, Uuid, case, cast, literal_column, select, text, type_coerce

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.units import from_microseconds
from aiplatform_hub.storage.numbers import number
from aiplatform_hub.storage.schema import Instant, allocations

IS_LIVE: ColumnElement[bool] = literal_column("allocations.state IN ('queued', 'held', 'active')")
"""Written out, not bound: both databases use a partial index only where the query states its condition word for word."""

IS_QUEUED: ColumnElement[bool] = literal_column("allocations.state = 'queued'")


@dataclass(frozen=True, slots=True)
class Live:
    """Every allocation that is not over, as of one instant."""

    open: tuple[Allocation, ...]
    """Those that hold something, the longest held first."""
    queued: tuple[Allocation, ...]
    """Those that wait, the longest waiting first."""


class LiveAllocations:
    """Reads them. A row that is as it was the last time is not converted again, and on PostgreSQL not even sent again.

    Parameters
    ----------
    make
        Makes an allocation of a converted row.
    """

    def __init__(self, make: Callable[[Mapping[str, Any]], Allocation]) -> None:
        self._make = make
        self._known: dict[tuple[Any, ...], Allocation] = {}

    def read(self, connection: Connection) -> Live:
        """Return open and queued allocations."""
        found = self._by_version(connection) if connection.dialect.name == "postgresql" else self._by_content(connection)
        self._known = found
        return Live(tuple(a for a in found.values() if a.is_open), tuple(a for a in found.values() if a.is_queued))

    def _by_content(self, connection: Connection) -> dict[tuple[Any, ...], Allocation]:
        known = self._known
        return {row: known.get(row) or self._make(_converted(row)) for row in _rows(connection, _RAW)}

    def _by_version(self, connection: Connection) -> dict[tuple[Any, ...], Allocation]:
        """Return them by the version that PostgreSQL gives each row: who wrote it (xmin) and where it lies (ctid).

        No two versions of a row have both in common, whoever writes them and also if their transaction is undone. What was written between the
        two statements is returned as it is after it.
        """
        known = self._known
        versions = _rows(connection, _VERSIONS)
        missing = [version[0] for version in versions if version not in known]
        rows = _rows(connection, _THESE, {"ids": missing}) if missing else ()
        new = {str(row[_ID]): self._make(_converted(row)) for row in rows}
        return {version: known.get(version) or new[version[0]] for version in versions}


def _raw(column: Any) -> ColumnElement[Any]:
    """Return a column as the driver gives it, hashable."""
    if isinstance(column.type, Instant):
        return number(column).label(column.name)
    if isinstance(column.type, Uuid):
        return type_coerce(column, String).label(column.name)
    return cast(column, Text).label(column.name) if column.name == "devices" else column


_COLUMNS = tuple(allocations.c)
_NAMES = tuple(column.name for column in _COLUMNS)
_SINCE = case((IS_QUEUED, allocations.c.queued_at), else_=allocations.c.held_at)
_READ = select(*map(_raw, _COLUMNS))
_RAW = _READ.where(IS_LIVE).order_by(_SINCE, allocations.c.id)
_VERSION: ColumnElement[Any] = literal_column("allocations.id::text, allocations.xmin, allocations.ctid")
_VERSIONS: Select[Any] = select(_VERSION).select_from(allocations).where(IS_LIVE).order_by(_SINCE, allocations.c.id)
_THESE = _READ.where(text("allocations.id = ANY(CAST(:ids AS uuid[]))"))
_ID = _NAMES.index("id")


def _rows(connection: Connection, statement: Select[Any], values: Mapping[str, Any] | None = None) -> Sequence[tuple[Any, ...]]:
    """Return rows as the driver gives them: nothing is converted here, and SQLAlchemy's own rows take as long as reading them."""
    with connection.execute(statement, values) as result:
        rows: Sequence[tuple[Any, ...]] = result.cursor.fetchall()
        return rows


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def _conversion(column: Any) -> Callable[[Any], Any] | None:
    if isinstance(column.type, Instant):
        return from_microseconds
    if isinstance(column.type, Uuid):
        return _uuid
    return json.loads if column.name == "devices" else None


_CONVERSIONS = tuple((position, conversion) for position, column in enumerate(_COLUMNS) if (conversion := _conversion(column)) is not None)


def _converted(row: Sequence[Any]) -> dict[str, Any]:
    values = list(row)
    for position, conversion in _CONVERSIONS:
        if values[position] is not None:
            values[position] = conversion(values[position])
    return dict(zip(_NAMES, values, strict=True))
