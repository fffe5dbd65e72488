"""Tables of what there was to use, and of who wants no monthly mail."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, String, Table

from aiplatform_hub.storage.schema import BigId, Instant, metadata

capacity_changes = Table(
    "capacity_changes",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("gpu_type", String(64), nullable=False),
    Column("gpus", Integer, nullable=False),
    CheckConstraint("gpus >= 0", name="not_negative"),
    Index("ix_capacity_changes_gpu_type", "gpu_type", "at", "id"),
    sqlite_autoincrement=True,
)
"""From an instant on a place has so many usable GPUs of a type. Rows are added, never changed or deleted: triggers of revision 0021 refuse it."""

showback_opt_outs = Table(
    "showback_opt_outs",
    metadata,
    Column("user_name", String(255), primary_key=True),
    Column("at", Instant, nullable=False),
)
"""Who wants no monthly mail about the projects that they lead, and since when."""
