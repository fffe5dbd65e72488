"""What many decisions saw alike, stored once."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, empty: older decisions hold everything that they saw."""
    op.create_table(
        "decision_parts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision_parts")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Forget what decisions name: those beside many sessions cannot be replayed any more."""
    op.drop_table("decision_parts")
