"""Invoices with their lines and numbers, and what the accounting is told of them."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = ("invoice_outbox", "invoice_numbers", "invoice_lines", "invoices")

_FIXED = (
    "id",
    "kind",
    "legal_entity",
    "cost_centre",
    "currency",
    "period_start",
    "period_end",
    "net",
    "tax",
    "document",
    "drafted_at",
    "number",
    "issued_at",
    "issued_by",
    "credits",
)
_CHANGED = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _FIXED)
_STEPS = "(OLD.state = 'issued' AND NEW.state IN ('issued', 'paid', 'void')) OR (OLD.state = 'paid' AND NEW.state IN ('paid', 'void'))"
_OF_ISSUED = "(SELECT number FROM invoices WHERE id = {row}.invoice_id) IS NOT NULL"
_RULES = (
    ("invoices", "update", "UPDATE", f"OLD.number IS NOT NULL AND ({_CHANGED} OR NOT ({_STEPS}))", "an issued invoice never changes"),
    ("invoices", "delete", "DELETE", "OLD.number IS NOT NULL", "an issued invoice never goes"),
    ("invoice_lines", "insert", "INSERT", _OF_ISSUED.format(row="NEW"), "an issued invoice gets no further lines"),
    ("invoice_lines", "update", "UPDATE", f"{_OF_ISSUED.format(row='OLD')} OR {_OF_ISSUED.format(row='NEW')}", "lines of an issued invoice never change"),
    ("invoice_lines", "delete", "DELETE", _OF_ISSUED.format(row="OLD"), "lines of an issued invoice never go"),
    ("invoice_numbers", "update", "UPDATE", "NEW.last <> OLD.last + 1", "no invoice number is left out or given again"),
    ("invoice_numbers", "delete", "DELETE", "OLD.last > 0", "given invoice numbers never go"),
)
"""Table, name, event, condition of what is refused, and why."""


def upgrade() -> None:
    """Add the tables and the triggers that keep issued invoices as they are."""
    _create_invoices()
    _create_lines_and_numbers()
    _create_outbox()
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table, name, event, condition, why in _RULES:
        trigger = f"{table}_keep_{name}"
        if is_sqlite:
            op.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{why}'); END")
            continue
        refuse = f"IF {condition} THEN RAISE EXCEPTION '{why}' USING ERRCODE = 'check_violation'; END IF"
        body = f"BEGIN {refuse}; RETURN {'OLD' if event == 'DELETE' else 'NEW'}; END"
        op.execute(f"CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        op.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {trigger}()")


def _create_invoices() -> None:
    op.create_table(
        "invoices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("legal_entity", sa.String(length=64), nullable=False),
        sa.Column("cost_centre", sa.String(length=64), nullable=False),
        sa.Column("currency", sa.String(length=8), nullable=False),
        sa.Column("period_start", sa.BigInteger(), nullable=False),
        sa.Column("period_end", sa.BigInteger(), nullable=False),
        sa.Column("net", sa.String(length=64), nullable=False),
        sa.Column("tax", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("drafted_at", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.Column("issued_at", sa.BigInteger(), nullable=True),
        sa.Column("issued_by", sa.String(length=255), nullable=True),
        sa.Column("paid_at", sa.BigInteger(), nullable=True),
        sa.Column("payment_reference", sa.String(length=255), nullable=False),
        sa.Column("credits", sa.String(length=64), nullable=True),
        sa.Column("credited_by", sa.String(length=64), nullable=True),
        sa.CheckConstraint("kind IN ('invoice', 'credit_note')", name=op.f("ck_invoices_known_kind")),
        sa.CheckConstraint("state IN ('draft', 'issued', 'paid', 'void')", name=op.f("ck_invoices_known_state")),
        sa.CheckConstraint("(state = 'draft') = (number IS NULL)", name=op.f("ck_invoices_issued_ones_have_numbers")),
        sa.CheckConstraint("(number IS NULL) = (issued_at IS NULL)", name=op.f("ck_invoices_numbers_have_instants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
    )
    op.create_index("uq_invoices_number", "invoices", ["number"], unique=True)
    standing, credited = sa.text("kind = 'invoice' AND state <> 'void'"), sa.text("credits IS NOT NULL")
    op.create_index("uq_invoices_standing", "invoices", ["cost_centre", "period_start"], unique=True, sqlite_where=standing, postgresql_where=standing)
    op.create_index("uq_invoices_credits", "invoices", ["credits"], unique=True, sqlite_where=credited, postgresql_where=credited)
    op.create_index("ix_invoices_period", "invoices", ["period_start", "cost_centre"])


def _create_lines_and_numbers() -> None:
    op.create_table(
        "invoice_lines",
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("sku", sa.String(length=32), nullable=False),
        sa.Column("gpu_type", sa.String(length=64), nullable=True),
        sa.Column("list_price", sa.String(length=64), nullable=False),
        sa.Column("price", sa.String(length=64), nullable=False),
        sa.Column("rate_card", sa.String(length=64), nullable=False),
        sa.Column("is_off_peak", sa.Boolean(), nullable=False),
        sa.Column("is_correction", sa.Boolean(), nullable=False),
        sa.Column("month", sa.BigInteger(), nullable=False),
        sa.Column("unit_microseconds", sa.String(length=64), nullable=False),
        sa.Column("amount", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_lines_invoice_id")),
        sa.PrimaryKeyConstraint("invoice_id", "position", name=op.f("pk_invoice_lines")),
    )
    op.create_table(
        "invoice_numbers",
        sa.Column("legal_entity", sa.String(length=64), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("last_issued_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("legal_entity", "year", name=op.f("pk_invoice_numbers")),
    )


def _create_outbox() -> None:
    op.create_table(
        "invoice_outbox",
        sa.Column("sequence", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_outbox_invoice_id")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_invoice_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_invoice_outbox_id", "invoice_outbox", ["id"], unique=True)
    due = sa.text("next_at IS NOT NULL")
    op.create_index("ix_invoice_outbox_due", "invoice_outbox", ["next_at"], sqlite_where=due, postgresql_where=due)


def downgrade() -> None:
    """Take them away, with every invoice: export them first."""
    if op.get_bind().dialect.name == "sqlite":
        for table, name, *_ in _RULES:
            op.execute(f"DROP TRIGGER {table}_keep_{name}")
    for table in _TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        for table, name, *_ in _RULES:
            op.execute(f"DROP FUNCTION {table}_keep_{name}()")
