"""Sessions that are charged to another project than they were metered for."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0024"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LAST = "(SELECT COALESCE(MAX(number), 0) FROM session_moves WHERE allocation_id = NEW.allocation_id)"
_BEFORE = "SELECT 1 FROM session_moves AS m WHERE m.allocation_id = NEW.allocation_id AND m.number = NEW.number - 1"
_ELSEWHERE = "(m.to_project <> NEW.from_project OR m.to_cost_centre <> NEW.from_cost_centre)"
_RULES = (
    ("insert", "INSERT", f"NEW.number <> {_LAST} + 1 OR EXISTS ({_BEFORE} AND {_ELSEWHERE})", "a move begins where the one before ended"),
    ("update", "UPDATE", "NEW.id = NEW.id", "a move never changes"),
    ("delete", "DELETE", "OLD.id = OLD.id", "a move never goes"),
)
"""Name, event, condition of what is refused, and why."""


def upgrade() -> None:
    """Add the table, and the triggers that keep its rows as they are."""
    op.create_table(
        "session_moves",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("from_project", sa.String(length=64), nullable=False),
        sa.Column("from_cost_centre", sa.String(length=64), nullable=False),
        sa.Column("to_project", sa.String(length=64), nullable=False),
        sa.Column("to_cost_centre", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("moved_by", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_moves")),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocations.id"], name=op.f("fk_session_moves_allocation_id")),
        sa.CheckConstraint("from_project <> to_project OR from_cost_centre <> to_cost_centre", name=op.f("ck_session_moves_goes_elsewhere")),
        sa.CheckConstraint("number >= 1", name=op.f("ck_session_moves_counted_from_one")),
        sa.CheckConstraint("ended_at >= started_at AND at >= ended_at", name=op.f("ck_session_moves_of_what_is_over")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_session_moves_number", "session_moves", ["allocation_id", "number"], unique=True)
    op.create_index("ix_session_moves_span", "session_moves", ["ended_at", "started_at"])
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for name, event, condition, why in _RULES:
        trigger = f"session_moves_keep_{name}"
        if is_sqlite:
            op.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON session_moves WHEN {condition} BEGIN SELECT RAISE(ABORT, '{why}'); END")
            continue
        refuse = f"IF {condition} THEN RAISE EXCEPTION '{why}' USING ERRCODE = 'check_violation'; END IF"
        body = f"BEGIN {refuse}; RETURN {'OLD' if event == 'DELETE' else 'NEW'}; END"
        op.execute(f"CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        op.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON session_moves FOR EACH ROW EXECUTE FUNCTION {trigger}()")


def downgrade() -> None:
    """Forget all moves: every session is charged to the project that it was metered for again."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        for name, *_ in _RULES:
            op.execute(f"DROP TRIGGER session_moves_keep_{name}")
    op.drop_table("session_moves")
    if not is_sqlite:
        for name, *_ in _RULES:
            op.execute(f"DROP FUNCTION session_moves_keep_{name}()")
