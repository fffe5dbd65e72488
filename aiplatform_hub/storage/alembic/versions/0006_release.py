"""GPUs that are given back: what they do, who is told, by which policy."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DEVICE_ID = sa.String(length=80).with_variant(sa.String(length=512), "postgresql")
_IS_OPEN = sa.text("ended_at IS NULL")
_IS_DUE = sa.text("next_at IS NOT NULL")
_NEW_CAUSES = ("idle", "session_cap", "class_begins", "not_opened")
"""What the version before does not know."""
_FORGET_CAUSES = "UPDATE {table} SET end_cause = 'culled' WHERE end_cause IN ({causes})"
_LISTED = ", ".join(f"'{cause}'" for cause in _NEW_CAUSES)


def upgrade() -> None:
    """Make room for activity, notifications, policies and snapshots of the queue."""
    op.add_column("allocations", sa.Column("extended_until", sa.BigInteger(), nullable=True))
    op.add_column("allocations", sa.Column("opened_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "gpu_samples",
        sa.Column("device_uuid", _DEVICE_ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("utilisation_percent", sa.Float(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("device_uuid", name=op.f("pk_gpu_samples")),
    )
    op.create_table(
        "activity_intervals",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("activity", sa.String(length=8), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("mean_utilisation_percent", sa.Float(), nullable=True),
        sa.Column("max_memory_bytes", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name=op.f("ck_activity_intervals_not_negative")),
        sa.CheckConstraint("activity IN ('used', 'idle', 'unknown')", name=op.f("ck_activity_intervals_known_activity")),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name=op.f("fk_activity_intervals_allocation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity_intervals")),
    )
    op.create_index("uq_activity_intervals_open", "activity_intervals", ["allocation_id"], unique=True, sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN)
    op.create_index("ix_activity_intervals_allocation", "activity_intervals", ["allocation_id", "started_at"], unique=False)
    op.create_table(
        "notifications",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("user_name", sa.String(length=255), nullable=False),
        sa.Column("allocation_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("dismissed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name=op.f("fk_notifications_allocation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_notifications_key", "notifications", ["key"], unique=True)
    op.create_index("ix_notifications_user", "notifications", ["user_name", "at"], unique=False)
    op.create_table(
        "notification_deliveries",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("notification_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["notification_id"], ["notifications.id"], name=op.f("fk_notification_deliveries_notification_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_deliveries")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_notification_deliveries_channel", "notification_deliveries", ["notification_id", "channel"], unique=True)
    op.create_index("ix_notification_deliveries_due", "notification_deliveries", ["next_at"], unique=False, sqlite_where=_IS_DUE, postgresql_where=_IS_DUE)
    op.create_table(
        "policies",
        sa.Column("version", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("applied_at", sa.BigInteger(), nullable=False),
        sa.Column("applied_by", sa.String(length=255), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_policies")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "queue_snapshots",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("entries", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue_snapshots")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_queue_snapshots_at", "queue_snapshots", ["at"], unique=False)


def downgrade() -> None:
    """Take it away; sessions that were released count as culled."""
    op.execute(_FORGET_CAUSES.format(table="allocations", causes=_LISTED))
    for table in ("queue_snapshots", "policies", "notification_deliveries", "notifications", "activity_intervals", "gpu_samples"):
        op.drop_table(table)
    for column in ("opened_at", "extended_until"):
        op.drop_column("allocations", column)
