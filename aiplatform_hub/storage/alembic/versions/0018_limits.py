"""Soft limits of budgets, what a spent one does, and what was spent on each of the last days."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give every budget the usual soft limits; what runs when it is spent goes on, as before."""
    op.add_column("budgets", sa.Column("soft_percents", sa.String(length=32), server_default="80,95", nullable=False))
    op.add_column("budgets", sa.Column("at_limit", sa.String(length=16), server_default="let_finish", nullable=False))
    op.add_column("budgets", sa.Column("grace_seconds", sa.Integer(), server_default=sa.text("1800"), nullable=False))
    op.add_column("budgets", sa.Column("earlier_counted_at", sa.BigInteger(), nullable=True))
    op.add_column("budget_periods", sa.Column("told_percent", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("budget_periods", sa.Column("spent_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "budget_days",
        sa.Column("budget_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("spent_micros", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["budget_id"], ["budgets.id"], name=op.f("fk_budget_days_budget_id")),
        sa.PrimaryKeyConstraint("budget_id", "day", name=op.f("pk_budget_days")),
    )


def downgrade() -> None:
    """Forget them: nobody is told, and nothing is stopped, as before."""
    op.drop_table("budget_days")
    for column in ("spent_at", "told_percent"):
        op.drop_column("budget_periods", column)
    for column in ("earlier_counted_at", "grace_seconds", "at_limit", "soft_percents"):
        op.drop_column("budgets", column)
