"""How many GPUs could be used over time, and who wants no monthly mail."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_EVENTS = ("UPDATE", "DELETE")


def upgrade() -> None:
    """Make the tables, empty, and let rows of capacity only be added."""
    op.create_table(
        "capacity_changes",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("gpu_type", sa.String(64), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capacity_changes")),
        sa.CheckConstraint("gpus >= 0", name=op.f("ck_capacity_changes_not_negative")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_capacity_changes_gpu_type", "capacity_changes", ["gpu_type", "at", "id"])
    op.create_table(
        "showback_opt_outs",
        sa.Column("user_name", sa.String(255), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_name", name=op.f("pk_showback_opt_outs")),
    )
    why = "what could be used stays as it was recorded"
    if op.get_bind().dialect.name == "sqlite":
        for event in _EVENTS:
            op.execute(f"CREATE TRIGGER capacity_changes_keep_{event.lower()} BEFORE {event} ON capacity_changes BEGIN SELECT RAISE(ABORT, '{why}'); END")
        return
    body = f"BEGIN RAISE EXCEPTION '{why}' USING ERRCODE = 'check_violation'; END"
    op.execute(f"CREATE FUNCTION capacity_changes_keep() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
    op.execute("CREATE TRIGGER capacity_changes_keep BEFORE UPDATE OR DELETE ON capacity_changes FOR EACH ROW EXECUTE FUNCTION capacity_changes_keep()")


def downgrade() -> None:
    """Forget what could be used, and who wants no mail."""
    op.drop_table("showback_opt_outs")
    op.drop_table("capacity_changes")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION capacity_changes_keep()")
