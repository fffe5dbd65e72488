"""Measures the energy of sessions' GPUs look by look, and tells what a session took."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.energy import Energy, EnergyOfDay, EnergyReading, by_day, energy, reading_of, used_between
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.energy import EnergyStore
from aiplatform_hub.storage.energy_sums import EnergySums


class EnergyRecorder:
    """Adds what GPUs took since the last look to the session that held them at both. It remembers nothing outside the database."""

    def __init__(self, *, energies: EnergyStore) -> None:
        self._energies = energies

    def record(self, connection: Connection, running: Collection[Allocation], samples: Mapping[str, GpuSample]) -> None:
        """Take in one look, in the transaction of the look: what was added and the reading that it was added up to are kept together, or neither is.

        Parameters
        ----------
        running
            The sessions that run.
        samples
            What each GPU does, by UUID. One that is silent now is asked from its last answer on.
        """
        before, now = self._energies.readings(connection), dict[str, tuple[UUID, EnergyReading]]()
        for allocation in running:
            days: list[EnergyOfDay] = []
            for device in allocation.devices:
                reading = reading_of(samples[device]) if device in samples else None
                if reading is None:
                    continue
                holder, last = before.get(device, (None, reading))
                used = used_between(last, reading) if holder == allocation.id else None
                days.extend(() if used is None else by_day(last.at, reading.at, used))
                now[device] = allocation.id, reading
            self._energies.add(connection, allocation.id, days)
        self._energies.store_readings(connection, now)


class EnergyReader:
    """Reads what GPUs took."""

    def __init__(self, *, database: Database, catalog: Catalog, energies: EnergyStore, sums: EnergySums) -> None:
        self._sums = sums
        self._database = database
        self._catalog = catalog
        self._energies = energies

    def of_session(self, allocation: Allocation) -> Energy | None:
        """Return what a session's GPUs took so far; None where nothing was measured.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        if allocation.started_at is None or not allocation.request.gpus:
            return None
        with self._database.read() as connection:
            return energy(self._energies.of_session(connection, allocation.id), self._catalog.carbon_factors)

    def of_span(self, start: datetime, end: datetime, filters: Mapping[str, Any]) -> Energy | None:
        """Return what GPUs took on the UTC days that begin in ``[start, end)``; None where nothing was measured.

        Parameters
        ----------
        filters
            As those of reports.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        with self._database.read() as connection:
            days = [EnergyOfDay(one.day, one.millijoules, one.known_microseconds) for one in self._sums.sums(connection, start, end, (), filters)]
        return energy(days, self._catalog.carbon_factors)
