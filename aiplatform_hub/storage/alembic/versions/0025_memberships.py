"""Who belongs to which project from when until when."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0016"
branch_labels = None
depends_on = None

_FIXED = ("id", "user_name", "project", "starts_at", "ends_at", "reason", "added_by", "added_at")
_CHANGED = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _FIXED)
_RULES = (
    ("update", "UPDATE", f"OLD.ended_at IS NOT NULL OR NEW.ended_at IS NULL OR {_CHANGED}", "a membership is ended once and never changes otherwise"),
    ("delete", "DELETE", "OLD.id = OLD.id", "a membership never goes"),
)
"""Name, event, condition of what is refused, and why."""


def upgrade() -> None:
    """Add the table, and the triggers that keep its rows."""
    op.create_table(
        "memberships",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_name", sa.String(length=255), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("added_by", sa.String(length=255), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(length=255), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memberships")),
        sa.CheckConstraint("ends_at IS NULL OR ends_at > starts_at", name=op.f("ck_memberships_not_empty")),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name=op.f("ck_memberships_ended_by_somebody")),
    )
    op.create_index("ix_memberships_user_name", "memberships", ["user_name"])
    op.create_index("ix_memberships_project", "memberships", ["project"])
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for name, event, condition, why in _RULES:
        trigger = f"memberships_keep_{name}"
        if is_sqlite:
            op.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON memberships WHEN {condition} BEGIN SELECT RAISE(ABORT, '{why}'); END")
            continue
        refuse = f"IF {condition} THEN RAISE EXCEPTION '{why}' USING ERRCODE = 'check_violation'; END IF"
        body = f"BEGIN {refuse}; RETURN {'OLD' if event == 'DELETE' else 'NEW'}; END"
        op.execute(f"CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        op.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON memberships FOR EACH ROW EXECUTE FUNCTION {trigger}()")


def downgrade() -> None:
    """Forget all memberships: people belong to projects through their groups alone."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        for name, *_ in _RULES:
            op.execute(f"DROP TRIGGER memberships_keep_{name}")
    op.drop_table("memberships")
    if not is_sqlite:
        for name, *_ in _RULES:
            op.execute(f"DROP FUNCTION memberships_keep_{name}()")
