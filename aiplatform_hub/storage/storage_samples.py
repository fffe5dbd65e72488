"""Samples of people's storage: one for each person and UTC day, never written again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, func, select
from sqlalchemy.dialects import postgresql, sqlite

from aiplatform_hub.domain.storage_samples import StorageSample, StorageTime
from aiplatform_hub.domain.units import GIB, to_microseconds
from aiplatform_hub.storage.charge_rollup import ChargeRollupStore
from aiplatform_hub.storage.numbers import DAY_MICROSECONDS, greatest, least, number, whole
from aiplatform_hub.storage.storage_sample_tables import storage_samples

BATCH = 500
"""Rows that are in memory at once."""
_COLUMNS = storage_samples.c
FILTERS = {"user": _COLUMNS.user_name, "project": _COLUMNS.project, "cost_centre": _COLUMNS.cost_centre}
"""What can be asked for; a frozen set means any of its values."""
_ORDER = (_COLUMNS.cost_centre, _COLUMNS.project, _COLUMNS.user_name, _COLUMNS.day)


class StorageSampleStore:
    """Rows of the table ``storage_samples``."""

    def add(self, connection: Connection, samples: Collection[StorageSample]) -> None:
        """Add samples. A person who has one of that day keeps it, whoever was first."""
        dialects: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
        statement = dialects[connection.dialect.name](storage_samples).on_conflict_do_nothing(index_elements=["user_name", "day"])
        rows = [{name: getattr(sample, name) for name in _COLUMNS.keys()} for sample in samples]  # noqa: SIM118 - not a dict
        if rows:
            connection.execute(statement, rows)
        for day in {sample.day for sample in samples}:
            ChargeRollupStore().touch(connection, day, day + timedelta(days=1))  # a clock that was set back writes of a day that was over


def stream(connection: Connection, start: datetime, end: datetime, filters: Mapping[str, Any]) -> Iterator[StorageSample]:
    """Stream the samples whose days reach into ``[start, end)``, in order of cost centre, project, person and day.

    Storage belongs to no session: none is found where filters ask for what only sessions have.
    """
    if not filters.keys() <= FILTERS.keys():
        return
    statement = _reaching(select(storage_samples), start, end, filters)
    for row in connection.execute(statement.order_by(*_ORDER).execution_options(yield_per=BATCH)).mappings():
        yield StorageSample(**row)


def times(connection: Connection, start: datetime, end: datetime, columns: Collection[str], filters: Mapping[str, Any]) -> Iterator[StorageTime]:
    """Yield the same samples added up, in groups: as far as their days lie inside ``[start, end)``."""
    if not filters.keys() <= FILTERS.keys():
        return
    keys = [FILTERS[name] for name in columns if name in FILTERS]
    day = number(_COLUMNS.day)
    length = least(day + DAY_MICROSECONDS, to_microseconds(end)) - greatest(day, to_microseconds(start))
    time = func.sum((_COLUMNS.storage_bytes + (GIB - 1)) // GIB * length).label("gib_microseconds")
    statement = _reaching(select(*keys, time), start, end, filters).where(_COLUMNS.storage_bytes > 0)
    for row in connection.execute(statement.group_by(*keys)).mappings():
        if row["gib_microseconds"]:
            yield StorageTime(**{**row, "gib_microseconds": whole(row["gib_microseconds"])})


def reach(connection: Connection) -> tuple[datetime, datetime] | None:
    """Return from when until when there are samples; None where there are none."""
    first, last = connection.execute(select(func.min(_COLUMNS.day), func.max(_COLUMNS.day))).one()
    return None if first is None else (first, last + timedelta(days=1))


def _reaching(statement: Select[Any], start: datetime, end: datetime, filters: Mapping[str, Any]) -> Select[Any]:
    statement = statement.where(_COLUMNS.day > start - timedelta(days=1), _COLUMNS.day < end)
    for name, value in filters.items():
        statement = statement.where(FILTERS[name].in_(value) if isinstance(value, frozenset) else FILTERS[name] == value)
    return statement
