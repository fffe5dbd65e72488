"""What there was to use is noted when it changes and never again; a month's chargeback is the same from any database and next year."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, select, update
from test_cluster_capacity import CLUSTER_CATALOG, Cluster, node
from test_cost_reporter import random_interval, store
from test_drains import drains, uuids
from test_made_month import CARDS as NOVEMBERS_CARDS
from test_made_month import by, month  # noqa: F401  a fixture

from aiplatform_hub.domain.catalog import RateCard, Share, Unallocated
from aiplatform_hub.domain.chargeback import NUMBERS, Chargeback, with_idle_prices
from aiplatform_hub.domain.charges import total
from aiplatform_hub.domain.drains import DrainKind
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.domain.units import from_microseconds, to_microseconds
from aiplatform_hub.errors import InvalidOptionError
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.chargeback import ChargebackReader
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.reports.chargeback_csv import chargeback_csv
from aiplatform_hub.storage.capacity_changes import CapacityHistory, note_capacity
from aiplatform_hub.storage.chargeback_tables import capacity_changes
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.database import Database, TakenError
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.migrate import downgrade, upgrade
from aiplatform_hub.storage.schema import activity_intervals
from aiplatform_hub.storage.usage_sums import UsageSums
from tests.support.chain import NOON, Chain

FEBRUARY, MARCH = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
EVENLY = Unallocated(Share.EVENLY)
CARDS = (
    RateCard("a", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"h100": Decimal(4), "*": Decimal(1)}, Decimal("0.03"), unallocated=EVENLY),
    RateCard("b", FEBRUARY + timedelta(days=14), "EUR", {"h100": Decimal(5), "*": Decimal(1)}, Decimal("0.03"), unallocated=EVENLY),
)


def noted(database: Database) -> list[tuple[datetime, str, int]]:
    with database.read() as connection:
        rows = connection.execute(select(capacity_changes).order_by(capacity_changes.c.id))
        return [(row.at, row.gpu_type, row.gpus) for row in rows]


def reader(database: Database, cards=CARDS, now=MARCH + timedelta(days=9)) -> ChargebackReader:
    charges = ChargeReader(uses=ChargedUseStore(), cards=lambda: with_idle_prices(cards))
    burnt = CreditReader(charges=ChargeReader(uses=ChargedUseStore(), cards=lambda: cards), credits_=CreditStore())
    return ChargebackReader(
        database=database, charges=charges, credits_=burnt, capacity=CapacityHistory(), sums=UsageSums(), cards=lambda: cards, clock=lambda: now
    )


def has(database: Database, *changes: tuple[datetime, str, int]) -> None:
    with database.write() as connection:
        connection.execute(insert(capacity_changes), [{"at": at, "gpu_type": name, "gpus": gpus} for at, name, gpus in changes])


def by_name(found: Chargeback) -> dict[str | None, list[Decimal]]:
    return {row.cost_centre: [row.numbers[name].normalize() for name in NUMBERS[:-2]] for row in found.rows}


def test_a_machine_notes_what_can_be_used_when_it_changes(chain: Chain) -> None:
    box = Chain(chain.database, chain.head_file, chain.clock)
    box.register(4)
    first = noted(box.database)
    assert [row[1:] for row in first] == [("h100", 4)]
    box.clock.move(minutes=1)
    box.register(4)
    assert noted(box.database) == first, "the same is not noted again"
    box.clock.move(minutes=1)
    drain, _ = drains(box).drain(DrainKind.GPU, uuids(box)[0], by="boss", reason="a fan")
    box.clock.move(minutes=1)
    box.register(3)
    box.clock.move(minutes=1)
    box.register(4)
    drains(box).undo(drain.id, by="boss")
    assert [(at - NOON, gpus) for at, _, gpus in noted(box.database)[1:]] == [
        (timedelta(minutes=2), 3),
        (timedelta(minutes=3), 2),
        (timedelta(minutes=4), 3),
        (timedelta(minutes=4), 4),
    ]


def test_a_cluster_notes_what_its_nodes_give_others_not_counted(database: Database, tmp_path) -> None:
    cluster = Cluster(database, tmp_path / "head.json", catalog=CLUSTER_CATALOG)
    cluster.nodes(node("n1"), node("n2"))
    cluster.nodes(node("n1"), node("n2"))
    cluster.nodes(node("n1"), node("n2"), foreign={("n2", "nvidia.com/gpu"): 1})
    cluster.nodes(node("n1", works=0), node("n2"))
    assert [row[1:] for row in noted(database)] == [("h100", 4), ("h100", 3), ("h100", 2)]


def test_a_database_from_before_is_noted_though_nothing_changes(database: Database, tmp_path) -> None:
    cluster = Cluster(database, tmp_path / "head.json", catalog=CLUSTER_CATALOG)
    cluster.nodes(node("n1"))
    downgrade(database.url, "0019")
    upgrade(database.url)
    assert noted(database) == []
    cluster.nodes(node("n1"))
    assert noted(database) == [(NOON, "h100", 2)]


def test_a_clock_that_was_put_back_changes_nothing_that_was_noted(chain: Chain) -> None:
    chain.register(4)
    chain.clock.move(hours=-5)
    chain.register(2)
    assert [(at, gpus) for at, _, gpus in noted(chain.database)] == [(NOON, 4), (NOON, 2)]
    with chain.database.read() as connection:
        found = list(CapacityHistory().changes(connection, "h100", NOON + timedelta(days=1)))
    assert found[-1].gpus == 2, "of one instant the later row counts"


@pytest.mark.parametrize("act", [delete(capacity_changes), update(capacity_changes).values(gpus=9)], ids=["delete", "update"])
def test_what_was_noted_stays(database: Database, act) -> None:
    has(database, (FEBRUARY, "h100", 4))
    with pytest.raises(TakenError), database.write() as connection:
        connection.execute(act)
    assert noted(database) == [(FEBRUARY, "h100", 4)]


def test_nothing_is_noted_where_the_transaction_fails(database: Database) -> None:
    def broken() -> None:
        with database.write() as connection:
            DeviceStore().register_cluster(connection, (), (), memory_bytes=1, cpu_cores=1, at=NOON)
            connection.execute(insert(capacity_changes).values(at=NOON, gpu_type="h100", gpus=4))
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        broken()
    assert noted(database) == []
    with database.write() as connection:
        assert note_capacity(connection, NOON) == 0


def made_february(database: Database) -> None:
    """4 GPUs for a month, 2 after the 21st; lab uses 2 of them for 10 hours, 3 of these idle; library 1 for 20 hours over the change of prices."""
    base = replace(random_interval(random.Random(1), 1), gpu_type="h100", estimated=False, end_cause=None)
    lab = replace(base, id=UUID(int=1), allocation_id=UUID(int=1), cost_centre="lab", gpus=2, started_at=FEBRUARY, ended_at=FEBRUARY + timedelta(hours=10))
    late = FEBRUARY + timedelta(days=13, hours=14)
    library = replace(base, id=UUID(int=2), allocation_id=UUID(int=2), cost_centre="library", gpus=1, started_at=late, ended_at=late + timedelta(hours=20))
    store(database, [lab, library])
    has(database, (FEBRUARY - timedelta(days=9), "h100", 4), (FEBRUARY + timedelta(days=20), "h100", 2), (MARCH, "h100", 100))
    with database.write() as connection:
        start = FEBRUARY + timedelta(hours=2)
        span = {"started_at": start, "ended_at": start + timedelta(hours=3), "last_seen_at": start}
        connection.execute(insert(activity_intervals).values(allocation_id=lab.allocation_id, activity="idle", samples=1, **span))


def test_a_made_february(database: Database) -> None:
    """By hand: 14 days × 4 at 4 EUR, 6 days × 4 and 8 days × 2 at 5 EUR, less the 20 + 10 hours at 4 and 10 at 5 that were held."""
    made_february(database)
    found = reader(database).of_month("2026-02")
    early, late = 14 * 24 * 4 - 30, 6 * 24 * 4 + 8 * 24 * 2 - 10
    spare, half = early * 4 + late * 5, Decimal(early + late) / 2
    assert by_name(found) == {
        "lab": [14, 6, half, 56, 24, 0, 0, Decimal(spare) / 2, 80 + Decimal(spare) / 2],
        "library": [20, 0, half, 90, 0, 0, 0, Decimal(spare) / 2, 90 + Decimal(spare) / 2],
    }
    (h100,) = found.gpu_types
    assert h100.hours["total_gpu_hours"] == 14 * 24 * 4 + 6 * 24 * 4 + 8 * 24 * 2
    assert (found.complete_until, found.capacity_known_from) == (MARCH, FEBRUARY - timedelta(days=9))
    assert found.shares == (("a", Share.EVENLY), ("b", Share.EVENLY))


def test_used_idle_and_unallocated_are_all_there_was(database: Database) -> None:
    """Sessions at random on 40 GPUs: what the sums say is what a look at each session says, and money is what is charged."""
    chance = random.Random(3)
    span = to_microseconds(MARCH) - to_microseconds(FEBRUARY)
    rows = []
    for number in range(1, 90):
        start = from_microseconds(to_microseconds(FEBRUARY) - span // 20 + chance.randrange(span))
        one = random_interval(chance, number * 12 + 1)
        rows.append(replace(one, started_at=start, ended_at=start + timedelta(microseconds=chance.randrange(1, span // 8))))
    store(database, rows)
    has(database, (FEBRUARY - timedelta(days=9), "h100", 300), (FEBRUARY - timedelta(days=9), "l4", 300))
    found = reader(database).of_month("2026-02")
    for each in found.gpu_types:
        whole = Decimal(28 * 24 * 300)
        assert abs(each.hours["total_gpu_hours"] - whole) <= Decimal("0.000002")
        held = sum(to_microseconds(min(r.ended_at, MARCH)) * r.gpus - to_microseconds(max(r.started_at, FEBRUARY)) * r.gpus for r in rows if r.gpu_type == each.gpu_type and r.ended_at > FEBRUARY and r.started_at < MARCH)  # fmt: skip
        assert abs(each.hours["used_gpu_hours"] - Decimal(held) / 3_600_000_000) <= Decimal("0.000001")
    charges = ChargeReader(uses=ChargedUseStore(), cards=lambda: CARDS)
    with database.read() as connection:
        exact = total(charges.charges(connection, FEBRUARY, MARCH))["EUR"]
    (whole,) = found.totals
    assert abs(whole.numbers["total"] - whole.numbers["unallocated_cost"] - Decimal(exact.numerator) / exact.denominator) <= Decimal("0.000003")


def test_the_month_computed_by_hand_is_charged_back_to_the_cent(month) -> None:  # noqa: F811  the fixture
    found = reader(month.database, NOVEMBERS_CARDS, month.now).of_month("2026-11")
    wanted = {name: rounded(amount, 6) for name, amount in by("cost_centre").items()}
    assert {row.cost_centre: row.numbers["total"] for row in found.rows} == wanted
    by_type = {row.gpu_type: [row.hours[name] for name in ("used_gpu_hours", "idle_gpu_hours")] for row in found.gpu_types}
    assert by_type["h100"][1] == 1, "alice's second hour on the 18th"


def test_a_closed_month_has_the_same_bytes_next_year(database: Database) -> None:
    made_february(database)
    first, later = (chargeback_csv(reader(database, now=now).of_month("2026-02")) for now in (MARCH + timedelta(hours=1), MARCH + timedelta(days=400)))
    assert first == later
    assert len(first.splitlines()) == 3
    assert first.splitlines()[1].startswith("2026-02,lab,EUR,14.000000,6.000000,")


def test_a_month_that_runs_counts_until_now_and_one_to_come_is_refused(database: Database) -> None:
    made_february(database)
    found = reader(database, now=FEBRUARY + timedelta(hours=10)).of_month("2026-02")
    assert found.gpu_types[0].hours["total_gpu_hours"] == 40
    with pytest.raises(InvalidOptionError, match="2026-04 has not begun yet") as caught:
        reader(database).of_month("2026-04")
    assert caught.value.reasons[0].field == "month"


def test_without_a_rule_nobody_pays_for_what_nobody_held(database: Database) -> None:
    made_february(database)
    found = reader(database, tuple(replace(card, unallocated=Unallocated()) for card in CARDS)).of_month("2026-02")
    assert by_name(found)["lab"][-2:] == [0, 80]
    assert found.rows[-1].cost_centre is None
    assert found.rows[-1].numbers["total"] == found.rows[-1].numbers["unallocated_cost"] > 0


def test_names_are_no_formulas(database: Database) -> None:
    one = replace(random_interval(random.Random(1), 1), cost_centre="=SUM(A1)", started_at=FEBRUARY, ended_at=FEBRUARY + timedelta(hours=1))
    store(database, [one])
    assert ",'=SUM(A1),EUR," in chargeback_csv(reader(database).of_month("2026-02"))
