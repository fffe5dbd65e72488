"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

IS_OPEN = sa.text("state IN ('held', 'active')")


def upgrade() -> None:
    """Create every table."""
    _create_allocations()
    _index_allocations()
    _create_audit_events()
    _create_capacity_pools()
    _create_decisions()
    _create_grants()
    _create_heartbeats()
    _create_storage_usage()
    _create_allocation_events()
    _create_gpu_devices()
    _create_usage_intervals()
    _create_gpu_leases()


def downgrade() -> None:
    """Remove every table, those that refer to others first."""
    for table in (
        "gpu_leases",
        "usage_intervals",
        "gpu_devices",
        "allocation_events",
        "storage_usage",
        "heartbeats",
        "grants",
        "decisions",
        "capacity_pools",
        "audit_events",
        "allocations",
    ):
        op.drop_table(table)


def _create_allocations() -> None:
    op.create_table(
        "allocations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("user_name", sa.String(length=255), nullable=False),
        sa.Column("server_name", sa.String(length=255), nullable=False),
        sa.Column("spawner_id", sa.BigInteger(), nullable=True),
        sa.Column("environment_template", sa.String(length=64), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("gpu_type", sa.String(length=64), nullable=True),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("cpu_cores", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("cost_centre", sa.String(length=64), nullable=False),
        sa.Column("max_hours", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("devices", sa.JSON(), nullable=False),
        sa.Column("door", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("held_at", sa.BigInteger(), nullable=True),
        sa.Column("starting_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ready_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("end_cause", sa.String(length=32), nullable=True),
        sa.Column("estimated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("stop_requested_by", sa.String(length=255), nullable=True),
        sa.Column("stop_cause", sa.String(length=32), nullable=True),
        sa.Column("hub_instance", sa.String(length=64), nullable=True),
        sa.CheckConstraint("ended_at IS NULL OR held_at IS NULL OR ended_at >= held_at", name=op.f("ck_allocations_no_negative_hold")),
        sa.CheckConstraint("gpus >= 0", name=op.f("ck_allocations_gpus_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allocations")),
    )


def _index_allocations() -> None:
    op.create_index("ix_allocations_requested", "allocations", ["requested_at", "id"], unique=False)
    op.create_index("ix_allocations_user_requested", "allocations", ["user_id", "requested_at", "id"], unique=False)
    op.create_index(
        "uq_allocations_idempotency",
        "allocations",
        ["user_id", "idempotency_key"],
        unique=True,
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index("uq_allocations_open_server", "allocations", ["user_id", "server_name"], unique=True, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)
    op.create_index("uq_allocations_open_spawner", "allocations", ["spawner_id"], unique=True, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)


def _create_audit_events() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=512), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_events_at", "audit_events", ["at"], unique=False)


def _create_capacity_pools() -> None:
    op.create_table(
        "capacity_pools",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("cpu_cores", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_capacity_pools")),
    )


def _create_decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("error_code", sa.String(length=32), nullable=True),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_allocation_id"), "decisions", ["allocation_id"], unique=False)


def _create_grants() -> None:
    op.create_table(
        "grants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_name", sa.String(length=255), nullable=False),
        sa.Column("tier", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("granted_by", sa.String(length=255), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
    )
    op.create_index("ix_grants_user", "grants", ["user_name", "expires_at"], unique=False)


def _create_heartbeats() -> None:
    op.create_table(
        "heartbeats",
        sa.Column("process", sa.String(length=32), nullable=False),
        sa.Column("instance", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("process", name=op.f("pk_heartbeats")),
    )


def _create_storage_usage() -> None:
    op.create_table(
        "storage_usage",
        sa.Column("user_name", sa.String(length=255), nullable=False),
        sa.Column("storage_bytes", sa.BigInteger(), nullable=False),
        sa.Column("measured_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_name", name=op.f("pk_storage_usage")),
    )


def _create_allocation_events() -> None:
    op.create_table(
        "allocation_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=True),
        sa.Column("to_state", sa.String(length=16), nullable=False),
        sa.Column("cause", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name=op.f("fk_allocation_events_allocation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allocation_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_allocation_events_allocation", "allocation_events", ["allocation_id"], unique=False)


def _create_gpu_devices() -> None:
    op.create_table(
        "gpu_devices",
        sa.Column("uuid", sa.String(length=80), nullable=False),
        sa.Column("pool", sa.String(length=64), nullable=False),
        sa.Column("gpu_type", sa.String(length=64), nullable=False),
        sa.Column("product_name", sa.String(length=128), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("device_index", sa.Integer(), nullable=False),
        sa.Column("healthy", sa.Boolean(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["pool"], ["capacity_pools.name"], name=op.f("fk_gpu_devices_pool")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_gpu_devices")),
    )


def _create_usage_intervals() -> None:
    op.create_table(
        "usage_intervals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("user_name", sa.String(length=255), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("cost_centre", sa.String(length=64), nullable=False),
        sa.Column("environment_template", sa.String(length=64), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("gpu_type", sa.String(length=64), nullable=True),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("cpu_cores", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("end_cause", sa.String(length=32), nullable=True),
        sa.Column("estimated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("previous_hash", sa.String(length=64), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=True),
        sa.CheckConstraint("(ended_at IS NULL) = (hash IS NULL)", name=op.f("ck_usage_intervals_closed_rows_are_chained")),
        sa.CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name=op.f("ck_usage_intervals_not_negative")),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name=op.f("fk_usage_intervals_allocation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_intervals")),
    )
    op.create_index("ix_usage_intervals_allocation", "usage_intervals", ["allocation_id"], unique=False)
    op.create_index("ix_usage_intervals_ended", "usage_intervals", ["ended_at", "started_at"], unique=False)
    op.create_index("ix_usage_intervals_project_ended", "usage_intervals", ["project", "ended_at"], unique=False)
    op.create_index("ix_usage_intervals_user_ended", "usage_intervals", ["user_id", "ended_at"], unique=False)
    op.create_index(
        "uq_usage_intervals_open",
        "usage_intervals",
        ["allocation_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("uq_usage_intervals_sequence", "usage_intervals", ["sequence"], unique=True)


def _create_gpu_leases() -> None:
    op.create_table(
        "gpu_leases",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("device_uuid", sa.String(length=80), nullable=False),
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name=op.f("fk_gpu_leases_allocation_id")),
        sa.ForeignKeyConstraint(["device_uuid"], ["gpu_devices.uuid"], name=op.f("fk_gpu_leases_device_uuid")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gpu_leases")),
    )
    op.create_index("ix_gpu_leases_allocation", "gpu_leases", ["allocation_id"], unique=False)
    op.create_index(
        "uq_gpu_leases_open_device",
        "gpu_leases",
        ["device_uuid"],
        unique=True,
        sqlite_where=sa.text("released_at IS NULL"),
        postgresql_where=sa.text("released_at IS NULL"),
    )
