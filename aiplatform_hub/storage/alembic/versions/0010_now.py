"""What admins do with what runs and waits now: requests moved up, messages of stops, GPUs that are drained."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DEVICE_ID = sa.String(length=80).with_variant(sa.String(length=512), "postgresql")
_STANDS = sa.text("undone_at IS NULL")


def upgrade() -> None:
    """Make room for moves, messages and drains."""
    op.add_column("allocations", sa.Column("moved_up_at", sa.BigInteger(), nullable=True))
    op.add_column("allocations", sa.Column("stop_message", sa.Text(), nullable=True))
    op.add_column("gpu_devices", sa.Column("drained", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_table(
        "queue_moves",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("moved_by", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("overtaken", sa.JSON(), nullable=False),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name=op.f("fk_queue_moves_allocation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue_moves")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_queue_moves_standing", "queue_moves", ["allocation_id"], unique=True, sqlite_where=_STANDS, postgresql_where=_STANDS)
    op.create_table(
        "drains",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("target", _DEVICE_ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("drained_by", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('gpu', 'node')", name=op.f("ck_drains_known_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drains")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_drains_standing", "drains", ["kind", "target"], unique=True, sqlite_where=_STANDS, postgresql_where=_STANDS)


def downgrade() -> None:
    """Take it away; what was moved up has its usual place again, and what was drained is given out again."""
    # the version before does not know these kinds
    op.execute("DELETE FROM notification_deliveries WHERE notification_id IN (SELECT id FROM notifications WHERE kind IN ('stopped', 'withdrawn'))")
    op.execute("DELETE FROM notifications WHERE kind IN ('stopped', 'withdrawn')")
    op.drop_table("drains")
    op.drop_table("queue_moves")
    op.drop_column("gpu_devices", "drained")
    for column in ("stop_message", "moved_up_at"):
        op.drop_column("allocations", column)
