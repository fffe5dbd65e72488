"""Tables of the energy that GPUs took."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, Uuid

from aiplatform_hub.storage.schema import DeviceId, Instant, metadata

gpu_energy_readings = Table(
    "gpu_energy_readings",
    metadata,
    Column("device_uuid", DeviceId, primary_key=True),
    Column("allocation_id", Uuid, nullable=False),
    Column("at", Instant, nullable=False),
    Column("counter_millijoules", BigInteger),
    Column("power_milliwatts", BigInteger),
)
"""What each GPU said last of its energy, and whose session held it then."""

session_energy = Table(
    "session_energy",
    metadata,
    Column("allocation_id", Uuid, ForeignKey("allocations.id"), primary_key=True),
    Column("day", Instant, primary_key=True),
    Column("millijoules", BigInteger, nullable=False),
    Column("known_microseconds", BigInteger, nullable=False),
    CheckConstraint("millijoules >= 0 AND known_microseconds >= 0", name="not_negative"),
    Index("ix_session_energy_day", "day"),
    sqlite_with_rowid=False,
)
"""What the GPUs of a session took on each UTC day, and for how much of their time that is known; days of which nothing is known are absent."""
