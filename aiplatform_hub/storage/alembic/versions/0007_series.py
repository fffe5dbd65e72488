"""What sessions did, minute by minute."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_DEVICE_ID = sa.String(length=80).with_variant(sa.String(length=512), "postgresql")


def upgrade() -> None:
    """Make room for the minutes of GPUs and of sessions; what ran before has none."""
    op.create_table(
        "gpu_minutes",
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("device_uuid", _DEVICE_ID, nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("mean_utilisation_percent", sa.Float(), nullable=False),
        sa.Column("max_utilisation_percent", sa.Float(), nullable=False),
        sa.Column("max_memory_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name=op.f("fk_gpu_minutes_allocation_id")),
        sa.PrimaryKeyConstraint("allocation_id", "at", "device_uuid", name=op.f("pk_gpu_minutes")),
    )
    op.create_index("ix_gpu_minutes_at", "gpu_minutes", ["at"], unique=False)
    op.create_table(
        "session_minutes",
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cpu_cores", sa.Float(), nullable=True),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name=op.f("fk_session_minutes_allocation_id")),
        sa.PrimaryKeyConstraint("allocation_id", "at", name=op.f("pk_session_minutes")),
    )
    op.create_index("ix_session_minutes_at", "session_minutes", ["at"], unique=False)


def downgrade() -> None:
    """Forget them."""
    for table in ("session_minutes", "gpu_minutes"):
        op.drop_table(table)
