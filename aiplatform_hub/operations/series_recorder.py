"""Joins looks at GPUs and processes into minutes, and writes each minute once it is over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.series import GpuMinute, ProcessUse, SessionMinute, joined, minute_of, session_minute
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.series import SeriesStore


class Processes(Protocol):
    """Looks at the processes of sessions."""

    def measure(self, ids: Collection[UUID], at: datetime) -> dict[UUID, ProcessUse]:
        """Return what each session has taken; one of which nothing is known is absent."""


class SeriesRecorder:
    """Remembers the minute that goes on. A process that ends loses that minute, and invents nothing in its place."""

    def __init__(self, *, series: SeriesStore, processes: Processes) -> None:
        self._series = series
        self._processes = processes
        self._minute: datetime | None = None
        self._gpus: dict[tuple[UUID, str], GpuMinute] = {}
        self._uses: dict[UUID, ProcessUse] = {}
        self._over: tuple[list[GpuMinute], list[SessionMinute]] = ([], [])

    def look(self, running: Collection[Allocation], samples: Mapping[str, GpuSample], at: datetime) -> None:
        """Take in one look. It reads what processes did once a minute, which may take some time, and writes nothing.

        Parameters
        ----------
        running
            The sessions that run.
        samples
            What each GPU does, by UUID.
        at
            Now, aware UTC.
        """
        minute, ids = minute_of(at), {allocation.id for allocation in running}
        if self._minute is not None and minute != self._minute:
            self._finish(self._minute, ids, at)
        self._minute = minute
        self._uses |= self._processes.measure(ids - self._uses.keys(), at)
        for allocation in running:
            mine = {device: samples[device] for device in allocation.devices if device in samples}
            self._gpus |= joined(self._gpus, allocation.id, mine, minute)

    def _finish(self, minute: datetime, ids: Collection[UUID], at: datetime) -> None:
        uses = self._processes.measure(ids, at)
        sessions = [session_minute(id_, minute, self._uses.get(id_), use) for id_, use in uses.items()]
        self._over[0].extend(self._gpus.values())
        self._over[1].extend(each for each in sessions if each is not None)
        self._gpus, self._uses = {}, uses

    def write(self, connection: Connection) -> None:
        """Write the minutes that are over; they are kept until :meth:`written`."""
        gpus, sessions = self._over
        if gpus or sessions:
            self._series.add(connection, gpus, sessions)

    def written(self) -> None:
        """Forget what was written; called once that is committed."""
        self._over = ([], [])
