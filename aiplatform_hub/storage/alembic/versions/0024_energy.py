"""The energy that GPUs took: what each said last, and what sessions took day by day."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, empty: of what ran before nothing is known."""
    op.create_table(
        "gpu_energy_readings",
        sa.Column("device_uuid", sa.String(length=80).with_variant(sa.String(length=512), "postgresql"), nullable=False),
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("counter_millijoules", sa.BigInteger(), nullable=True),
        sa.Column("power_milliwatts", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("device_uuid", name=op.f("pk_gpu_energy_readings")),
    )
    op.create_table(
        "session_energy",
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("millijoules", sa.BigInteger(), nullable=False),
        sa.Column("known_microseconds", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("millijoules >= 0 AND known_microseconds >= 0", name=op.f("ck_session_energy_not_negative")),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name=op.f("fk_session_energy_allocation_id")),
        sa.PrimaryKeyConstraint("allocation_id", "day", name=op.f("pk_session_energy")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_session_energy_day", "session_energy", ["day"])


def downgrade() -> None:
    """Forget what was measured."""
    op.drop_table("session_energy")
    op.drop_table("gpu_energy_readings")
