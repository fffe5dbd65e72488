"""Tables of budgets. Money is whole millionths of the currency, so that sums are exact in every database."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text, Uuid, text

from aiplatform_hub.storage.schema import BigId, Instant, metadata

budgets = Table(
    "budgets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("scope", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("currency", String(8), nullable=False),
    Column("period", String(8), nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant),
    Column("reason", Text, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("soft_percents", String(32), nullable=False, server_default="80,95"),
    Column("at_limit", String(16), nullable=False, server_default="let_finish"),
    Column("grace_seconds", Integer, nullable=False, server_default=text("1800")),
    Column("earlier_counted_at", Instant),
    CheckConstraint("amount_micros > 0", name="positive"),
    CheckConstraint("ends_at IS NULL OR ends_at > starts_at", name="not_empty"),
    CheckConstraint("scope IN ('cost_centre', 'project', 'person')", name="known_scope"),
    CheckConstraint("period IN ('month', 'term', 'once')", name="known_period"),
    Index("uq_budgets_standing", "scope", "name", unique=True, sqlite_where=text("ended_at IS NULL"), postgresql_where=text("ended_at IS NULL")),
)
"""What may be spent on a cost centre, project or person; one at a time. An ended one stays."""

budget_periods = Table(
    "budget_periods",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("budget_id", Uuid, ForeignKey("budgets.id"), nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant),
    Column("limit_micros", BigInteger, nullable=False),
    Column("committed_micros", BigInteger, nullable=False),
    Column("held_micros", BigInteger, nullable=False),
    Column("overdraft_micros", BigInteger, nullable=False),
    Column("told_percent", Integer, nullable=False, server_default=text("0")),
    Column("spent_at", Instant),
    Column("session_micros", BigInteger, nullable=False, server_default=text("0")),
    Column("moved_micros", BigInteger, nullable=False, server_default=text("0")),
    Column("storage_micros", BigInteger, nullable=False, server_default=text("0")),
    Column("credit_micros", BigInteger, nullable=False, server_default=text("0")),
    Column("followed_at", Instant),
    CheckConstraint("committed_micros >= 0 AND held_micros >= 0 AND overdraft_micros >= 0", name="not_negative"),
    CheckConstraint("committed_micros + held_micros <= limit_micros + overdraft_micros", name="within_limit"),
    Index("uq_budget_periods_start", "budget_id", "starts_at", unique=True),
    sqlite_autoincrement=True,
)
"""How a budget stands in each period: committed is sessions + moved + storage − credit. The database itself refuses to promise more than the limit."""

budget_holds = Table(
    "budget_holds",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("period_id", BigInteger, ForeignKey("budget_periods.id"), nullable=False),
    Column("allocation_id", Uuid, ForeignKey("allocations.id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("held_micros", BigInteger, nullable=False),
    Column("committed_micros", BigInteger, nullable=False),
    Column("settled_at", Instant),
    CheckConstraint("held_micros >= 0 AND committed_micros >= 0", name="not_negative"),
    Index("uq_budget_holds_allocation", "allocation_id", "period_id", unique=True),
    Index("ix_budget_holds_open", "period_id", sqlite_where=text("settled_at IS NULL"), postgresql_where=text("settled_at IS NULL")),
    sqlite_autoincrement=True,
)
"""What of a period each session holds, and what of that it has used."""

budget_days = Table(
    "budget_days",
    metadata,
    Column("budget_id", Uuid, ForeignKey("budgets.id"), primary_key=True),
    Column("day", Instant, primary_key=True),
    Column("spent_micros", BigInteger, nullable=False),
)
"""What was spent on what a budget is for, on each of the last days (UTC) that are over: only forecasts read it."""
