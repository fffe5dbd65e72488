"""Measures the energy of sessions' GPUs look by look, and tells what a session took."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.energy import Energy, EnergyOfDay, EnergyReading, by_day, energy, reading_of, used_between
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.energy import EnergyStore


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


class SessionEnergyReader:
    """Reads what the GPUs of one session took."""

    def __init__(self, *, database: Database, catalog: Catalog, energies: EnergyStore) -> None:
        self._database = database
        self._catalog = catalog
        self._energies = energies

    def read(self, allocation: Allocation) -> Energy | None:
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
