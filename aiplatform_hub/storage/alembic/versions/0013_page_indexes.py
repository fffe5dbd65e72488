"""A person's rows are found by their name, as pages and reports ask for them."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index them; with a million rows this takes seconds."""
    op.create_index("ix_allocations_name_requested", "allocations", ["user_name", "requested_at", "id"])
    op.create_index("ix_usage_intervals_name_ended", "usage_intervals", ["user_name", "ended_at"])


def downgrade() -> None:
    """Read all rows again."""
    op.drop_index("ix_usage_intervals_name_ended", "usage_intervals")
    op.drop_index("ix_allocations_name_requested", "allocations")
