"""What admins tell everybody, and which ended sessions their owners do not want to see."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "announcements",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("is_maintenance", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_announcements_not_empty")),
        sa.CheckConstraint("level IN ('info', 'warning', 'critical')", name=op.f("ck_announcements_known_level")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcements")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_announcements_ends_at", "announcements", ["ends_at"], unique=False)
    op.create_table(
        "hidden_allocations",
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("hidden_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name=op.f("fk_hidden_allocations_allocation_id")),
        sa.PrimaryKeyConstraint("allocation_id", name=op.f("pk_hidden_allocations")),
    )


def downgrade() -> None:
    """Take them away; nothing is told and everything is shown again."""
    op.drop_table("hidden_allocations")
    op.drop_table("announcements")
