"""How large the nodes of a cluster are."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Store the largest nodes beside the sums; the keeper fills it in within seconds."""
    op.add_column("capacity_pools", sa.Column("node_shapes", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Forget them."""
    op.drop_column("capacity_pools", "node_shapes")
