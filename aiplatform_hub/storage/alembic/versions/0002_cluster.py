"""Nodes and node pools of GPUs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_IDS = (("gpu_devices", "uuid"), ("gpu_leases", "device_uuid"))


def upgrade() -> None:
    """Say of each GPU which node has it and whether it is there."""
    op.add_column("gpu_devices", sa.Column("node", sa.String(length=253), nullable=True))
    op.add_column("gpu_devices", sa.Column("node_pool", sa.String(length=64), nullable=True))
    op.add_column("gpu_devices", sa.Column("present", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.create_index("ix_gpu_devices_node", "gpu_devices", ["node"], unique=False)
    op.add_column("capacity_pools", sa.Column("place", sa.String(length=16), server_default="machine", nullable=False))
    op.add_column("capacity_pools", sa.Column("version", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    if op.get_bind().dialect.name == "postgresql":  # SQLite does not count characters
        for table, column in _IDS:
            op.alter_column(table, column, type_=sa.String(length=512), existing_type=sa.String(length=80), existing_nullable=False)


def downgrade() -> None:
    """Forget it again. Ids keep their room: in a narrower column those of a cluster would not fit."""
    op.drop_column("capacity_pools", "version")
    op.drop_column("capacity_pools", "place")
    op.drop_index("ix_gpu_devices_node", table_name="gpu_devices")
    for column in ("present", "node_pool", "node"):
        op.drop_column("gpu_devices", column)
