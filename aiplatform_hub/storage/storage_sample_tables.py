"""The table of storage samples. Triggers, which the migration makes, keep what was written, whoever writes to the database."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, String, Table

from aiplatform_hub.storage.schema import Instant, metadata

storage_samples = Table(
    "storage_samples",
    metadata,
    Column("user_name", String(255), primary_key=True),
    Column("day", Instant, primary_key=True),
    Column("measured_at", Instant, nullable=False),
    Column("storage_bytes", BigInteger, nullable=False),
    Column("project", String(64), nullable=False),
    Column("cost_centre", String(64), nullable=False),
    CheckConstraint("storage_bytes >= 0", name="not_negative"),
    CheckConstraint("day % 86400000000 = 0", name="whole_days"),
    CheckConstraint("measured_at >= day AND measured_at < day + 86400000000", name="of_their_day"),
    Index("ix_storage_samples_day", "day"),
)
"""How much each person's storage held on each UTC day, and who pays for it; rows are only added."""
