"""Budgets, how each stands in its period, and what sessions hold of them."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0014"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables, empty."""
    op.create_table(
        "budgets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("period", sa.String(8), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budgets")),
        sa.CheckConstraint("amount_micros > 0", name=op.f("ck_budgets_positive")),
        sa.CheckConstraint("ends_at IS NULL OR ends_at > starts_at", name=op.f("ck_budgets_not_empty")),
        sa.CheckConstraint("scope IN ('cost_centre', 'project', 'person')", name=op.f("ck_budgets_known_scope")),
        sa.CheckConstraint("period IN ('month', 'term', 'once')", name=op.f("ck_budgets_known_period")),
    )
    standing = sa.text("ended_at IS NULL")
    op.create_index("uq_budgets_standing", "budgets", ["scope", "name"], unique=True, sqlite_where=standing, postgresql_where=standing)
    op.create_table(
        "budget_periods",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("budget_id", sa.Uuid(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger()),
        sa.Column("limit_micros", sa.BigInteger(), nullable=False),
        sa.Column("committed_micros", sa.BigInteger(), nullable=False),
        sa.Column("held_micros", sa.BigInteger(), nullable=False),
        sa.Column("overdraft_micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_periods")),
        sa.ForeignKeyConstraint(["budget_id"], ["budgets.id"], name=op.f("fk_budget_periods_budget_id")),
        sa.CheckConstraint("committed_micros >= 0 AND held_micros >= 0 AND overdraft_micros >= 0", name=op.f("ck_budget_periods_not_negative")),
        sa.CheckConstraint("committed_micros + held_micros <= limit_micros + overdraft_micros", name=op.f("ck_budget_periods_within_limit")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_budget_periods_start", "budget_periods", ["budget_id", "starts_at"], unique=True)
    op.create_table(
        "budget_holds",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("period_id", sa.BigInteger(), nullable=False),
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("held_micros", sa.BigInteger(), nullable=False),
        sa.Column("committed_micros", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_holds")),
        sa.ForeignKeyConstraint(["period_id"], ["budget_periods.id"], name=op.f("fk_budget_holds_period_id")),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name=op.f("fk_budget_holds_allocation_id")),
        sa.CheckConstraint("held_micros >= 0 AND committed_micros >= 0", name=op.f("ck_budget_holds_not_negative")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_budget_holds_allocation", "budget_holds", ["allocation_id", "period_id"], unique=True)
    unsettled = sa.text("settled_at IS NULL")
    op.create_index("ix_budget_holds_open", "budget_holds", ["period_id"], sqlite_where=unsettled, postgresql_where=unsettled)


def downgrade() -> None:
    """Forget all budgets. Requests that one of them ended keep a cause that the earlier version knows."""
    op.execute("UPDATE allocations SET end_cause = 'never_fits' WHERE end_cause = 'budget_exhausted'")
    op.execute("UPDATE allocation_events SET cause = 'never_fits' WHERE cause = 'budget_exhausted'")
    op.drop_table("budget_holds")
    op.drop_table("budget_periods")
    op.drop_table("budgets")
