"""The energy that the GPUs of sessions took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update

from aiplatform_hub.domain.energy import EnergyOfDay, EnergyReading
from aiplatform_hub.storage.energy_tables import gpu_energy_readings, session_energy

Readings = Mapping[str, tuple[UUID, EnergyReading]]
"""By UUID of the GPU: whose session held it, and what it said."""


class EnergyStore:
    """Rows of the tables ``gpu_energy_readings`` and ``session_energy``."""

    def readings(self, connection: Connection) -> Readings:
        """Return what each GPU said last, however long ago."""
        rows = connection.execute(select(gpu_energy_readings))
        return {row.device_uuid: (row.allocation_id, EnergyReading(row.at, row.counter_millijoules, row.power_milliwatts)) for row in rows}

    def store_readings(self, connection: Connection, readings: Readings) -> None:
        """Store what GPUs say now in place of what they said before."""
        if not readings:
            return
        connection.execute(delete(gpu_energy_readings).where(gpu_energy_readings.c.device_uuid.in_(readings)))
        rows = [
            {
                "device_uuid": uuid,
                "allocation_id": allocation_id,
                "at": reading.at,
                "counter_millijoules": reading.counter_millijoules,
                "power_milliwatts": reading.power_milliwatts,
            }
            for uuid, (allocation_id, reading) in readings.items()
        ]
        connection.execute(insert(gpu_energy_readings), rows)

    def add(self, connection: Connection, allocation_id: UUID, days: Iterable[EnergyOfDay]) -> None:
        """Add to what is known of a session's days."""
        columns = session_energy.c
        for each in days:
            more = {"millijoules": columns.millijoules + each.millijoules, "known_microseconds": columns.known_microseconds + each.known_microseconds}
            mine = (columns.allocation_id == allocation_id, columns.day == each.day)
            if not connection.execute(update(session_energy).where(*mine).values(**more)).rowcount:
                row = {"day": each.day, "millijoules": each.millijoules, "known_microseconds": each.known_microseconds}
                connection.execute(insert(session_energy).values(allocation_id=allocation_id, **row))

    def of_session(self, connection: Connection, allocation_id: UUID) -> tuple[EnergyOfDay, ...]:
        """Return what is known of a session, day by day."""
        columns = session_energy.c
        rows = connection.execute(select(session_energy).where(columns.allocation_id == allocation_id).order_by(columns.day))
        return tuple(EnergyOfDay(row.day, row.millijoules, row.known_microseconds) for row in rows)
