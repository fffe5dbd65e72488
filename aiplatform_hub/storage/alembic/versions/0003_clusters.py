"""Which cluster the database belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Remember the clusters in which a keeper was started."""
    op.create_table(
        "clusters",
        sa.Column("namespace_uid", sa.String(length=64), nullable=False),
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("api_server", sa.String(length=512), nullable=False),
        sa.Column("is_home", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("namespace_uid", name=op.f("pk_clusters")),
    )
    home = sa.text("is_home")
    op.create_index("uq_clusters_home", "clusters", ["is_home"], unique=True, sqlite_where=home, postgresql_where=home)


def downgrade() -> None:
    """Forget them."""
    op.drop_table("clusters")
