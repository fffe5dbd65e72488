"""Allocations that wait for their turn."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_IS_OPEN = sa.text("state IN ('held', 'active')")
_IS_LIVE = sa.text("state IN ('queued', 'held', 'active')")
_IS_QUEUED = sa.text("state = 'queued'")
_NEW_CAUSES = ("interest_expired", "owner_gone", "template_removed", "project_closed", "not_allowed", "options_refused", "never_fits")
"""What the version before does not know."""
_FORGET_CAUSES = "UPDATE allocations SET end_cause = 'hold_expired' WHERE end_cause IN ({causes})".format(  # noqa: S608  constants
    causes=", ".join(f"'{cause}'" for cause in _NEW_CAUSES)
)
_LEAVE = "UPDATE allocations SET state = 'withdrawn', ended_at = queued_at, end_cause = 'stopped', devices = '[]' WHERE state = 'queued'"


def upgrade() -> None:
    """Keep what a waiting request needs; a server has at most one allocation that waits, is held or runs."""
    op.add_column("allocations", sa.Column("queued_at", sa.BigInteger(), nullable=True))
    op.add_column("allocations", sa.Column("confirmed_at", sa.BigInteger(), nullable=True))
    op.add_column("allocations", sa.Column("requeued", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("allocations", sa.Column("succeeds", sa.Uuid(), nullable=True))
    op.add_column("allocations", sa.Column("must_end_at", sa.BigInteger(), nullable=True))
    op.drop_index("uq_allocations_open_server", table_name="allocations")
    op.create_index("uq_allocations_live_server", "allocations", ["user_id", "server_name"], unique=True, sqlite_where=_IS_LIVE, postgresql_where=_IS_LIVE)
    op.create_index("ix_allocations_queued", "allocations", ["queued_at", "id"], unique=False, sqlite_where=_IS_QUEUED, postgresql_where=_IS_QUEUED)
    op.create_table(
        "queue_outlooks",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("outlook", sa.JSON(), nullable=False),
        sa.Column("entries", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_queue_outlooks")),
    )


def downgrade() -> None:
    """Send away who waits: the version before starts nobody out of a queue."""
    op.execute(_LEAVE)
    op.execute(_FORGET_CAUSES)
    op.drop_table("queue_outlooks")
    op.drop_index("ix_allocations_queued", table_name="allocations")
    op.drop_index("uq_allocations_live_server", table_name="allocations")
    op.create_index("uq_allocations_open_server", "allocations", ["user_id", "server_name"], unique=True, sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN)
    for column in ("must_end_at", "succeeds", "requeued", "confirmed_at", "queued_at"):
        op.drop_column("allocations", column)
