"""Tables of disputes. Triggers, which the migration makes, refuse every change: what was said stays."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, ForeignKeyConstraint, Index, Integer, String, Table, Text, Uuid

from aiplatform_hub.storage.invoice_tables import invoice_lines
from aiplatform_hub.storage.schema import Instant, metadata

invoice_disputes = Table(
    "invoice_disputes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("invoice_id", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    ForeignKeyConstraint(["invoice_id", "position"], [invoice_lines.c.invoice_id, invoice_lines.c.position], name="fk_invoice_disputes_line"),
    Index("ix_invoice_disputes_line", "invoice_id", "position"),
)
"""Which line of which invoice is disputed."""

dispute_entries = Table(
    "dispute_entries",
    metadata,
    Column("dispute_id", Uuid, ForeignKey("invoice_disputes.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("by", String(255), nullable=False),
    Column("at", Instant, nullable=False),
    Column("text", Text, nullable=False),
    CheckConstraint("kind IN ('opened', 'replied', 'answered', 'withdrawn')", name="known_kind"),
    CheckConstraint("(number = 1) = (kind = 'opened')", name="opened_first"),
    Index("ix_dispute_entries_at", "at"),
)
"""What was said, in order; the last entry says in which state the dispute is."""
