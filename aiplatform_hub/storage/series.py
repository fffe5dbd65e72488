"""What sessions did, minute by minute."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Float, Table, case, cast, func, insert, select

from aiplatform_hub.domain.efficiency import GpuUse
from aiplatform_hub.domain.series import GpuMinute, SessionMinute, spark_points, spark_start
from aiplatform_hub.domain.units import to_microseconds
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.numbers import number
from aiplatform_hub.storage.schema import gpu_minutes, session_minutes

_GPU, _SESSION = gpu_minutes.c, session_minutes.c
_WEIGHTED = func.sum(_GPU.mean_utilisation_percent * _GPU.samples) / cast(func.sum(_GPU.samples), Float)
"""Mean utilisation of several minutes, each counted by its looks."""


@dataclass(frozen=True, slots=True)
class GpuPoint:
    """What one GPU did from one point of a chart to the next."""

    at: datetime
    device: str
    mean_utilisation_percent: float
    max_utilisation_percent: float
    max_memory_bytes: int


@dataclass(frozen=True, slots=True)
class SessionPoint:
    """What the processes of a session took from one point of a chart to the next. None is unknown."""

    at: datetime
    cpu_cores: float | None
    memory_bytes: int | None
    """The most of its minutes."""


class SeriesStore:
    """Rows of the tables ``gpu_minutes`` and ``session_minutes``."""

    def add(self, connection: Connection, gpus: Collection[GpuMinute], sessions: Collection[SessionMinute]) -> None:
        """Add minutes. One that is there already, as after a clock that was set back, stays as it is."""
        had = self._known(connection, gpu_minutes, {minute.at for minute in gpus}, _GPU.device_uuid)
        rows = [_gpu_row(minute) for minute in gpus if (minute.allocation_id, minute.at, minute.device) not in had]
        if rows:
            connection.execute(insert(gpu_minutes), rows)
        had = self._known(connection, session_minutes, {minute.at for minute in sessions})
        rows = [_session_row(minute) for minute in sessions if (minute.allocation_id, minute.at) not in had]
        if rows:
            connection.execute(insert(session_minutes), rows)

    def _known(self, connection: Connection, table: Table, minutes: Collection[datetime], *more: ColumnElement[Any]) -> set[tuple[Any, ...]]:
        if not minutes:
            return set()
        found = select(table.c.allocation_id, table.c.at, *more).where(table.c.at.in_(minutes))
        return {tuple(row) for row in connection.execute(found)}

    def sparklines(self, connection: Connection, allocation_ids: Collection[UUID], now: datetime) -> Mapping[UUID, tuple[int | None, ...]]:
        """Return what the GPUs of sessions did in the last hour: 30 points of 2 minutes, oldest first, in percent.

        Parameters
        ----------
        allocation_ids
            Each of them is in the answer, also one of which nothing is known.
        now
            Aware UTC.

        Returns
        -------
        Mapping[UUID, tuple[int | None, ...]]
            Mean utilisation of all GPUs of a session; None where nobody looked.
        """
        found: dict[UUID, list[tuple[datetime, float, int]]] = {id_: [] for id_ in allocation_ids}
        if found:
            mine = (_GPU.allocation_id.in_(found), _GPU.at >= spark_start(now))
            minutes = select(_GPU.allocation_id, _GPU.at, _WEIGHTED.label("percent"), func.sum(_GPU.samples).label("samples"))
            for row in connection.execute(minutes.where(*mine).group_by(_GPU.allocation_id, _GPU.at)):
                found[row.allocation_id].append((row.at, float(row.percent), int(row.samples)))
        return {id_: spark_points(minutes, now) for id_, minutes in found.items()}

    def gpu_points(self, connection: Connection, allocation_id: UUID, start: datetime, end: datetime, step: timedelta) -> tuple[GpuPoint, ...]:
        """Return what each GPU of a session did, oldest first, in steps of whole minutes from the start; steps in which nobody looked are absent."""
        place = _place(_GPU.at, start, step)
        statement = (
            select(
                place.label("place"),
                _GPU.device_uuid,
                _WEIGHTED.label("mean"),
                func.max(_GPU.max_utilisation_percent).label("most"),
                func.max(_GPU.max_memory_bytes).label("memory"),
            )
            .where(_GPU.allocation_id == allocation_id, _GPU.at >= start, _GPU.at < end)
            .group_by(place, _GPU.device_uuid)
            .order_by(place, _GPU.device_uuid)
        )
        return tuple(
            GpuPoint(start + step * int(row.place), row.device_uuid, float(row.mean), float(row.most), int(row.memory)) for row in connection.execute(statement)
        )

    def gpu_use(self, connection: Connection, allocation_id: UUID, *, busy_from_percent: float) -> GpuUse | None:
        """Return what all minutes of a session say of its GPUs together; None where there are none.

        Parameters
        ----------
        busy_from_percent
            Utilisation at and above which a GPU is busy.
        """
        minutes = (
            select(
                func.sum(_GPU.samples).label("samples"),
                func.sum(_GPU.mean_utilisation_percent * _GPU.samples).label("weighted"),
                func.sum(case((_GPU.max_utilisation_percent >= busy_from_percent, 1), else_=0)).label("busy"),
                func.sum(_GPU.max_memory_bytes).label("memory"),
            )
            .where(_GPU.allocation_id == allocation_id)
            .group_by(_GPU.at)
            .subquery()
        ).c
        statement = select(func.sum(minutes.samples), func.sum(minutes.weighted), func.max(minutes.busy), func.max(minutes.memory))
        samples, weighted, busy, memory = connection.execute(statement).one()
        return None if not samples else GpuUse(int(samples), float(weighted) / int(samples), int(busy), int(memory))

    def session_points(self, connection: Connection, allocation_id: UUID, start: datetime, end: datetime, step: timedelta) -> tuple[SessionPoint, ...]:
        """Return what the processes of a session took, oldest first, in the same steps."""
        place = _place(_SESSION.at, start, step)
        statement = (
            select(place.label("place"), func.avg(_SESSION.cpu_cores).label("cores"), func.max(_SESSION.memory_bytes).label("memory"))
            .where(_SESSION.allocation_id == allocation_id, _SESSION.at >= start, _SESSION.at < end)
            .group_by(place)
            .order_by(place)
        )
        return tuple(
            SessionPoint(start + step * int(row.place), None if row.cores is None else float(row.cores), None if row.memory is None else int(row.memory))
            for row in connection.execute(statement)
        )


def _place(at: ColumnElement[Any], start: datetime, step: timedelta) -> ColumnElement[Any]:
    """Return the number of the step that a minute lies in."""
    return (number(at) - to_microseconds(start)) // (step // timedelta(microseconds=1))


def _gpu_row(minute: GpuMinute) -> dict[str, object]:
    return {
        "allocation_id": minute.allocation_id,
        "at": minute.at,
        "device_uuid": minute.device,
        "samples": minute.samples,
        "mean_utilisation_percent": minute.mean_utilisation_percent,
        "max_utilisation_percent": minute.max_utilisation_percent,
        "max_memory_bytes": minute.max_memory_bytes,
    }


def _session_row(minute: SessionMinute) -> dict[str, object]:
    return {"allocation_id": minute.allocation_id, "at": minute.at, "cpu_cores": minute.cpu_cores, "memory_bytes": minute.memory_bytes}
