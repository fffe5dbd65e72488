"""What budgets count beside sessions where they were launched: moves, storage, and what credits paid."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0028"
branch_labels = None
depends_on = None

_AMOUNTS = ("session_micros", "moved_micros", "storage_micros", "credit_micros")


def upgrade() -> None:
    """Until now all that was committed was of sessions; the rest is counted at the keeper's next look."""
    for name in _AMOUNTS:
        op.add_column("budget_periods", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("budget_periods", sa.Column("followed_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE budget_periods SET session_micros = committed_micros")


def downgrade() -> None:
    """Count sessions where they were launched, and nothing else, as before."""
    op.execute("UPDATE budget_periods SET overdraft_micros = 0, committed_micros = session_micros WHERE session_micros + held_micros <= limit_micros")
    op.execute(
        "UPDATE budget_periods SET overdraft_micros = session_micros + held_micros - limit_micros, committed_micros = session_micros"
        " WHERE session_micros + held_micros > limit_micros"
    )
    op.drop_column("budget_periods", "followed_at")
    for name in reversed(_AMOUNTS):
        op.drop_column("budget_periods", name)
