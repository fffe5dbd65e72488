"""Tables of credits. Triggers, which the migration makes, keep what was given as it was: it can only be ended, once."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text, Uuid

from aiplatform_hub.storage.schema import Instant, metadata

credits_ = Table(
    "credits",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("scope", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("currency", String(8), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("reason", Text, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
    CheckConstraint("amount_micros > 0", name="positive"),
    CheckConstraint("expires_at IS NULL OR expires_at > starts_at", name="not_empty"),
    CheckConstraint("starts_at >= created_at", name="not_backdated"),
    CheckConstraint("ended_at IS NULL OR ended_at >= created_at", name="ended_after"),
    CheckConstraint("scope IN ('cost_centre', 'project', 'person')", name="known_scope"),
    Index("ix_credits_whose", "scope", "name"),
)
"""What was given to cost centres, projects and people."""

credit_balances = Table(
    "credit_balances",
    metadata,
    Column("credit_id", Uuid, ForeignKey("credits.id"), primary_key=True),
    Column("paid_micros", BigInteger, nullable=False),
    Column("as_of", Instant, nullable=False),
    CheckConstraint("paid_micros >= 0", name="not_negative"),
)
"""What each has paid at the keeper's last look, for pages; it follows from the ledger and can be made anew."""
