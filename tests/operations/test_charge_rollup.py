"""Sums of days that are over: what reports read of them is what the ledger says, whatever changes later and whoever is killed."""

from __future__ import annotations

import io
import os
import random
import signal
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import event, insert, select, update
from test_charge_reporter import know_activity
from test_cost_reporter import CARDS, random_interval, store

from aiplatform_hub.domain.charge_sums import DAY, ActivitySum, ChargeSum, RolledDay
from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.off_peak import OffPeak, Window
from aiplatform_hub.errors import ConflictError, LedgerError
from aiplatform_hub.operations.charge_reporter import ReportQuery
from aiplatform_hub.operations.charge_rollup import AGAIN_AFTER
from aiplatform_hub.operations.cost_reporter import UsageQuery
from aiplatform_hub.storage.charge_rollup import SumsQuery
from aiplatform_hub.storage.charge_rollup_tables import charge_days, charge_sums
from aiplatform_hub.storage.database import Database, TakenError
from aiplatform_hub.storage.schema import usage_intervals
from tests.support.charging import Charging

START, END = datetime(2026, 2, 26, tzinfo=UTC), datetime(2026, 3, 5, 8, tzinfo=UTC)
NIGHTS = OffPeak("Europe/Berlin", Decimal(30), (Window(frozenset(range(1, 8)), time(22), time(6)),))
RICH = tuple(
    replace(card, idle_gpu_hour={"h100": Decimal("1.11")}, cpu_core_hour=Decimal("0.013"), memory_gib_hour=Decimal("0.007"), off_peak=NIGHTS,
            project_discount_percent={"p1": Decimal("12.5")})
    for card in CARDS
)  # fmt: skip
GROUPS = ((), ("cost_centre", "project"), ("user",), ("day", "gpu_type"), ("month", "environment_template", "user"))


class Place:
    """A hub at some hour of the fifth of March."""

    def __init__(self, database: Database) -> None:
        self.now = END
        self.charging = Charging(database, RICH, lambda: self.now)
        self.database, self.store, self.rollup = database, self.charging.store, self.charging.rollup
        self.read: list[tuple[datetime, datetime]] = []
        sums = self.charging.charges.sums

        def noted(connection, start, end, **rest):
            self.read.append((start, end))
            return sums(connection, start, end, **rest)

        self.charging.charges.sums = noted

    def report(self, *groups: str, **filters) -> bytes:
        stream = io.BytesIO()
        self.charging.reporter.write(ReportQuery(START, END, "json", groups, filters), stream)
        return stream.getvalue()

    def from_ledger(self, *groups: str, **filters) -> bytes:
        stream = io.BytesIO()
        self.charging.one_by_one().reporter.write(ReportQuery(START, END, "json", groups, filters), stream)
        return stream.getvalue()

    def read_of_ledger(self) -> list[tuple[datetime, datetime]]:
        """Return what a report reads of the ledger now."""
        self.read.clear()
        self.report()
        return self.read

    def roll_up(self) -> int:
        self.now += AGAIN_AFTER
        return self.rollup.step()

    def days(self) -> set[int]:
        """Return the days of the month whose sums count."""
        with self.database.snapshot() as connection:
            return {day.start.day for day in self.charging.sums.valid_days(connection)}

    def close(self, id_: UUID, at: datetime, cause: str = "stopped", *, sequence: int = 1000) -> None:
        values = {"ended_at": at, "end_cause": cause, "sequence": sequence, "previous_hash": "0", "hash": "1"}
        with self.database.write() as connection:
            connection.execute(update(usage_intervals).where(usage_intervals.c.id == id_).values(**values))


def made(seed: int = 3, count: int = 60):
    chance = random.Random(seed)
    rows = [replace(random_interval(chance, number), memory_bytes=5 << 30, cpu_cores=3) for number in range(count)]
    return [replace(row, last_seen_at=END) if row.ended_at is None else row for row in rows]


def one_open(start: datetime, *, seen: datetime = END, number: int = 1):
    row = random_interval(random.Random(number), number)
    return replace(row, started_at=start, ended_at=None, end_cause=None, last_seen_at=seen, estimated=False, gpus=2, gpu_type="h100")


@pytest.fixture
def place(database: Database) -> Place:
    return Place(database)


@pytest.mark.parametrize("seed", [3, 4])
def test_reports_of_sums_have_the_bytes_of_the_ledger(place: Place, seed: int) -> None:
    rows = made(seed)
    store(place.database, rows)
    know_activity(place.database, [row for row in rows if row.ended_at is not None])
    while place.roll_up():
        pass
    assert place.read_of_ledger() == [(datetime(2026, 3, 5, tzinfo=UTC), END)], "only the day that is not over"
    for groups in GROUPS:
        assert place.report(*groups) == place.from_ledger(*groups), groups
    for filters in ({"user": "user1"}, {"project": frozenset({"p1", "p2"}), "gpu_type": "h100"}, {"cost_centre": "c0", "user": frozenset({"user2"})}):
        assert place.report("user", "day", **filters) == place.from_ledger("user", "day", **filters)
    assert place.rollup.verify() == len(place.days()) >= 7
    assert place.roll_up() == 0, "nothing changed"


def test_usage_page_and_reports_say_the_same_money(place: Place) -> None:
    store(place.database, made())
    place.rollup.step()
    query = UsageQuery(START, END, ("project",))
    assert place.charging.costs().costs(query) == place.charging.one_by_one().costs().costs(query)
    total = place.charging.costs().costs(query).totals[0]
    assert f'"cost":"{total.amount}"'.encode() in place.report("project").split(b'"totals"')[1]


def test_what_ends_late_makes_its_days_anew(place: Place) -> None:
    late = one_open(datetime(2026, 3, 2, 20, tzinfo=UTC))
    store(place.database, [*made(), late])
    while place.roll_up():
        pass
    place.close(late.id, datetime(2026, 3, 4, 1, tzinfo=UTC), "start_failed")  # so that it costs nothing
    assert not place.days() & {2, 3, 4}, "known at once, before any step"
    assert place.report("day") == place.from_ledger("day")
    assert place.roll_up() == 3
    assert {2, 3, 4} <= place.days()
    assert place.report("day") == place.from_ledger("day")
    with place.database.write() as connection:
        place.store.touch(connection, datetime(2026, 3, 3, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC))
    assert place.rollup.step() == 0, "not anew right after it was made"
    assert place.roll_up() == 1


def test_what_began_before_a_day_was_made_and_was_written_after_it_counts(place: Place) -> None:
    store(place.database, made())
    while place.roll_up():
        pass
    store(place.database, [one_open(datetime(2026, 3, 3, 23, tzinfo=UTC), number=78)])
    assert place.days() & {1, 2, 3, 4} == {1, 2}
    assert place.report("day") == place.from_ledger("day")
    assert place.roll_up() == 2
    assert {3, 4} <= place.days()


def test_what_began_and_ended_after_a_day_was_made_counts(place: Place) -> None:
    store(place.database, made())
    while place.roll_up():
        pass
    short = one_open(datetime(2026, 3, 2, 9, tzinfo=UTC), number=82)
    store(place.database, [short])
    place.close(short.id, datetime(2026, 3, 2, 10, tzinfo=UTC))
    assert place.days() & {1, 2, 3} == {1, 3}
    assert place.report("day") == place.from_ledger("day")


def test_a_day_waits_for_a_session_that_may_have_ended_in_it(place: Place) -> None:
    silent = one_open(datetime(2026, 3, 3, 20, tzinfo=UTC), seen=datetime(2026, 3, 3, 23, tzinfo=UTC))
    store(place.database, [replace(one_open(START), ended_at=START + timedelta(hours=30), end_cause=None), silent])
    while place.roll_up():
        pass
    assert place.days() & {1, 2, 3, 4} == {1, 2}
    assert not place.rollup.build(datetime(2026, 3, 3, tzinfo=UTC))


def test_who_changes_the_past_says_so(place: Place) -> None:
    store(place.database, made())
    while place.roll_up():
        pass
    with place.database.write() as connection:
        place.store.touch(connection, datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC))
    assert not place.days() & {1, 2}
    assert {28, 3, 4} <= place.days()
    assert place.roll_up() == 2


@pytest.mark.parametrize("meanwhile", ["touched", "ended", "begun"])
def test_what_changes_while_a_day_is_summed_is_not_lost(place: Place, meanwhile: str) -> None:
    day, row = datetime(2026, 3, 2, tzinfo=UTC), one_open(datetime(2026, 3, 2, 3, tzinfo=UTC))
    store(place.database, [*made(), row])
    activity = place.charging.activity.activity

    def change(*args, **rest):
        if meanwhile == "ended":
            short = one_open(day + timedelta(hours=3), number=81)  # open neither before nor after
            store(place.database, [short])
            place.close(short.id, day + timedelta(hours=5))
        elif meanwhile == "begun":
            store(place.database, [one_open(day + timedelta(hours=7), number=79)])
        else:
            with place.database.write() as connection:
                place.store.touch(connection, day, day + DAY)
        return activity(*args, **rest)

    place.charging.activity.activity = change
    assert place.rollup.build(day) is False
    place.charging.activity.activity = activity
    assert place.rollup.build(day) is True
    assert place.report("day") == place.from_ledger("day")


def test_a_day_that_is_not_over_is_refused(place: Place) -> None:
    with pytest.raises(ConflictError, match="2026-03-05 is not over"):
        place.rollup.build(datetime(2026, 3, 5, tzinfo=UTC))
    with pytest.raises(TakenError, match="ck_charge_days_over"), place.database.write() as connection:
        place.store.replace(connection, RolledDay(datetime(2026, 3, 5, tzinfo=UTC), 0, "", END), {True: (), False: ()}, {True: (), False: ()})


def test_days_of_a_clock_that_was_ahead_are_dropped(place: Place) -> None:
    store(place.database, made())
    place.now = END + timedelta(days=3)
    with place.database.write() as connection:
        connection.execute(update(usage_intervals).where(usage_intervals.c.ended_at.is_(None)).values(last_seen_at=place.now))
    place.rollup.step()
    assert {5, 6, 7} <= place.days()
    place.now = END
    assert not place.days() & {5, 6, 7}, "no report reads them"
    place.rollup.step()
    with place.database.read() as connection:
        assert max(day.start for day in place.store.days(connection)) < datetime(2026, 3, 5, tzinfo=UTC)
        assert not connection.execute(select(charge_sums.c.day).where(charge_sums.c.day >= datetime(2026, 3, 5, tzinfo=UTC))).all()


def test_another_price_list_is_noticed(place: Place) -> None:
    store(place.database, made())
    while place.roll_up():
        pass
    other = Charging(place.database, tuple(replace(card, cpu_only_hour=Decimal(9)) if card.version == "b" else card for card in RICH), lambda: place.now)
    with place.database.snapshot() as connection:
        assert {day.start.day for day in other.sums.valid_days(connection)} & {28, 1, 2, 3, 4} == {28, 3, 4}, "b holds on the first and the second of March"


def test_sums_that_were_changed_are_named(place: Place) -> None:
    store(place.database, made())
    place.rollup.step()
    of_day = charge_sums.c.day == datetime(2026, 3, 2, tzinfo=UTC)
    with place.database.write() as connection:
        changed = charge_sums.c.unit_microseconds + 1
        connection.execute(update(charge_sums).where(of_day, ~charge_sums.c.by_person, charge_sums.c.number == 0).values(unit_microseconds=changed))
    with pytest.raises(LedgerError, match="The sums of 2026-03-02 are not those of the ledger"):
        place.rollup.verify()


@pytest.mark.parametrize("is_first", [True, False])
def test_killed_while_it_writes_a_day_leaves_all_of_it_or_nothing(place: Place, is_first: bool) -> None:
    store(place.database, made())
    day, late = datetime(2026, 3, 2, tzinfo=UTC), one_open(datetime(2026, 3, 2, 3, tzinfo=UTC), number=80)
    if not is_first:
        assert place.rollup.build(day)
    before = kept(place, day)
    store(place.database, [late])
    place.close(late.id, day + timedelta(hours=9))
    child = os.fork()
    if child == 0:
        die_writing(place.database.url, day)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert kept(place, day) == before
    assert place.report("day") == place.from_ledger("day")
    assert place.rollup.build(day)
    place.roll_up()
    assert place.report("day") == place.from_ledger("day")
    assert 2 in place.days()


def kept(place: Place, day: datetime) -> tuple[object, ...]:
    with place.database.read() as connection:
        heads = connection.execute(select(charge_days).where(charge_days.c.day == day)).all()
        return heads, connection.execute(select(charge_sums).where(charge_sums.c.day == day).order_by(charge_sums.c.by_person, charge_sums.c.number)).all()


def die_writing(url: str, day: datetime) -> None:
    """In a process of its own: write a day and die before its last statement."""
    try:
        database = Database(url=url)

        @event.listens_for(database.writer, "before_cursor_execute")
        def die(_connection, _cursor, statement, *_rest):
            if statement.startswith("INSERT INTO charge_days"):
                os.kill(os.getpid(), signal.SIGKILL)

        Charging(database, RICH, lambda: END).rollup.build(day)
    finally:
        os._exit(1)


def test_sums_of_many_days_may_be_larger_than_a_column(place: Place) -> None:
    whole = 9_000_000_000_000_000_000
    one = ChargeSum(START, "c", "p", "", "t", None, Sku.STORAGE_GIB_MONTH, Decimal("0.10"), Decimal("0.1"), "EUR", "a", 10**12, whole, 0, -7)
    known = ActivitySum(START, "c", "p", "", "t", "h100", "EUR", whole, 1)
    with place.database.write() as connection:
        for number in range(3):
            at = START + number * DAY
            sums = {True: (), False: (replace(one, start=at), replace(one, start=at, unit_microseconds=-5))}
            place.store.replace(connection, RolledDay(at, 0, "", END), sums, {True: (), False: (replace(known, start=at),)})
    with place.database.read() as connection:
        (found,) = place.store.sums(connection, SumsQuery(((START, START + 3 * DAY),), ("project",)))
        assert (found.unit_microseconds, found.estimated_microseconds) == (3 * whole - 15, -42)
        (activity,) = place.store.activity(connection, SumsQuery(((START, START + 3 * DAY),)))
        assert activity.used_gpu_microseconds == 3 * whole


def test_nothing_is_rolled_up_of_an_empty_ledger(place: Place) -> None:
    assert place.rollup.step() == 0
    assert place.rollup.verify() == 0
    with place.database.write() as connection:
        connection.execute(insert(charge_days).values(day=START, open_intervals=0, cards="", built_at=END))
    assert place.days() == set(), "by other cards"
