"""A spent budget that stops what runs: warned, then stopped by the keeper through the hub, charged to its last second, and nothing of it deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import select, update

from aiplatform_hub.storage import schema
from tests.support.hub import ADMIN, wait_for

PERSON = "user4"


@pytest.fixture
def session(kept):
    """A session with a GPU that runs."""
    made = kept.launch(PERSON, "dear", gpus=1).json()
    kept.wait_state(PERSON, made["id"], "active")
    yield made
    kept.stop_everything()


def release(place, session) -> dict:
    return place.call("GET", f"allocations/{session['id']}", user=PERSON).json()["release"] or {}


def kinds(place, session) -> set[str]:
    """Return what its owner is told of it."""
    return {told["kind"] for told in place.call("GET", "notifications", user=PERSON).json()["items"] if told["allocation_id"] == session["id"]}


def let_it_have_run(place, session, **age: float) -> None:
    """Let a session, and every budget, have begun earlier than they did, and its GPU be one that costs something: simulated ones are free."""
    begun, of_it = datetime.now(UTC) - timedelta(**age), UUID(session["id"])
    allocations, intervals, tables = schema.allocations, schema.usage_intervals, schema.metadata.tables
    with place.hub.factory.database.write() as connection:
        connection.execute(update(allocations).where(allocations.c.id == of_it).values(requested_at=begun, held_at=begun, started_at=begun))
        connection.execute(update(intervals).where(intervals.c.allocation_id == of_it).values(started_at=begun, gpu_type="h100"))
        for name in ("budgets", "budget_periods"):
            connection.execute(update(tables[name]).values(starts_at=begun))


def let_the_grace_be_over(place, session) -> None:
    """Let the budget have been spent, and the owner been warned, an hour earlier than it was so."""
    periods, events, then = schema.metadata.tables["budget_periods"], schema.allocation_events, datetime.now(UTC) - timedelta(hours=1)
    with place.hub.factory.database.write() as connection:
        connection.execute(update(periods).where(periods.c.spent_at.is_not(None)).values(spent_at=then))
        of_it = (events.c.allocation_id == UUID(session["id"]), events.c.cause == "release_warned")
        assert connection.execute(update(events).where(*of_it).values(at=then)).rowcount


def test_a_spent_budget_stops_its_sessions_after_the_grace(kept, session):
    body = {
        "scope": "person",
        "name": PERSON,
        "amount": "0.01",
        "currency": "EUR",
        "period": "once",
        "at_limit": "stop",
        "grace_minutes": 30,
        "reason": "a try",
    }
    budget = kept.call("POST", "budgets", user=ADMIN, json=body)
    assert budget.status_code == 201, budget.text
    let_it_have_run(kept, session, hours=2)
    wait_for(
        lambda: release(kept, session).get("why") == "budget_exhausted",
        lambda: f"the budget is spent: {release(kept, session)}, {kept.call('GET', 'budgets', user=PERSON).text}",
        60,
    )
    assert release(kept, session)["action"] == "warn"
    wait_for(lambda: "release_warning" in kinds(kept, session), "they are told", 30)
    assert kept.call("GET", f"allocations/{session['id']}", user=PERSON).json()["state"] == "active"

    let_the_grace_be_over(kept, session)
    ended = kept.wait_state(PERSON, session["id"], "ended", seconds=60)
    assert ended["end_cause"] == "budget_exhausted"
    with kept.hub.factory.database.read() as connection:
        of_it = select(schema.usage_intervals).where(schema.usage_intervals.c.allocation_id == UUID(session["id"]))
        (interval,) = connection.execute(of_it).mappings().all()
    assert interval["ended_at"] is not None
    kept.hub.factory.verifier.verify()

    (standing,) = kept.call("GET", "budgets", user=PERSON).json()["items"]
    assert Decimal(standing["committed"]) > Decimal("0.01")
    kept.call("DELETE", f"budgets/{budget.json()['id']}", user=ADMIN)
