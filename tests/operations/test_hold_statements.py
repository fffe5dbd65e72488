"""A decision costs at most six statements and no table scan, whatever the history."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, insert, text

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.storage import schema
from aiplatform_hub.storage.limit_grant_tables import limit_grants
from tests.support.chain import NOON, Chain, person, want

HISTORY = 20_000
BIG = ("allocations", "usage_intervals", "gpu_leases", "decisions", "allocation_events", "grants", "limit_grants", "storage_usage")


@pytest.fixture
def old_chain(chain: Chain) -> Chain:
    """A platform with a long history of ended sessions."""
    common = {"user_id": 1, "user_name": "user1", "environment_template": "jupyterlab", "gpus": 1, "gpu_type": "h100", "memory_bytes": 1, "cpu_cores": 1}
    common |= {"project": "personal", "cost_centre": "university", "started_at": NOON - timedelta(days=400)}
    ends = [NOON - timedelta(days=300, seconds=-number) for number in range(HISTORY)]
    own = {"server_name": "", "state": "ended", "devices": ["GPU-0"], "door": "rest", "actor": "user1", "requested_at": NOON, "held_at": common["started_at"]}
    rows = [{**common, **own, "id": UUID(int=number), "ended_at": end, "idempotency_key": str(number)} for number, end in enumerate(ends)]
    chained = [
        {**common, "id": UUID(int=number), "allocation_id": UUID(int=number), "ended_at": end, "sequence": number + 1, "hash": "x"}
        for number, end in enumerate(ends)
    ]
    leases = [{"device_uuid": "GPU-0", "allocation_id": UUID(int=number), "released_at": end} for number, end in enumerate(ends)]
    steps = [
        {"allocation_id": UUID(int=n), "at": end, "from_state": "active", "to_state": "ended", "cause": "exited", "actor": "hub"} for n, end in enumerate(ends)
    ]
    grant = {"tier": "premium", "expires_at": NOON, "reason": "", "granted_by": "boss", "granted_at": common["started_at"]}
    grants = [{**grant, "id": UUID(int=number), "user_name": f"person{number}"} for number in range(HISTORY)]
    raised = {"dimension": "gpus", "amount": "4", "expires_at": NOON, "reason": "", "granted_by": "boss", "granted_at": common["started_at"]}
    raises = [{**raised, "id": UUID(int=n), "scope": ("user", "group")[n % 2], "name": f"person{n}"} for n in range(HISTORY)]
    sizes = [{"user_name": f"person{number}", "storage_bytes": 1, "measured_at": NOON} for number in range(HISTORY)]
    with chain.database.write() as connection:
        connection.execute(insert(schema.grants), grants)
        connection.execute(insert(limit_grants), raises)
        connection.execute(insert(schema.storage_usage), sizes)
        connection.execute(insert(schema.allocations), rows)
        connection.execute(insert(schema.usage_intervals), chained)
        connection.execute(insert(schema.gpu_leases), leases)
        connection.execute(insert(schema.allocation_events), steps)
    with chain.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    return chain


@contextmanager
def statements(chain: Chain) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements of writers, with their parameters, without BEGIN and COMMIT."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, is_many: bool) -> None:
        if not statement.startswith("BEGIN"):
            seen.append((statement, parameters[0] if is_many else parameters))

    event.listen(chain.database.writer, "before_cursor_execute", note)
    yield seen
    event.remove(chain.database.writer, "before_cursor_execute", note)


def scans(chain: Chain, seen: list[tuple[str, Any]]) -> list[str]:
    """Return every line of the query plans that reads a whole big table."""
    prefix = "EXPLAIN QUERY PLAN " if chain.database.is_sqlite else "EXPLAIN "
    found = []
    with chain.database.engine.connect() as connection:
        for statement, parameters in seen:
            plan = [str(row[-1]) for row in connection.exec_driver_sql(prefix + statement, parameters)]
            print(re.sub(r"\s+", " ", statement)[:110], *plan, sep="\n    ")
            # a partial index holds only the open rows; reading all of it is not a scan of the table
            found += [
                line
                for line in plan
                for table in BIG
                if re.search(rf"(Seq Scan on|SCAN) {table}\b(?! USING (COVERING )?INDEX (uq_\w+_(open|live)_|ix_allocations_queued))", line)
            ]
        connection.rollback()
    return found


def test_hold_takes_six_statements_and_no_scan(old_chain: Chain) -> None:
    caller = person(1, "metered", "vision")
    with statements(old_chain) as seen:
        old_chain.hold(caller, "a", want(2, project="vision"), idempotency_key="new")
    assert len(seen) == 6
    assert scans(old_chain, seen) == []


def test_denial_takes_five_statements_and_no_scan(old_chain: Chain) -> None:
    with statements(old_chain) as seen, pytest.raises(AIPlatformError):
        old_chain.hold(person(1, "metered"), "a", want(9))
    assert len(seen) == 5
    assert scans(old_chain, seen) == []


def test_take_up_and_meter_scan_no_table(old_chain: Chain) -> None:
    held = old_chain.hold(person(1), "a", want(1))
    with statements(old_chain) as seen:
        old_chain.take_up(person(1), "a", want(1), spawner_id=7)
        assert len(seen) <= 6
        old_chain.meter.started(held.id, NOON)
        old_chain.meter.seen({held.id: NOON + timedelta(seconds=1)})
        old_chain.meter.ended(held.id, NOON + timedelta(seconds=2), EndCause.EXITED)
    assert scans(old_chain, seen) == []


def test_gpu_hours_are_only_summed_where_a_limit_asks_for_them(chain: Chain) -> None:
    with statements(chain) as seen:
        chain.hold(person(1, "staff"), "a", want(0))
    assert chain.enforcer.quota_of(person(1, "staff"))
    facts = next(statement for statement, _ in seen if "storage_usage" in statement)
    assert facts.index("CASE WHEN") < facts.index("usage_intervals"), "the sum is guarded by the granted tier"
    project_sum = "usage_intervals.project ="
    assert project_sum not in facts


def with_queue(chain: Chain) -> None:
    """Let two people hold everything and two wait, as the dispatcher knows."""
    for number in (11, 12):
        chain.hold(person(number), "a", want(2))
    for number in (13, 14):
        chain.queue(person(number), "q", want(2))
    chain.dispatch()


def test_decision_beside_a_queue_takes_no_statement_more_and_no_scan(old_chain: Chain) -> None:
    with_queue(old_chain)
    with statements(old_chain) as seen, pytest.raises(AIPlatformError):
        old_chain.hold(person(1), "a", want(1))
    assert len(seen) == 5
    with statements(old_chain) as queued:
        old_chain.queue(person(1), "a", want(1))
    assert len(queued) == 6
    assert scans(old_chain, seen + queued) == []


def test_dispatch_of_one_request_scans_no_table(old_chain: Chain) -> None:
    with_queue(old_chain)
    old_chain.end(old_chain.open()[0])
    with statements(old_chain) as seen:
        assert len(old_chain.dispatch().held) == 1
    assert scans(old_chain, seen) == []
    assert len(seen) <= 12, "the hold, and what was found"


def test_look_at_the_queue_scans_no_table(old_chain: Chain) -> None:
    with_queue(old_chain)
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _is_many: bool) -> None:
        if not statement.startswith("BEGIN"):
            seen.append((statement, parameters))

    event.listen(old_chain.database.engine, "before_cursor_execute", note)
    old_chain.dispatch()
    old_chain.desk.entries()
    old_chain.dispatcher.owners()
    old_chain.dispatcher.unstarted()
    event.remove(old_chain.database.engine, "before_cursor_execute", note)
    assert scans(old_chain, seen) == []
