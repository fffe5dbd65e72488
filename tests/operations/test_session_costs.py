"""What pages say a session has cost is what reports say."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from aiplatform_hub.operations.cost_reporter import UsageQuery
from aiplatform_hub.operations.session_costs import SessionCosts
from aiplatform_hub.storage.database import Database
from tests.operations.test_cost_reporter import CARDS, NOW, random_interval, store
from tests.support.charging import Charging


def test_each_session_costs_what_a_report_of_it_alone_says(database: Database) -> None:
    chance = random.Random(7)
    rows = [random_interval(chance, number) for number in range(40)]
    store(database, rows)
    charging = Charging(database, CARDS, lambda: NOW)
    sessions: list[Any] = [SimpleNamespace(id=row.allocation_id, started_at=row.started_at) for row in rows]
    sessions += [SimpleNamespace(id=uuid4(), started_at=None), SimpleNamespace(id=uuid4(), started_at=NOW)]
    with database.read() as connection:
        found = SessionCosts(charges=charging.charges, cards=charging.cards).of(connection, sessions, NOW)
    assert found.keys() == {row.allocation_id for row in rows if row.started_at < NOW}
    for row in rows:
        if row.started_at >= NOW:
            continue
        totals = charging.costs().costs(UsageQuery(row.started_at, NOW, filters={"allocation": row.allocation_id})).totals
        said = max(((total.currency or "", total.amount) for total in totals if total.session_seconds), default=("credits", 0))
        assert (found[row.allocation_id].currency, found[row.allocation_id].amount) == said
