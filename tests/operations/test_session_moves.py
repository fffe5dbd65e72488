"""A session that was moved is charged to the other project everywhere, nothing that was metered changes, and invoices correct what they demanded."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, insert, select, update

from aiplatform_hub.domain.budgets import MICROS, Budget, Period, Scope
from aiplatform_hub.domain.catalog import Project
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.charge_reporter import ReportQuery
from aiplatform_hub.operations.cost_reporter import UsageQuery
from aiplatform_hub.operations.session_moves import SessionMoves
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.budget_tables import budget_periods
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.database import Database, TakenError
from aiplatform_hub.storage.energy_sums import EnergySums
from aiplatform_hub.storage.energy_tables import session_energy
from aiplatform_hub.storage.schema import activity_intervals, usage_intervals
from aiplatform_hub.storage.session_move_tables import session_moves
from aiplatform_hub.storage.session_moves import SessionMoveStore
from tests.support.billing import CARDS, CATALOG, DECEMBER, NOVEMBER, OCTOBER, Office
from tests.support.budgets import settler
from tests.support.charging import Charging

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PROJECTS = {name: Project(name, name.title(), centre) for name, centre in (("vision", "lab"), ("nlp", "lab"), ("scans", "library"))}
DISCOUNTED = tuple(replace(card, project_discount_percent={"scans": Decimal(50)}) for card in CARDS)
MADE = replace(CATALOG, projects=PROJECTS, rate_cards=DISCOUNTED)
DAY = NOVEMBER + timedelta(days=3, hours=9)


@pytest.fixture
def office(database: Database, tmp_path) -> Office:
    return Office(database, tmp_path, catalog=MADE)


@pytest.fixture
def mover(office: Office) -> SessionMoves:
    return mover_of(office)


def mover_of(office: Office) -> SessionMoves:
    return SessionMoves(
        database=office.database,
        catalog=office.catalog,
        allocations=AllocationStore(),
        moves=SessionMoveStore(),
        uses=ChargedUseStore(),
        cards=lambda: DISCOUNTED,
        audit_trail=AuditTrail(database=office.database, audit=AuditStore(), clock=office.clock),
        clock=office.clock,
    )


def session(office: Office, *args, **more) -> UUID:
    interval_id = office.used(*args, **more)
    with office.database.read() as connection:
        return connection.execute(select(usage_intervals.c.allocation_id).where(usage_intervals.c.id == interval_id)).scalar_one()


def charged(office: Office, **filters) -> dict[tuple[str, str], Decimal]:
    sums: dict[tuple[str, str], Decimal] = {}
    with office.database.read() as connection:
        reader = ChargeReader(uses=ChargedUseStore(), cards=lambda: DISCOUNTED)
        for charge in reader.charges(connection, OCTOBER, DECEMBER, filters=filters):
            key = charge.cost_centre, charge.project
            sums[key] = sums.get(key, Decimal(0)) + Decimal(charge.amount.numerator) / Decimal(charge.amount.denominator)
    return {key: amount for key, amount in sums.items() if amount}


def rows(office: Office) -> list[tuple[object, ...]]:
    with office.database.read() as connection:
        return [tuple(row) for row in connection.execute(select(usage_intervals).order_by(usage_intervals.c.id))]


def test_a_moved_session_is_charged_where_it_was_moved_to_at_its_prices(office: Office, mover: SessionMoves) -> None:
    moved = session(office, "lab", DAY, 2)
    session(office, "lab", DAY, 1, project="nlp")
    before = rows(office)
    plan = mover.plan(moved, "scans", by="bea")
    assert charged(office) == {("lab", "vision"): Decimal("6.40"), ("lab", "nlp"): Decimal("3.20")}, "a plan writes nothing"
    done = mover.move(moved, "scans", reason="wrong  project", by="bea")
    assert (done.amounts, done.move.reason, done.move.number) == (plan.amounts, "wrong project", 1)
    assert [(each.month, each.before, each.after) for each in done.amounts] == [("2026-11", Decimal("6.40"), Decimal("3.20"))]
    assert charged(office) == {("library", "scans"): Decimal("3.20"), ("lab", "nlp"): Decimal("3.20")}
    assert charged(office, project="scans") == {("library", "scans"): Decimal("3.20")}, "also where only one of the two is asked for"
    assert charged(office, cost_centre=frozenset({"lab"})) == {("lab", "nlp"): Decimal("3.20")}
    assert rows(office) == before, "nothing that was metered changed"
    mover.move(moved, "nlp", reason="not there either", by="cleo")
    assert charged(office) == {("lab", "nlp"): Decimal("9.60")}, "a second move begins where the first ended"
    assert [(each.source.project, each.target.project) for each in mover.of(moved)] == [("vision", "scans"), ("scans", "nlp")]
    with office.database.read() as connection:
        events = AuditStore().latest(connection, limit=5)
    wanted = {"from": "scans", "from_cost_centre": "library", "to": "nlp", "to_cost_centre": "lab", "reason": "not there either"}
    assert (events[0].action, events[0].actor, events[0].target, dict(events[0].detail)) == ("move_session", "cleo", f"allocation:{moved}", wanted)


def test_reports_and_usage_follow_a_move_with_what_was_used_of_it(office: Office, mover: SessionMoves) -> None:
    moved = session(office, "lab", DAY, 2)
    with office.database.write() as connection:
        spans = {"started_at": DAY, "ended_at": DAY + timedelta(hours=1), "last_seen_at": DAY + timedelta(hours=1), "samples": 1}
        connection.execute(insert(activity_intervals).values(allocation_id=moved, activity="used", **spans))
    mover.move(moved, "scans", reason="theirs", by="bea")
    charging = Charging(office.database, DISCOUNTED, office.clock)
    stream = io.BytesIO()
    charging.reporter.write(ReportQuery(NOVEMBER, DECEMBER, "json", ("project", "day")), stream)
    found = {
        row["keys"]["project"]: [row[name] for name in ("gpu_hours", "used_gpu_hours", "unknown_gpu_hours")] for row in json.loads(stream.getvalue())["rows"]
    }
    assert found == {"scans": ["2.000000", "1.000000", "1.000000"], "vision": ["0.000000", "0.000000", "0.000000"]}
    for usage in (charging.costs().usage, charging.costs().costs):
        rows = usage(UsageQuery(NOVEMBER, DECEMBER, ("project",))).rows
        assert [(row.keys["project"], row.gpu_seconds, row.used_gpu_seconds) for row in rows] == [("scans", 7200, 3600)]
        assert not usage(UsageQuery(NOVEMBER, DECEMBER, (), {"cost_centre": "lab"})).rows


def test_sums_of_days_follow_a_move(office: Office, mover: SessionMoves) -> None:
    moved, charging = session(office, "lab", DAY, 20), Charging(office.database, DISCOUNTED, office.clock)
    begin = DAY.replace(hour=0)

    def report() -> bytes:
        stream = io.BytesIO()
        charging.reporter.write(ReportQuery(NOVEMBER, DECEMBER, "csv", ("project", "day")), stream)
        return stream.getvalue()

    def roll_up() -> None:
        assert all(charging.rollup.build(begin + timedelta(days=number)) for number in range(-1, 3))
        charging.follow()

    def days() -> list[int]:
        with office.database.snapshot() as connection:
            return [day.start.day for day in charging.sums.valid_days(connection)]

    roll_up()
    before = report()
    mover.move(moved, "scans", reason="theirs", by="bea")
    assert days() == [3, 6], "the two days of the session are read from the ledger"
    after = report()
    assert after != before
    roll_up()
    assert (days(), report()) == ([3, 4, 5, 6], after)


def test_the_energy_of_a_moved_session_is_told_where_it_is_now(office: Office, mover: SessionMoves) -> None:
    moved = session(office, "lab", DAY, 2)
    session(office, "lab", DAY, 1, project="nlp")
    with office.database.write() as connection:
        day = DAY.replace(hour=0)
        connection.execute(insert(session_energy).values(allocation_id=moved, day=day, millijoules=7, known_microseconds=5))
    for project in ("nlp", "scans"):
        mover.move(moved, project, reason="theirs", by="bea")
    with office.database.read() as connection:
        read = EnergySums()
        found = [(dict(one.keys), one.millijoules) for one in read.sums(connection, NOVEMBER, DECEMBER, ("project", "cost_centre"), {})]
        assert found == [({"project": "scans", "cost_centre": "library"}, 7)]
        assert not list(read.sums(connection, NOVEMBER, DECEMBER, (), {"project": "vision"}))


@ON_ONE
def test_what_cannot_be_moved_is_named_and_nothing_is_written(office: Office, mover: SessionMoves) -> None:
    ended, running = session(office, "lab", DAY, 2), session(office, "lab", DAY, 0, is_open=True)
    with pytest.raises(NotFoundError):
        mover.move(uuid4(), "scans", reason="x", by="bea")
    with pytest.raises(InvalidOptionError, match="no project “scan”") as wrong:
        mover.move(ended, "scan", reason="x", by="bea")
    assert (wrong.value.reasons[0].field, wrong.value.reasons[0].allowed) == ("project", ("nlp", "scans", "vision"))
    with pytest.raises(InvalidOptionError, match="Say why"):
        mover.move(ended, "scans", reason=" ", by="bea")
    with pytest.raises(ConflictError, match="Only a session that has ended"):
        mover.move(running, "scans", reason="x", by="bea")
    with pytest.raises(ConflictError, match="charged to vision, cost centre lab, already"):
        mover.move(ended, "vision", reason="x", by="bea")
    office.now = DAY + timedelta(hours=1)
    with pytest.raises(ConflictError, match="before this session's end"):
        mover.move(ended, "scans", reason="x", by="bea")
    assert not mover.of(ended)
    with office.database.read() as connection:
        assert not AuditStore().latest(connection, limit=5)


def test_moves_never_change_and_follow_each_other_whoever_writes(office: Office, mover: SessionMoves) -> None:
    moved = session(office, "lab", DAY, 2)
    first = mover.move(moved, "scans", reason="theirs", by="bea").move
    wrong = [
        update(session_moves).values(to_project="nlp"),
        update(session_moves).values(reason="another"),
        delete(session_moves),
    ]
    for statement in wrong:
        with pytest.raises(TakenError), office.database.write() as connection:
            connection.execute(statement)
    again = replace(first, source=first.target, target=first.source)
    for bad in (replace(again, number=3), replace(again, number=1), replace(first, number=2), replace(again, number=2, target=again.source)):
        with pytest.raises(TakenError), office.database.write() as connection:
            SessionMoveStore().insert(connection, bad)
    assert mover.of(moved) == (first,)


def test_of_two_moves_at_once_one_counts(office: Office) -> None:
    moved = session(office, "lab", DAY, 2)
    told: list[str] = []
    gate = threading.Barrier(4)

    def move(project: str) -> None:
        own = replace(office, database=Database(url=office.database.url, lock_timeout=timedelta(seconds=10)))
        gate.wait()
        try:
            told.append(mover_of(own).move(moved, project, reason="x", by="bea").move.target.project)
        except ConflictError as error:
            told.append(str(error))
        own.database.close()

    threads = [threading.Thread(target=move, args=["scans"]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.count("scans") == 1, told
    assert len(told) == 4, told
    assert charged(office) == {("library", "scans"): Decimal("3.20")}


def test_a_month_that_was_invoiced_is_corrected_in_the_next(office: Office, mover: SessionMoves) -> None:
    moved = session(office, "lab", OCTOBER, 10)
    session(office, "lab", OCTOBER, 1, project="nlp")
    session(office, "library", OCTOBER, 1, project="scans")
    october = [office.issued(name, "2026-10").net for name in ("lab", "library")]
    assert october == [Decimal("35.20"), Decimal("1.60")]
    mover.move(moved, "scans", reason="theirs", by="bea")
    session(office, "lab", NOVEMBER, 1, project="nlp")
    lab, library = (office.issued(name) for name in ("lab", "library"))
    lines = [(line.month, line.project, line.is_correction, line.quantity, line.amount) for each in (lab, library) for line in each.lines]
    assert lines == [
        (NOVEMBER, "nlp", False, Decimal("1.000000"), Decimal("3.20")),
        (OCTOBER, "vision", True, Decimal("-10.000000"), Decimal("-32.00")),
        (OCTOBER, "scans", True, Decimal("10.000000"), Decimal("16.00")),
    ]
    office.now = DECEMBER + timedelta(days=31, hours=1)
    assert not office.invoices.draft("2026-12", by="bea").invoices, "a move is invoiced once"


@ON_ONE
def test_a_month_that_was_not_invoiced_yet_shows_only_where_a_session_is_now(office: Office, mover: SessionMoves) -> None:
    moved = session(office, "lab", DAY, 2)
    (draft,) = office.invoices.draft("2026-11", by="bea").invoices
    mover.move(moved, "scans", reason="theirs", by="bea")
    with pytest.raises(ConflictError, match="Nothing is owed any more"):
        office.invoices.issue([draft.id], by="bea")
    (library,) = office.invoices.draft("2026-11", by="bea").invoices
    assert [(line.project, line.is_correction, line.amount) for line in library.lines] == [("scans", False, Decimal("3.20"))]


@ON_ONE
def test_a_budget_counts_what_ran_where_it_ran_and_the_move_as_a_correction(office: Office, mover: SessionMoves) -> None:
    moved = session(office, "lab", DAY, 2)
    budget = Budget(uuid4(), Scope.PROJECT, "vision", 100 * MICROS, "EUR", Period.MONTH, NOVEMBER, None, "a term", "bea", NOVEMBER)
    store = BudgetStore()
    with office.database.write() as connection:
        store.insert(connection, budget)
        store.count(connection, moved, budget.id, DAY)
    mover.move(moved, "scans", reason="theirs", by="bea")
    settler(office.database, lambda: DISCOUNTED, office.clock).settle()
    with office.database.read() as connection:
        columns = budget_periods.c
        found = connection.execute(select(columns.committed_micros, columns.session_micros, columns.moved_micros)).one()
    assert tuple(found) == (0, Decimal("6.40") * MICROS, Decimal("-6.40") * MICROS), "and the correction beside it"
