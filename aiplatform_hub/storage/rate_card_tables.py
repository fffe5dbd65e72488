"""The table of rate cards."""

from __future__ import annotations

from sqlalchemy import Column, Index, String, Table, Text, text

from aiplatform_hub.storage.schema import BigId, Instant, metadata

_STANDS = text("withdrawn_at IS NULL")

rate_cards = Table(
    "rate_cards",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("version", String(64), nullable=False),
    Column("effective_from", Instant, nullable=False),
    Column("document", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("recorded_by", String(255)),
    Column("reason", Text, nullable=False),
    Column("withdrawn_at", Instant),
    Index("uq_rate_cards_standing_version", "version", unique=True, sqlite_where=_STANDS, postgresql_where=_STANDS),
    Index("uq_rate_cards_standing_instant", "effective_from", unique=True, sqlite_where=_STANDS, postgresql_where=_STANDS),
    sqlite_autoincrement=True,
)
"""Every rate card that was ever recorded, as it was written. Rows are added and withdrawn, never changed or deleted."""
