"""Disputes of lines of invoices: what was said, which never changes."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0023"
branch_labels = None
depends_on = None

_TABLES = ("dispute_entries", "invoice_disputes")
_TRIGGERS = tuple((table, event) for table in _TABLES for event in ("update", "delete"))


def upgrade() -> None:
    """Add the tables, and triggers that refuse changes."""
    op.create_table(
        "invoice_disputes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id", "position"], ["invoice_lines.invoice_id", "invoice_lines.position"], name="fk_invoice_disputes_line"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_disputes")),
    )
    op.create_index("ix_invoice_disputes_line", "invoice_disputes", ["invoice_id", "position"])
    op.create_table(
        "dispute_entries",
        sa.Column("dispute_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("by", sa.String(length=255), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('opened', 'replied', 'answered', 'withdrawn')", name=op.f("ck_dispute_entries_known_kind")),
        sa.CheckConstraint("(number = 1) = (kind = 'opened')", name=op.f("ck_dispute_entries_opened_first")),
        sa.ForeignKeyConstraint(["dispute_id"], ["invoice_disputes.id"], name=op.f("fk_dispute_entries_dispute_id")),
        sa.PrimaryKeyConstraint("dispute_id", "number", name=op.f("pk_dispute_entries")),
    )
    op.create_index("ix_dispute_entries_at", "dispute_entries", ["at"])
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table, event in _TRIGGERS:
        name, why = f"{table}_keep_{event}", "what was said in a dispute stays"
        if is_sqlite:
            op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, '{why}'); END")
            continue
        body = f"BEGIN RAISE EXCEPTION '{why}' USING ERRCODE = 'check_violation'; END"
        op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")


def downgrade() -> None:
    """Forget every dispute, and the notices of them, which the earlier version does not know."""
    op.execute("DELETE FROM notification_deliveries WHERE notification_id IN (SELECT id FROM notifications WHERE kind LIKE 'dispute%')")
    op.execute("DELETE FROM notifications WHERE kind LIKE 'dispute%'")
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table in _TABLES:
        op.drop_table(table)  # with its triggers
    if not is_sqlite:
        for table, event in _TRIGGERS:
            op.execute(f"DROP FUNCTION {table}_keep_{event}()")
