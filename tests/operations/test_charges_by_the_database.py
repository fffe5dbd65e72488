"""What the database adds up is exactly what the charges of every session add up to, whatever the ledger holds and the cards say."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import insert, update
from test_cost_reporter import store

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.budgets import Scope
from aiplatform_hub.domain.catalog import Catalog, Project, RateCard, Share, Unallocated
from aiplatform_hub.domain.charge_sums import daily_sums, without_people
from aiplatform_hub.domain.chargeback import NUMBERS, ChargebackRow
from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.credits import Credit
from aiplatform_hub.domain.off_peak import OffPeak, Window
from aiplatform_hub.domain.session_moves import Account, SessionMove
from aiplatform_hub.domain.storage_samples import StorageSample
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.errors import LedgerError
from aiplatform_hub.operations.charge_reporter import ReportQuery
from aiplatform_hub.operations.cost_reporter import UsageQuery
from aiplatform_hub.operations.showback import Showback
from aiplatform_hub.reports.chargeback_csv import chargeback_csv
from aiplatform_hub.storage.activity_sums import ActivitySums
from aiplatform_hub.storage.charge_rollup import COLUMNS
from aiplatform_hub.storage.chargeback_tables import capacity_changes
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.schema import activity_intervals, allocations, usage_intervals
from aiplatform_hub.storage.session_moves import SessionMoveStore
from aiplatform_hub.storage.showback import ShowbackStore
from aiplatform_hub.storage.storage_samples import StorageSampleStore
from aiplatform_hub.storage.usage_sums import UsageSums
from tests.support.charging import Charging

GIB = 1024**3
NIGHTS = OffPeak("Europe/Berlin", Decimal("33.3"), (Window(frozenset(range(1, 8)), time(22), time(2, 30)), Window(frozenset({6, 7}), time(0), time(0))))
LUNCH = OffPeak("America/New_York", Decimal(10), (Window(frozenset(range(1, 6)), time(12, 15), time(13)),))
FULL = {
    "cpu_core_hour": Decimal("0.0137"), "memory_gib_hour": Decimal("0.0071"), "storage_gib_month": Decimal("0.11"),
    "tier_discount_percent": {"student": Decimal("12.5")}, "project_discount_percent": {"p1": Decimal("7.77"), "p2": Decimal(100)},
}  # fmt: skip


def cards(middle: datetime) -> tuple[RateCard, ...]:
    """Four cards: a plain one, two full ones, of which one begins at an odd moment, and one in another currency."""
    plain = RateCard("plain", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"h100": Decimal("2.50"), "*": Decimal("0.70")}, Decimal("0.03"))
    first = replace(plain, version="first", effective_from=middle - timedelta(days=2), off_peak=NIGHTS, idle_gpu_hour={"h100": Decimal("1.11")}, **FULL)
    second = replace(first, version="second", effective_from=middle + timedelta(minutes=77, microseconds=1), gpu_hour={"*": Decimal("1.9")}, off_peak=LUNCH)
    credits_ = replace(plain, version="credits", effective_from=middle + timedelta(days=2), currency="credits", idle_gpu_hour={"*": Decimal("0.1")})
    return plain, first, second, credits_


class Made:
    """A ledger of eight days around an instant: sessions of every kind, idle spans, moves, samples."""

    def __init__(self, database: Database, middle: datetime, seed: int, count: int = 80) -> None:
        self.database, self.chance = database, random.Random(seed)
        self.start, self.end = middle - timedelta(days=4, hours=5), middle + timedelta(days=4, microseconds=1)
        self.charging = Charging(database, cards(middle), lambda: self.end + timedelta(days=1))
        self.plain = self.charging.one_by_one()
        self.sessions = [self._session(number) for number in range(count)]
        store(database, self.sessions)
        with database.write() as connection:
            for number, each in enumerate(self.sessions):
                tier = update(allocations).where(allocations.c.id == each.allocation_id).values(tier=("student", "staff", None)[number % 3])
                connection.execute(tier)
                self._know_idle(connection, each, number)
                if number % 7 == 3 and each.ended_at is not None:
                    self._move(connection, each, number)
            days = [(self.start + timedelta(days=number)).replace(hour=0, minute=0, second=0, microsecond=0) for number in range(9)]
            samples = [StorageSample(f"user{n % 5}", day, day + timedelta(hours=3), n * GIB // 3, f"p{n % 3}", f"c{n % 2}") for n, day in enumerate(days)]
            StorageSampleStore().add(connection, samples)

    def _session(self, number: int) -> UsageInterval:
        chance, gpus = self.chance, self.chance.randrange(4)
        start = self.start - timedelta(days=1) + timedelta(microseconds=chance.randrange(9 * 86_400_000_000))
        if number % 5 == 0:  # at the edges of days
            start = start.replace(hour=0, minute=0, second=0, microsecond=0)
        length = 0 if number % 13 == 0 else int(chance.expovariate(1 / 40_000_000_000))
        is_open = number % 11 == 0
        return UsageInterval(
            id=UUID(int=number + 1), allocation_id=UUID(int=number + 1), user_id=number % 5, user_name=f"user{number % 5}", project=f"p{number % 3}",
            cost_centre=f"c{number % 2}", environment_template=("pytorch", "r")[number % 2], gpus=gpus,
            gpu_type=chance.choice(["h100", "l4", None]) if gpus else chance.choice(["h100", None]), memory_bytes=chance.randrange(9 * GIB),
            cpu_cores=chance.randrange(5), started_at=start, ended_at=None if is_open else start + timedelta(microseconds=length),
            last_seen_at=None if number % 22 == 0 else start + timedelta(microseconds=length),
            end_cause=None if is_open else chance.choice([EndCause.STOPPED, EndCause.START_FAILED]), estimated=not is_open and number % 4 == 0,
        )  # fmt: skip

    def _know_idle(self, connection, session: UsageInterval, number: int) -> None:
        """Store what it did: idle spans that touch, begin before it and end after it; the last one may be open."""
        at = session.started_at - timedelta(minutes=number % 4)
        for part in range(number % 4):
            until = at + timedelta(microseconds=self.chance.randrange(20_000_000_000))
            is_last = part == number % 4 - 1 and number % 2 == 0
            values = {"started_at": at, "ended_at": None if is_last else until, "last_seen_at": until, "samples": 1}
            connection.execute(insert(activity_intervals).values(allocation_id=session.allocation_id, activity=("idle", "used")[part % 3 == 1], **values))
            at = until if number % 3 else until + timedelta(minutes=1)

    def _move(self, connection, session: UsageInterval, number: int) -> None:
        source, target = Account(session.project, session.cost_centre), Account(f"p{(number + 1) % 3}", "c9")
        for step in range(1 + number % 2):
            move = SessionMove(session.allocation_id, step + 1, source, target, session.started_at, session.ended_at, session.ended_at, "bea", "wrong")
            SessionMoveStore().insert(connection, move)
            source, target = target, Account("p1", "c1")

    def report(self, charging: Charging, groups: tuple[str, ...], filters) -> bytes:
        stream = io.BytesIO()
        charging.reporter.write(ReportQuery(self.start, self.end, "json", groups, filters), stream)
        return stream.getvalue()


MIDDLES = (
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # clocks go forward in Berlin, a month ends
    datetime(2026, 10, 25, 1, tzinfo=UTC),  # they go back
    datetime(2027, 1, 1, tzinfo=UTC),  # a year ends
    datetime(2028, 2, 29, 12, tzinfo=UTC),
)
FILTERS = (
    {}, {"user": "user1"}, {"project": "p1"}, {"cost_centre": frozenset({"c0", "c9"}), "user": frozenset({"user1", "user3"})}, {"gpu_type": "h100"},
    {"environment_template": "r"},
)  # fmt: skip
GROUPS = ((), ("project",), ("user", "gpu_type"), ("day", "cost_centre"), ("month", "environment_template"), ("week", "project", "user"))


def undated(sums):
    """Return sums of all days together, and of all people."""
    return set(without_people(replace(one, start=datetime(2026, 1, 1, tzinfo=UTC)) for one in sums))


@pytest.mark.parametrize("middle", MIDDLES, ids=lambda at: f"{at:%Y-%m}")
def test_sums_of_the_database_are_the_sums_of_all_charges(database: Database, middle: datetime) -> None:
    made = Made(database, middle, seed=middle.month)
    with database.snapshot() as connection:
        for filters in FILTERS:
            charges = made.charging.charges.charges(connection, made.start, made.end, filters=filters)
            sums = made.charging.charges.sums(connection, made.start, made.end, columns=COLUMNS, by_day=True, filters=filters)
            by_day = daily_sums(charges)
            assert daily_sums(sums) == by_day, filters
            sums = made.charging.charges.sums(connection, made.start, made.end, columns=COLUMNS, by_day=False, filters=filters)
            assert undated(daily_sums(sums)) == undated(by_day), filters


def test_reports_have_the_same_bytes_and_costs_are_the_same(database: Database) -> None:
    made = Made(database, MIDDLES[0], seed=9)
    for number, groups in enumerate(GROUPS):
        filters = FILTERS[number]
        assert made.report(made.charging, groups, filters) == made.report(made.plain, groups, filters), groups
        query = UsageQuery(made.start, made.end, groups, filters)
        assert made.charging.costs().costs(query) == made.plain.costs().costs(query), groups


def test_what_cannot_be_added_up_exactly_is_refused(database: Database) -> None:
    made = Made(database, MIDDLES[0], seed=9, count=1)
    lengthen(made, memory_bytes=2**62)
    with pytest.raises(LedgerError, match="more than can be added up exactly"):
        made.charging.costs().costs(UsageQuery(made.start, made.end))


def test_a_sum_that_no_number_holds_is_refused_where_no_part_of_it_is_too_large(database: Database) -> None:
    """PostgreSQL adds such numbers up exactly; SQLite says that its integers overflow, and that is not a database that does not answer."""
    if not database.is_sqlite:
        pytest.skip("PostgreSQL adds them up")
    made = Made(database, MIDDLES[0], seed=9, count=4)
    lengthen(made, memory_bytes=4 * 10**7 * GIB, gpus=1, gpu_type="h100", project="p1")
    with pytest.raises(LedgerError, match="more than can be added up exactly"):
        made.charging.costs().costs(UsageQuery(made.start, made.end))


def test_time_of_gpus_that_is_not_exact_is_refused(database: Database) -> None:
    made = Made(database, MIDDLES[0], seed=9, count=1)
    lengthen(made, gpus=2**31 - 1)
    for by in ((), ("day",)):
        with pytest.raises(LedgerError, match="more than can be added up exactly"):
            made.charging.costs().usage(UsageQuery(made.start, made.end, by))


def lengthen(made: Made, **values: object) -> None:
    """Have every session run from the begin to the end of what is looked at."""
    with made.database.write() as connection:
        for number, each in enumerate(made.sessions):
            longest = {"started_at": made.start, "ended_at": made.end, "sequence": number + 1, "hash": str(number), "end_cause": "stopped"}
            connection.execute(update(usage_intervals).where(usage_intervals.c.id == each.id).values(**longest, **values))


def test_a_report_reads_no_session_by_itself(database: Database) -> None:
    made = Made(database, MIDDLES[0], seed=9)
    made.charging.charges._uses.stream = None  # whoever calls it fails
    made.report(made.charging, ("project",), {})


SHARES = (Share.EVENLY, Share.PROPORTIONALLY, Share.NONE)


def with_shares(found: tuple[RateCard, ...]) -> tuple[RateCard, ...]:
    """Return cards of which each shares out otherwise what nobody held."""
    return tuple(replace(card, unallocated=Unallocated(SHARES[number % 3])) for number, card in enumerate(found))


@pytest.mark.parametrize("middle", MIDDLES[:2], ids=lambda at: f"{at:%Y-%m}")
def test_chargeback_has_the_same_bytes_from_sums_and_from_every_charge(database: Database, middle: datetime) -> None:
    made = Made(database, middle, seed=middle.month)
    with database.write() as connection:
        capacity = [{"at": made.start + timedelta(days=2 * number), "gpu_type": name, "gpus": 900 + number} for number in range(3) for name in ("h100", "l4")]
        connection.execute(insert(capacity_changes), capacity)
        for number, (scope, name) in enumerate(((Scope.PROJECT, "p1"), (Scope.PERSON, "user2"), (Scope.COST_CENTRE, "c9"))):
            CreditStore().insert(connection, credit(number, scope, name, made.start, made.end - timedelta(days=3)))
    charging = Charging(database, with_shares(cards(middle)), made.charging.clock)
    rows: list[ChargebackRow] = []
    for month in sorted({f"{at:%Y-%m}" for at in (made.start, made.end)}):
        ours, plain = (each.chargeback().of_month(month) for each in (charging, charging.one_by_one()))
        assert ours == plain
        assert chargeback_csv(ours) == chargeback_csv(plain)
        rows += ours.rows
    assert all(any(row.numbers[name] for row in rows) for name in NUMBERS), "the months have some of everything"
    assert "c9" in {row.cost_centre for row in rows}, "sessions were moved there"


def credit(number: int, scope: Scope, name: str, starts_at: datetime, expires_at: datetime) -> Credit:
    given = {"scope": scope, "name": name, "amount_micros": 25_123_457, "currency": "EUR", "priority": number, "reason": "a try"}
    return Credit(id=UUID(int=number + 1), **given, created_by="root", created_at=starts_at, starts_at=starts_at, expires_at=expires_at)


def test_chargeback_reads_no_session_by_itself(database: Database) -> None:
    made = Made(database, MIDDLES[0], seed=9)
    made.charging.split._uses.stream = None  # whoever calls it fails
    assert made.charging.chargeback().of_month("2026-03").rows


def test_leads_are_told_the_same_from_sums_and_from_every_charge(database: Database) -> None:
    made = Made(database, MIDDLES[0], seed=9)
    projects = {name: Project(name, name, "c0", leads=("lea",)) for name in ("p0", "p1", "p2")}
    with database.snapshot() as connection:
        ours, plain = (showback(each, projects)._uses(connection, made.start, made.end, {"lea": tuple(projects)}) for each in (made.charging, made.plain))
        idle: dict[str, dict[tuple[UUID, str], int]] = {}
        for each in made.charging.split.charges(connection, made.start, made.end):
            if each.sku is Sku.IDLE_GPU_HOUR:
                sessions, whose = idle.setdefault(each.project, {}), (each.allocation_id, each.user_name)
                sessions[whose] = sessions.get(whose, 0) + each.unit_microseconds
    assert ours == plain
    assert set(ours) == set(projects)
    for name, use in ours.items():
        worst = sorted(((*whose, time) for whose, time in idle[name].items() if time > 0), key=lambda each: (-each[2], str(each[0])))[:3]
        assert [(each.allocation_id, each.user_name, each.idle_gpu_microseconds) for each in use.sessions] == worst


def showback(charging: Charging, projects: dict[str, Project]) -> Showback:
    catalog = Catalog({}, {}, {}, projects, {}, charging.cards())
    return Showback(
        database=charging.database, catalog=catalog, showback=ShowbackStore(), charges=charging.split, sums=UsageSums(), activity=ActivitySums(),
        notices=None, audit_trail=None, clock=charging.clock,
    )  # fmt: skip
