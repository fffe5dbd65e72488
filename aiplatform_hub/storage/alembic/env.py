"""Runs migrations on the connection that ``aiplatform_hub.storage.migrate`` hands over."""

from alembic import context

from aiplatform_hub.storage import (  # noqa: F401  their tables belong to the metadata
    budget_tables,
    charge_rollup_tables,
    chargeback_tables,
    credit_tables,
    dispute_tables,
    energy_tables,
    invoice_tables,
    limit_grant_tables,
    membership_tables,
    rate_card_tables,
    session_move_tables,
    storage_sample_tables,
)
from aiplatform_hub.storage.migrate import VERSION_TABLE
from aiplatform_hub.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
