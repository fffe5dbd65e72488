"""The table of moved sessions. Triggers, which the migration makes, keep its rows as they are and in turn, whoever writes."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text, Uuid

from aiplatform_hub.storage.schema import BigId, Instant, metadata

session_moves = Table(
    "session_moves",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("allocation_id", Uuid, ForeignKey("allocations.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("from_project", String(64), nullable=False),
    Column("from_cost_centre", String(64), nullable=False),
    Column("to_project", String(64), nullable=False),
    Column("to_cost_centre", String(64), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant, nullable=False),
    Column("at", Instant, nullable=False),
    Column("moved_by", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint("from_project <> to_project OR from_cost_centre <> to_cost_centre", name="goes_elsewhere"),
    CheckConstraint("number >= 1", name="counted_from_one"),
    CheckConstraint("ended_at >= started_at AND at >= ended_at", name="of_what_is_over"),
    Index("uq_session_moves_number", "allocation_id", "number", unique=True),
    Index("ix_session_moves_span", "ended_at", "started_at"),
    sqlite_autoincrement=True,
)
"""Which ended sessions are charged to another project than they were metered for. ``started_at`` and ``ended_at`` are the session's."""
