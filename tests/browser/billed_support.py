"""A month that is billed: use of two cost centres, their invoices, a dispute, budgets and credits, in the rows that the pages read."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

from sqlalchemy import update

from aiplatform_hub.catalog.loader import DEMO_DIR
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.ledger import chained
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.budgets import BudgetDraft
from aiplatform_hub.operations.credits import CreditDraft
from aiplatform_hub.storage.schema import allocations

ENTITIES = """
university:
  display_name: University of Example
  address: [Hauptstrasse 1, 12345 Exampletown]
  country: DE
  number_prefix: UE-
  currency: EUR
  tax_id: DE123456789
  tax_percent: "19"
  iban: DE02120300000000202051
"""
CENTRES = """
vision: {display_name: Computer vision lab, legal_entity: university, code: "4711"}
nlp: {display_name: Language technology lab, legal_entity: university, code: "4712"}
"""
DAYS = (2, 3, 5, 8, 9, 12, 16, 17, 22, 23)
"""Of the month, on which they work."""
HABITS = ((1001, "ana", "vision", 2, 8), (1002, "ben", "vision", 0, 6), (1003, "cem", "nlp", 1, 9))
"""Id, name, cost centre and project, GPUs, hours."""
LONG_QUESTION = "Ana was at a conference on the 8th and 9th.\nWho ran these sessions, and may we see what they did?"


def bill_last_month(folder: Path) -> None:
    """Fill the database of a trial that has its data in a folder."""
    catalog = folder / "billed-catalogue"
    catalog.mkdir()
    (catalog / "legal_entities.yaml").write_text(ENTITIES)
    (catalog / "cost_centres.yaml").write_text(CENTRES)
    factory = Factory(Settings(data_dir=folder / "data", catalog_dirs=(DEMO_DIR, catalog), simulated_gpus=4))
    try:
        this_month = factory.clock().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        _use(factory, (this_month - timedelta(days=1)).replace(day=1))
        _invoice(factory, f"{this_month - timedelta(days=1):%Y-%m}")
        _set_budgets_and_credits(factory)
    finally:
        factory.close()


def _use(factory: Factory, month: datetime) -> None:
    with factory.database.write() as connection:
        factory.devices.lock(connection)
        for day in DAYS:
            for user_id, name, project, gpus, hours in HABITS:
                start = month + timedelta(days=day - 1, hours=9)
                end, id_, owner = start + timedelta(hours=hours), uuid4(), {"user_id": user_id, "user_name": name}
                request = LaunchRequest("jupyterlab", gpus, "simulated" if gpus else None, 8 * GIB, 2, project, project)
                at = dict.fromkeys(("requested_at", "held_at", "starting_at", "started_at", "ready_at"), start) | {"ended_at": end}
                state = {"state": AllocationState.ENDED, "devices": (), "door": "page", "actor": name}
                factory.allocations.insert(connection, Allocation(id_, **owner, server_name=f"day-{day}-{name}", spawner_id=1, request=request, **state, **at))
                names = ("project", "cost_centre", "environment_template", "gpus", "gpu_type", "memory_bytes", "cpu_cores")
                used = {field: getattr(request, field) for field in names}
                interval = UsageInterval(uuid4(), id_, **owner, **used, started_at=start, last_seen_at=end)
                factory.usage_store.open(connection, interval)
                head = factory.usage_store.head(connection)
                ended = replace(interval, last_seen_at=None, ended_at=end, end_cause=EndCause.STOPPED_BY_USER)
                factory.usage_store.close(connection, chained(ended, sequence=head.sequence + 1, previous_hash=head.hash))
        remembered = allocations.c.user_name.in_([habit[1] for habit in HABITS])
        connection.execute(update(allocations).where(remembered).values(started_at=allocations.c.held_at))  # which an insert does not write
        newest = factory.usage_store.head(connection)
    factory.ledger_head.write(newest.sequence, newest.hash)


def _invoice(factory: Factory, month: str) -> None:
    """Issue the invoice of one cost centre, with a disputed line; leave the other a draft."""
    drafts = {draft.cost_centre: draft for draft in factory.invoices.draft(month, by="admin").invoices}
    (issued,) = factory.invoices.issue([drafts["vision"].id], by="admin")
    dispute, _ = factory.disputes.open(issued.id, 1, text="Is this the price from before the summer?", by="researcher", tell=("admin",))
    factory.disputes.answer(dispute.id, text="No, the card of this year. It stands under Admin, Prices.", by="admin")
    factory.disputes.reply(dispute.id, text=LONG_QUESTION, by="researcher", tell=("admin",))


def _set_budgets_and_credits(factory: Factory) -> None:
    for scope, name, amount, reason in (("cost_centre", "nlp", "400", "As every year"), ("person", "ana", "30", "Thesis, until it is handed in")):
        factory.budgets.set(BudgetDraft(scope, name, Decimal(amount), "EUR", "month", reason), "admin")
    until = factory.clock() + timedelta(days=90)
    for scope, name, amount, reason in (("project", "vision", "250", "Start of the project"), ("person", "cem", "20", "Workshop in spring")):
        factory.credits.grant(CreditDraft(scope, name, Decimal(amount), "EUR", reason, expires_at=until), "admin")
