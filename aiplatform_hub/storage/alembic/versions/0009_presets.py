"""Choices of a launch that people keep under a name."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_IS_THERE = sa.text("deleted_at IS NULL")


def upgrade() -> None:
    """Make room for them."""
    op.create_table(
        "launch_presets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("may_wait", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_launch_presets")),
    )
    op.create_index("uq_launch_presets_name", "launch_presets", ["user_id", "name"], unique=True, sqlite_where=_IS_THERE, postgresql_where=_IS_THERE)


def downgrade() -> None:
    """Take it away."""
    op.drop_table("launch_presets")
