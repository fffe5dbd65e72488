"""Tables of invoices. Triggers, which the migration makes, keep issued ones as they are, whoever writes to the database."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    text,
)

from aiplatform_hub.storage.schema import BigId, Instant, metadata


class Exact(TypeDecorator[Decimal]):
    """A decimal number of any size, stored as its digits: SQLite has no exact type of its own."""

    impl = String(64)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Any) -> str | None:  # noqa: ARG002  SQLAlchemy's signature
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> Decimal | None:  # noqa: ARG002  SQLAlchemy's signature
        return None if value is None else Decimal(value)


def _where(condition: str) -> Mapping[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


invoices = Table(
    "invoices",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(8), nullable=False),
    Column("legal_entity", String(64), nullable=False),
    Column("cost_centre", String(64), nullable=False),
    Column("currency", String(8), nullable=False),
    Column("period_start", Instant, nullable=False),
    Column("period_end", Instant, nullable=False),
    Column("net", Exact, nullable=False),
    Column("tax", Exact, nullable=False),
    Column("document", Text, nullable=False),
    Column("drafted_at", Instant, nullable=False),
    Column("number", String(64)),
    Column("issued_at", Instant),
    Column("issued_by", String(255)),
    Column("paid_at", Instant),
    Column("payment_reference", String(255), nullable=False),
    Column("credits", String(64)),
    Column("credited_by", String(64)),
    CheckConstraint("kind IN ('invoice', 'credit_note')", name="known_kind"),
    CheckConstraint("state IN ('draft', 'issued', 'paid', 'void')", name="known_state"),
    CheckConstraint("(state = 'draft') = (number IS NULL)", name="issued_ones_have_numbers"),
    CheckConstraint("(number IS NULL) = (issued_at IS NULL)", name="numbers_have_instants"),
    Index("uq_invoices_number", "number", unique=True),
    Index("uq_invoices_standing", "cost_centre", "period_start", unique=True, **_where("kind = 'invoice' AND state <> 'void'")),
    Index("uq_invoices_credits", "credits", unique=True, **_where("credits IS NOT NULL")),
    Index("ix_invoices_period", "period_start", "cost_centre"),
)
"""Invoices and credit notes. ``document`` holds, as JSON, what they say beside their lines; a cost centre has one standing invoice a month.

A migration that makes this table, its lines or its numbers anew on SQLite has to make their triggers anew.
"""

invoice_lines = Table(
    "invoice_lines",
    metadata,
    Column("invoice_id", Uuid, ForeignKey("invoices.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("project", String(64), nullable=False),
    Column("sku", String(32), nullable=False),
    Column("gpu_type", String(64)),
    Column("list_price", Exact, nullable=False),
    Column("price", Exact, nullable=False),
    Column("rate_card", String(64), nullable=False),
    Column("is_off_peak", Boolean, nullable=False),
    Column("is_correction", Boolean, nullable=False),
    Column("month", Instant, nullable=False),
    Column("unit_microseconds", Exact, nullable=False),
    Column("amount", Exact, nullable=False),
)
"""What an invoice demands for."""

invoice_numbers = Table(
    "invoice_numbers",
    metadata,
    Column("legal_entity", String(64), primary_key=True),
    Column("year", Integer, primary_key=True),
    Column("last", Integer, nullable=False),
    Column("last_issued_at", Instant, nullable=False),
)
"""The last number that each legal entity gave in each year; it moves in the transaction that issues, so that none is left out."""

invoice_outbox = Table(
    "invoice_outbox",
    metadata,
    Column("sequence", BigId, primary_key=True, autoincrement=True),
    Column("id", Uuid, nullable=False),
    Column("invoice_id", Uuid, ForeignKey("invoices.id"), nullable=False),
    Column("event", String(16), nullable=False),
    Column("at", Instant, nullable=False),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", Instant),
    Column("delivered_at", Instant),
    Column("error", Text),
    Index("uq_invoice_outbox_id", "id", unique=True),
    Index("ix_invoice_outbox_due", "next_at", **_where("next_at IS NOT NULL")),
    sqlite_autoincrement=True,
)
"""What the accounting is to be told, written with the act that it tells of."""
