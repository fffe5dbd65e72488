"""Credits, and what each has paid at the keeper's last look."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0025"
branch_labels = None
depends_on = None

_FIXED = ("id", "scope", "name", "amount_micros", "currency", "priority", "starts_at", "expires_at", "reason", "created_by", "created_at")
_CHANGED = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _FIXED)
_RULES = (
    ("update", "UPDATE", f"{_CHANGED} OR OLD.ended_at IS NOT NULL OR NEW.ended_at IS NULL", "a credit can only be ended, once"),
    ("delete", "DELETE", "1 = 1", "a credit never goes"),
)
"""Name, event, condition of what is refused, and why."""


def upgrade() -> None:
    """Make the tables, empty, and the triggers that keep credits as they were given."""
    op.create_table(
        "credits",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credits")),
        sa.CheckConstraint("amount_micros > 0", name=op.f("ck_credits_positive")),
        sa.CheckConstraint("expires_at IS NULL OR expires_at > starts_at", name=op.f("ck_credits_not_empty")),
        sa.CheckConstraint("starts_at >= created_at", name=op.f("ck_credits_not_backdated")),
        sa.CheckConstraint("ended_at IS NULL OR ended_at >= created_at", name=op.f("ck_credits_ended_after")),
        sa.CheckConstraint("scope IN ('cost_centre', 'project', 'person')", name=op.f("ck_credits_known_scope")),
    )
    op.create_index("ix_credits_whose", "credits", ["scope", "name"])
    op.create_table(
        "credit_balances",
        sa.Column("credit_id", sa.Uuid(), nullable=False),
        sa.Column("paid_micros", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("credit_id", name=op.f("pk_credit_balances")),
        sa.ForeignKeyConstraint(["credit_id"], ["credits.id"], name=op.f("fk_credit_balances_credit_id")),
        sa.CheckConstraint("paid_micros >= 0", name=op.f("ck_credit_balances_not_negative")),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for name, event, condition, why in _RULES:
        trigger = f"credits_keep_{name}"
        if is_sqlite:
            op.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON credits WHEN {condition} BEGIN SELECT RAISE(ABORT, '{why}'); END")
            continue
        refuse = f"IF {condition} THEN RAISE EXCEPTION '{why}' USING ERRCODE = 'check_violation'; END IF"
        body = f"BEGIN {refuse}; RETURN {'OLD' if event == 'DELETE' else 'NEW'}; END"
        op.execute(f"CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        op.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON credits FOR EACH ROW EXECUTE FUNCTION {trigger}()")


def downgrade() -> None:
    """Forget all credits: what they paid is due again in reports made then."""
    op.drop_table("credit_balances")
    op.drop_table("credits")
    if op.get_bind().dialect.name != "sqlite":
        for name, *_ in _RULES:
            op.execute(f"DROP FUNCTION credits_keep_{name}()")
