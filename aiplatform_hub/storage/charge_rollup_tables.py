"""Tables of what closed days were charged. All of them can be made anew from the ledger."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, String, Table, text

from aiplatform_hub.storage.schema import Instant, metadata

charge_days = Table(
    "charge_days",
    metadata,
    Column("day", Instant, primary_key=True),
    Column("open_intervals", Integer, nullable=False),
    Column("cards", String(64), nullable=False),
    Column("built_at", Instant, nullable=False),
    Column("is_stale", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("day % 86400000000 = 0", name="whole"),
    CheckConstraint("built_at >= day + 86400000000", name="over"),
)
"""UTC days whose sums are kept. A row is written with its sums; the database refuses a day that was not over."""

charge_sums = Table(
    "charge_sums",
    metadata,
    Column("by_person", Boolean, primary_key=True),
    Column("day", Instant, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("cost_centre", String(64), nullable=False),
    Column("project", String(64), nullable=False),
    Column("user_name", String(255), nullable=False),
    Column("environment_template", String(64), nullable=False),
    Column("gpu_type", String(64)),
    Column("sku", String(32), nullable=False),
    Column("list_price", String(64), nullable=False),
    Column("price", String(64), nullable=False),
    Column("currency", String(8), nullable=False),
    Column("rate_card", String(64), nullable=False),
    Column("period_microseconds", BigInteger, nullable=False),
    Column("unit_microseconds", BigInteger, nullable=False),
    Column("session_microseconds", BigInteger, nullable=False),
    Column("estimated_microseconds", BigInteger, nullable=False),
    Index("ix_charge_sums_person", "user_name", "day"),
    sqlite_with_rowid=False,
)
"""What was charged in a day, once by person and once without people, who make most of the rows."""

charge_activity = Table(
    "charge_activity",
    metadata,
    Column("by_person", Boolean, primary_key=True),
    Column("day", Instant, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("cost_centre", String(64), nullable=False),
    Column("project", String(64), nullable=False),
    Column("user_name", String(255), nullable=False),
    Column("environment_template", String(64), nullable=False),
    Column("gpu_type", String(64)),
    Column("currency", String(8), nullable=False),
    Column("used_gpu_microseconds", BigInteger, nullable=False),
    Column("idle_gpu_microseconds", BigInteger, nullable=False),
    Index("ix_charge_activity_person", "user_name", "day"),
    sqlite_with_rowid=False,
)
"""GPU time of the same day that was used or idle."""

charge_rollup = Table(
    "charge_rollup",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False),
)
"""One row: up to which row of the ledger's chain the days know of what ended, and how often something else changed the past."""
