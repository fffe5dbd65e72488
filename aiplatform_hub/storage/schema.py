"""The tables. Instants are whole microseconds since the epoch, so that sums and comparisons are exact in every database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    text,
)

from aiplatform_hub.domain.units import from_microseconds, to_microseconds

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BigId = BigInteger().with_variant(Integer, "sqlite")
"""An identity column: SQLite only counts up plain INTEGER keys."""


DeviceId = String(80).with_variant(String(512), "postgresql")
"""Id of a GPU; a cluster's holds the name of its node, which may have 253 characters. SQLite does not count them."""


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as microseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:  # noqa: ARG002  SQLAlchemy's signature
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:  # noqa: ARG002  SQLAlchemy's signature
        return None if value is None else from_microseconds(int(value))


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


capacity_pools = Table(
    "capacity_pools",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("cpu_cores", Integer, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("place", String(16), nullable=False, server_default="machine"),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("node_shapes", JSON),
)
"""What a place (``machine`` or ``cluster``) has besides GPUs, and a number that changes with every change of its GPUs, and how large a cluster's nodes are; its one row ``machine`` is also what a decision locks on PostgreSQL."""

gpu_devices = Table(
    "gpu_devices",
    metadata,
    Column("uuid", DeviceId, primary_key=True),
    Column("pool", String(64), ForeignKey("capacity_pools.name"), nullable=False),
    Column("gpu_type", String(64), nullable=False),
    Column("product_name", String(128), nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("device_index", Integer, nullable=False),
    Column("healthy", Boolean, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("node", String(253)),
    Column("node_pool", String(64)),
    Column("present", Boolean, nullable=False, server_default=text("true")),
    Column("drained", Boolean, nullable=False, server_default=text("false")),
    Index("ix_gpu_devices_node", "node"),
)
"""GPUs of a machine, or slots of a cluster's nodes and of those that a node pool may still start; only ``present`` ones count."""

allocations = Table(
    "allocations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", BigInteger, nullable=False),
    Column("user_name", String(255), nullable=False),
    Column("server_name", String(255), nullable=False),
    Column("spawner_id", BigInteger),
    Column("environment_template", String(64), nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("gpu_type", String(64)),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("cpu_cores", Integer, nullable=False),
    Column("project", String(64), nullable=False),
    Column("cost_centre", String(64), nullable=False),
    Column("max_hours", Integer),
    Column("state", String(16), nullable=False),
    Column("devices", JSON, nullable=False),
    Column("door", String(16), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("idempotency_key", String(255)),
    Column("requested_at", Instant, nullable=False),
    Column("held_at", Instant),
    Column("starting_at", Instant),
    Column("started_at", Instant),
    Column("ready_at", Instant),
    Column("ended_at", Instant),
    Column("end_cause", String(32)),
    Column("estimated", Boolean, nullable=False, server_default=text("false")),
    Column("stop_requested_by", String(255)),
    Column("stop_cause", String(32)),
    Column("hub_instance", String(64)),
    Column("queued_at", Instant),
    Column("confirmed_at", Instant),
    Column("requeued", Integer, nullable=False, server_default=text("0")),
    Column("succeeds", Uuid),
    Column("must_end_at", Instant),
    Column("extended_until", Instant),
    Column("opened_at", Instant),
    Column("moved_up_at", Instant),
    Column("stop_message", Text),
    Column("tier", String(64)),
    CheckConstraint("gpus >= 0", name="gpus_not_negative"),
    CheckConstraint("ended_at IS NULL OR held_at IS NULL OR ended_at >= held_at", name="no_negative_hold"),
    Index("uq_allocations_live_server", "user_id", "server_name", unique=True, **_partial("state IN ('queued', 'held', 'active')")),
    Index("uq_allocations_open_spawner", "spawner_id", unique=True, **_partial("state IN ('held', 'active')")),
    Index("ix_allocations_queued", "queued_at", "id", **_partial("state = 'queued'")),
    Index("uq_allocations_idempotency", "user_id", "idempotency_key", unique=True, **_partial("idempotency_key IS NOT NULL")),
    Index("ix_allocations_user_requested", "user_id", "requested_at", "id"),
    Index("ix_allocations_name_requested", "user_name", "requested_at", "id"),
    Index("ix_allocations_requested", "requested_at", "id"),
)

gpu_leases = Table(
    "gpu_leases",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("device_uuid", DeviceId, ForeignKey("gpu_devices.uuid"), nullable=False),
    Column("allocation_id", Uuid, ForeignKey("allocations.id"), nullable=False),
    Column("released_at", Instant),
    Index("uq_gpu_leases_open_device", "device_uuid", unique=True, **_partial("released_at IS NULL")),
    Index("ix_gpu_leases_allocation", "allocation_id"),
)
"""Which allocation has which device; a device is in at most one open lease."""

decisions = Table(
    "decisions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("allocation_id", Uuid, nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("error_code", String(32)),
    Column("inputs", JSON, nullable=False),
    Column("reasons", JSON, nullable=False),
)
"""Each decision with its inputs as they were, so that *why* replays instead of guessing."""

decision_parts = Table(
    "decision_parts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("content", JSON, nullable=False),
    sqlite_autoincrement=True,
)
"""What many decisions saw alike: a session as it was, or all the GPUs of a cluster. Their inputs name its ids."""

allocation_events = Table(
    "allocation_events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("allocation_id", Uuid, ForeignKey("allocations.id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("from_state", String(16)),
    Column("to_state", String(16), nullable=False),
    Column("cause", String(32), nullable=False),
    Column("actor", String(255), nullable=False),
    Index("ix_allocation_events_allocation", "allocation_id"),
    sqlite_autoincrement=True,
)
"""Each transition; the ids are also the ids of server-sent events, so they are never reused."""

usage_intervals = Table(
    "usage_intervals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("allocation_id", Uuid, ForeignKey("allocations.id"), nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("user_name", String(255), nullable=False),
    Column("project", String(64), nullable=False),
    Column("cost_centre", String(64), nullable=False),
    Column("environment_template", String(64), nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("gpu_type", String(64)),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("cpu_cores", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("end_cause", String(32)),
    Column("estimated", Boolean, nullable=False, server_default=text("false")),
    Column("last_seen_at", Instant),
    Column("sequence", BigInteger),
    Column("previous_hash", String(64)),
    Column("hash", String(64)),
    CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name="not_negative"),
    CheckConstraint("(ended_at IS NULL) = (hash IS NULL)", name="closed_rows_are_chained"),
    Index("uq_usage_intervals_open", "allocation_id", unique=True, **_partial("ended_at IS NULL")),
    Index("uq_usage_intervals_sequence", "sequence", unique=True),
    Index("ix_usage_intervals_allocation", "allocation_id"),
    Index("ix_usage_intervals_ended", "ended_at", "started_at"),
    Index("ix_usage_intervals_user_ended", "user_id", "ended_at"),
    Index("ix_usage_intervals_name_ended", "user_name", "ended_at"),
    Index("ix_usage_intervals_project_ended", "project", "ended_at"),
)
"""The ledger: what really ran. Rows are chained by hash when they close, in close order."""

gpu_samples = Table(
    "gpu_samples",
    metadata,
    Column("device_uuid", DeviceId, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("utilisation_percent", Float, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
)
"""The last sample of each GPU."""

activity_intervals = Table(
    "activity_intervals",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("allocation_id", Uuid, ForeignKey("allocations.id"), nullable=False),
    Column("activity", String(8), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("last_seen_at", Instant, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("mean_utilisation_percent", Float),
    Column("max_memory_bytes", BigInteger),
    CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name="not_negative"),
    CheckConstraint("activity IN ('used', 'idle', 'unknown')", name="known_activity"),
    Index("uq_activity_intervals_open", "allocation_id", unique=True, **_partial("ended_at IS NULL")),
    Index("ix_activity_intervals_allocation", "allocation_id", "started_at"),
)
"""When the GPUs of a session were used, idle, or not known: half-open, one row for each change."""

gpu_minutes = Table(
    "gpu_minutes",
    metadata,
    Column("allocation_id", Uuid, ForeignKey("allocations.id"), primary_key=True),
    Column("at", Instant, primary_key=True),
    Column("device_uuid", DeviceId, primary_key=True),
    Column("samples", Integer, nullable=False),
    Column("mean_utilisation_percent", Float, nullable=False),
    Column("max_utilisation_percent", Float, nullable=False),
    Column("max_memory_bytes", BigInteger, nullable=False),
    Index("ix_gpu_minutes_at", "at"),
    sqlite_with_rowid=False,
)
"""What each GPU of a session did in each minute that begins at ``at``; minutes in which nobody looked are absent."""

session_minutes = Table(
    "session_minutes",
    metadata,
    Column("allocation_id", Uuid, ForeignKey("allocations.id"), primary_key=True),
    Column("at", Instant, primary_key=True),
    Column("cpu_cores", Float),
    Column("memory_bytes", BigInteger),
    Index("ix_session_minutes_at", "at"),
    sqlite_with_rowid=False,
)
"""How many cores a session kept busy in a minute, and the memory in use at its end; empty where it was not measured."""

notifications = Table(
    "notifications",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("key", String(128), nullable=False),
    Column("at", Instant, nullable=False),
    Column("user_name", String(255), nullable=False),
    Column("allocation_id", Uuid, ForeignKey("allocations.id")),
    Column("kind", String(32), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("dismissed_at", Instant),
    Index("uq_notifications_key", "key", unique=True),
    Index("ix_notifications_user", "user_name", "at"),
    sqlite_autoincrement=True,
)
"""What people are told; ``key`` keeps anything from being told twice."""

notification_deliveries = Table(
    "notification_deliveries",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("notification_id", BigInteger, ForeignKey("notifications.id"), nullable=False),
    Column("channel", String(64), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", Instant),
    Column("delivered_at", Instant),
    Column("error", Text),
    Index("uq_notification_deliveries_channel", "notification_id", "channel", unique=True),
    Index("ix_notification_deliveries_due", "next_at", **_partial("next_at IS NOT NULL")),
    sqlite_autoincrement=True,
)
"""Whether each channel has passed a notification on; ``next_at`` is empty once nothing is left to try."""

policies = Table(
    "policies",
    metadata,
    Column("version", BigId, primary_key=True, autoincrement=True),
    Column("applied_at", Instant, nullable=False),
    Column("applied_by", String(255), nullable=False),
    Column("document", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""Each policy that the queue has followed, as it was written; the highest version counts."""

launch_presets = Table(
    "launch_presets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Integer, nullable=False),
    Column("name", String(60), nullable=False),
    Column("options", JSON, nullable=False),
    Column("may_wait", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    Index("uq_launch_presets_name", "user_id", "name", unique=True, **_partial("deleted_at IS NULL")),
)
"""Choices of a launch that people keep under a name; a deleted one can be brought back for a while."""

queue_snapshots = Table(
    "queue_snapshots",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("entries", JSON, nullable=False),
    Index("ix_queue_snapshots_at", "at"),
    sqlite_autoincrement=True,
)
"""What the planner saw and found, for each pass that found something else than the one before, so that it can be replayed."""

clusters = Table(
    "clusters",
    metadata,
    Column("namespace_uid", String(64), primary_key=True),
    Column("namespace", String(253), nullable=False),
    Column("api_server", String(512), nullable=False),
    Column("is_home", Boolean, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Index("uq_clusters_home", "is_home", unique=True, **_partial("is_home")),
)
"""Clusters in which a keeper was started with this database: the one that it belongs to, and those where the keeper refused to act."""

queue_outlooks = Table(
    "queue_outlooks",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("outlook", JSON, nullable=False),
    Column("entries", JSON, nullable=False),
)
"""What the dispatcher knew and found in its last pass, in one row: for decisions in other processes, and for who asks why something waits."""

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("process", String(32), primary_key=True),
    Column("instance", String(64), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("at", Instant, nullable=False),
    Column("detail", JSON, nullable=False),
)
"""Last sign of life of hub, platform and keeper; ``detail`` holds what the admin page shows."""

grants = Table(
    "grants",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_name", String(255), nullable=False),
    Column("tier", String(64), nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("granted_by", String(255), nullable=False),
    Column("granted_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Index("ix_grants_user", "user_name", "expires_at"),
)
"""A tier given to one person until an instant (exclusive)."""

announcements = Table(
    "announcements",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("text", Text, nullable=False),
    Column("level", String(16), nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("is_maintenance", Boolean, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("withdrawn_at", Instant),
    CheckConstraint("ends_at > starts_at", name="not_empty"),
    CheckConstraint("level IN ('info', 'warning', 'critical')", name="known_level"),
    Index("ix_announcements_ends_at", "ends_at"),
    sqlite_autoincrement=True,
)
"""What admins tell everybody, from one instant until another (exclusive); none is ever deleted."""

hidden_allocations = Table(
    "hidden_allocations",
    metadata,
    Column("allocation_id", Uuid, ForeignKey("allocations.id"), primary_key=True),
    Column("hidden_at", Instant, nullable=False),
)
"""Ended sessions that their owners took off their own list; the ledger and every report keep them."""

storage_usage = Table(
    "storage_usage",
    metadata,
    Column("user_name", String(255), primary_key=True),
    Column("storage_bytes", BigInteger, nullable=False),
    Column("measured_at", Instant, nullable=False),
)

queue_moves = Table(
    "queue_moves",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("allocation_id", Uuid, ForeignKey("allocations.id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("moved_by", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("overtaken", JSON, nullable=False),
    Column("undone_at", Instant),
    Index("uq_queue_moves_standing", "allocation_id", unique=True, **_partial("undone_at IS NULL")),
    sqlite_autoincrement=True,
)
"""Requests that an admin moved to the front of the queue, with the ids of those that were before them."""

drains = Table(
    "drains",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("kind", String(8), nullable=False),
    Column("target", DeviceId, nullable=False),
    Column("at", Instant, nullable=False),
    Column("drained_by", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("undone_at", Instant),
    CheckConstraint("kind IN ('gpu', 'node')", name="known_kind"),
    Index("uq_drains_standing", "kind", "target", unique=True, **_partial("undone_at IS NULL")),
    sqlite_autoincrement=True,
)
"""GPUs, and whole nodes, on which nothing new starts."""

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(512), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("detail", JSON, nullable=False),
    Index("ix_audit_events_at", "at"),
    sqlite_autoincrement=True,
)
"""Privileged and refused acts."""

push_subscriptions = Table(
    "push_subscriptions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_name", String(255), nullable=False),
    Column("endpoint", String(1024), nullable=False),
    Column("p256dh", String(128), nullable=False),
    Column("auth", String(64), nullable=False),
    Column("browser", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("delivered_at", Instant),
    Index("uq_push_subscriptions_endpoint", "endpoint", unique=True),
    Index("ix_push_subscriptions_user", "user_name"),
)
"""Browsers that are told by push; whoever knows an endpoint can write to its browser."""
