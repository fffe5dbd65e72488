"""The table of memberships. Triggers, which the migration makes, keep its rows: they are ended once, never changed or deleted."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, String, Table, Text, Uuid

from aiplatform_hub.storage.schema import Instant, metadata

memberships = Table(
    "memberships",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_name", String(255), nullable=False),
    Column("project", String(64), nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant),
    Column("reason", Text, nullable=False),
    Column("added_by", String(255), nullable=False),
    Column("added_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ended_by", String(255)),
    CheckConstraint("ends_at IS NULL OR ends_at > starts_at", name="not_empty"),
    CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended_by_somebody"),
    Index("ix_memberships_user_name", "user_name"),
    Index("ix_memberships_project", "project"),
)
"""Who belongs to which project from when until when, beside the groups of the catalogue."""
