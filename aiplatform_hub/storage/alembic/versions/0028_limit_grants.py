"""Limits of a person or a group, raised until an instant."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "limit_grants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("dimension", sa.String(length=64), nullable=False),
        sa.Column("gpu_type", sa.String(length=64), nullable=True),
        sa.Column("window_days", sa.Integer(), nullable=True),
        sa.Column("amount", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("granted_by", sa.String(length=255), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limit_grants")),
        sa.CheckConstraint("scope IN ('user', 'group')", name=op.f("ck_limit_grants_known_scope")),
        sa.CheckConstraint("expires_at > granted_at", name=op.f("ck_limit_grants_not_empty")),
    )
    op.create_index("ix_limit_grants_name", "limit_grants", ["scope", "name", "expires_at"])
    op.create_index("ix_limit_grants_expires", "limit_grants", ["expires_at"])


def downgrade() -> None:
    """Forget all raised limits: those of tiers count alone."""
    op.drop_table("limit_grants")
