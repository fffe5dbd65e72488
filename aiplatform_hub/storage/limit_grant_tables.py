"""The table of raised limits."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, String, Table, Text, Uuid

from aiplatform_hub.storage.schema import Instant, metadata

limit_grants = Table(
    "limit_grants",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("scope", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("dimension", String(64), nullable=False),
    Column("gpu_type", String(64)),
    Column("window_days", Integer),
    Column("amount", String(32), nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("granted_by", String(255), nullable=False),
    Column("granted_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    CheckConstraint("scope IN ('user', 'group')", name="known_scope"),
    CheckConstraint("expires_at > granted_at", name="not_empty"),
    Index("ix_limit_grants_name", "scope", "name", "expires_at"),
    Index("ix_limit_grants_expires", "expires_at"),
)
"""One limit of a person or of a group's members, raised until an instant (exclusive). The amount is a decimal number in the dimension's unit."""
