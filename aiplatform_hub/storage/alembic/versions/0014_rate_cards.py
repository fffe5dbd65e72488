"""Rate cards as they were recorded, and the tier by which an allocation was decided on: discounts go by it."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_STANDS = sa.text("withdrawn_at IS NULL")


def upgrade() -> None:
    """Make room for cards and tiers."""
    op.add_column("allocations", sa.Column("tier", sa.String(length=64), nullable=True))
    op.create_table(
        "rate_cards",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("effective_from", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_by", sa.String(length=255), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_cards")),
        sqlite_autoincrement=True,
    )
    for name, column in (("version", "version"), ("instant", "effective_from")):
        op.create_index(f"uq_rate_cards_standing_{name}", "rate_cards", [column], unique=True, sqlite_where=_STANDS, postgresql_where=_STANDS)


def downgrade() -> None:
    """Forget them: the catalogue's files say what holds."""
    op.drop_table("rate_cards")
    op.drop_column("allocations", "tier")
