"""Samples of people's storage, one for each person and day, which are never written again."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0019"
branch_labels = None
depends_on = None

_EVENTS = {"UPDATE": "a sample of storage never changes", "DELETE": "a sample of storage never goes"}


def upgrade() -> None:
    """Make the table, empty, and the triggers that keep its rows."""
    op.create_table(
        "storage_samples",
        sa.Column("user_name", sa.String(length=255), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("measured_at", sa.BigInteger(), nullable=False),
        sa.Column("storage_bytes", sa.BigInteger(), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("cost_centre", sa.String(length=64), nullable=False),
        sa.CheckConstraint("storage_bytes >= 0", name=op.f("ck_storage_samples_not_negative")),
        sa.CheckConstraint("day % 86400000000 = 0", name=op.f("ck_storage_samples_whole_days")),
        sa.CheckConstraint("measured_at >= day AND measured_at < day + 86400000000", name=op.f("ck_storage_samples_of_their_day")),
        sa.PrimaryKeyConstraint("user_name", "day", name=op.f("pk_storage_samples")),
    )
    op.create_index("ix_storage_samples_day", "storage_samples", ["day"])
    for event, why in _EVENTS.items():
        trigger = f"storage_samples_keep_{event.lower()}"
        if op.get_bind().dialect.name == "sqlite":
            op.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON storage_samples BEGIN SELECT RAISE(ABORT, '{why}'); END")
            continue
        body = f"BEGIN RAISE EXCEPTION '{why}' USING ERRCODE = 'check_violation'; END"
        op.execute(f"CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        op.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON storage_samples FOR EACH ROW EXECUTE FUNCTION {trigger}()")


def downgrade() -> None:
    """Forget every sample: what their days cost is charged no more."""
    op.drop_table("storage_samples")
    if op.get_bind().dialect.name != "sqlite":
        for event in _EVENTS:
            op.execute(f"DROP FUNCTION storage_samples_keep_{event.lower()}()")
