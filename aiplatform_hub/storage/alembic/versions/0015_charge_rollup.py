"""Sums of what closed days were charged."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, empty; the keeper fills them."""
    op.create_table(
        "charge_days",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("open_intervals", sa.Integer(), nullable=False),
        sa.Column("cards", sa.String(64), nullable=False),
        sa.Column("built_at", sa.BigInteger(), nullable=False),
        sa.Column("is_stale", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("day % 86400000000 = 0", name=op.f("ck_charge_days_whole")),
        sa.CheckConstraint("built_at >= day + 86400000000", name=op.f("ck_charge_days_over")),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_charge_days")),
    )
    op.create_table(
        "charge_sums",
        *_group(),
        sa.Column("sku", sa.String(32), nullable=False),
        sa.Column("list_price", sa.String(64), nullable=False),
        sa.Column("price", sa.String(64), nullable=False),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("rate_card", sa.String(64), nullable=False),
        sa.Column("period_microseconds", sa.BigInteger(), nullable=False),
        sa.Column("unit_microseconds", sa.BigInteger(), nullable=False),
        sa.Column("session_microseconds", sa.BigInteger(), nullable=False),
        sa.Column("estimated_microseconds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("by_person", "day", "number", name=op.f("pk_charge_sums")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "charge_activity",
        *_group(),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("used_gpu_microseconds", sa.BigInteger(), nullable=False),
        sa.Column("idle_gpu_microseconds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("by_person", "day", "number", name=op.f("pk_charge_activity")),
        sqlite_with_rowid=False,
    )
    for table in ("charge_sums", "charge_activity"):
        op.create_index(f"ix_{table}_person", table, ["user_name", "day"])
    op.create_table(
        "charge_rollup",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_charge_rollup")),
    )
    op.execute("INSERT INTO charge_rollup (name, sequence, changes) VALUES ('ledger', 0, 0)")


def _group() -> list[sa.Column[Any]]:
    return [
        sa.Column("by_person", sa.Boolean(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cost_centre", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("user_name", sa.String(255), nullable=False),
        sa.Column("environment_template", sa.String(64), nullable=False),
        sa.Column("gpu_type", sa.String(64), nullable=True),
    ]


def downgrade() -> None:
    """Take them away; nothing is lost, for all of it can be computed again."""
    for table in ("charge_rollup", "charge_activity", "charge_sums", "charge_days"):
        op.drop_table(table)
