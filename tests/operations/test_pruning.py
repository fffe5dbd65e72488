"""What is old goes, in small transactions; the ledger, its split, and what is still needed stay."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, insert, select

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.notices import Notice, NoticeKind
from aiplatform_hub.domain.series import MINUTE, GpuMinute, SessionMinute
from aiplatform_hub.operations.pruning import KEPT, Pruner
from aiplatform_hub.storage.activity_sums import ActivitySums
from aiplatform_hub.storage.notifications import NotificationStore
from aiplatform_hub.storage.retention import RetentionStore
from aiplatform_hub.storage.schema import (
    activity_intervals,
    gpu_minutes,
    gpu_samples,
    notification_deliveries,
    notifications,
    session_minutes,
    usage_intervals,
)
from aiplatform_hub.storage.series import SeriesStore
from aiplatform_hub.storage.usage_sums import SumQuery
from tests.support.chain import NOON, Chain, person, want

STORE = NotificationStore()
DAY = timedelta(days=1)


def tell(chain: Chain, key: str, *, age: timedelta, allocation_id: UUID | None = None, user: str = "user1", is_due: bool = False) -> None:
    notice = Notice(0, key, chain.clock() - age, user, allocation_id, NoticeKind.TURN_CAME, {}, None)
    with chain.database.write() as connection:
        STORE.tell(connection, notice, ("page",))
        if not is_due:
            (delivery,) = [each for each in STORE.due(connection, "page", chain.clock(), limit=999) if each.notice.key == key]
            STORE.delivered(connection, delivery, chain.clock())


def prune(chain: Chain, *, at_once: int = 500) -> int:
    """Prune; return how often others had their turn in between."""
    pauses: list[float] = []
    Pruner(database=chain.database, retention=RetentionStore(), clock=chain.clock, at_once=at_once, pause=pauses.append).prune()
    return len(pauses)


def keys(chain: Chain) -> set[str]:
    with chain.database.read() as connection:
        return set(connection.execute(select(notifications.c.key)).scalars())


def count(chain: Chain, table) -> int:
    with chain.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def ended(chain: Chain):
    held = chain.take_up(person(1, "staff"), "", want(1))
    chain.meter.started(held.id, chain.clock())
    chain.meter.ended(held.id, chain.clock.move(seconds=3600), EndCause.EXITED)
    return chain.find(held)


def record(chain: Chain, session, *activities: str) -> None:
    """Say of each ten minutes of a session what its GPUs did."""
    rows = []
    for number, activity in enumerate(activities):
        start, end = (session.started_at + timedelta(minutes=10 * each) for each in (number, number + 1))
        rows.append({"allocation_id": session.id, "activity": activity, "started_at": start, "ended_at": end, "last_seen_at": end, "samples": 1})
    with chain.database.write() as connection:
        connection.execute(insert(activity_intervals), rows)


def test_old_notices_go_and_young_or_needed_ones_stay(chain: Chain) -> None:
    over = ended(chain)
    running = chain.take_up(person(2, "staff"), "", want(1))
    chain.clock.move(days=60)
    tell(chain, "old", age=KEPT + DAY, allocation_id=over.id)
    tell(chain, "of nothing", age=KEPT + DAY)
    tell(chain, "not passed on", age=KEPT + DAY, is_due=True)
    tell(chain, "goes on", age=KEPT + DAY, allocation_id=running.id)
    tell(chain, "somebody's newest", age=KEPT + DAY, user="user2")
    tell(chain, "young", age=KEPT - DAY)
    prune(chain)
    assert keys(chain) == {"not passed on", "goes on", "somebody's newest", "young"}
    assert count(chain, notification_deliveries) == 4


def test_the_split_of_a_past_month_survives(chain: Chain) -> None:
    session = ended(chain)
    record(chain, session, "used", "unknown", "idle", "unknown")
    query = SumQuery(NOON - DAY, NOON + DAY, ("allocation",))
    with chain.database.read() as connection:
        before, ledger = ActivitySums().sums(connection, query), connection.execute(select(usage_intervals)).all()
    chain.clock.move(days=31)
    prune(chain)
    with chain.database.read() as connection:
        assert ActivitySums().sums(connection, query) == before
        assert connection.execute(select(usage_intervals)).all() == ledger
        left = connection.execute(select(activity_intervals.c.activity).order_by(activity_intervals.c.started_at)).scalars().all()
    assert (len(before), left) == (2, ["used", "idle"])


def test_nothing_of_a_young_or_running_session_goes(chain: Chain) -> None:
    record(chain, ended(chain), "unknown")
    held = chain.take_up(person(2, "staff"), "", want(1))
    chain.meter.started(held.id, chain.clock())
    prune(chain)
    assert count(chain, activity_intervals) == 1
    record(chain, chain.find(held), "unknown")
    chain.clock.move(days=60)
    prune(chain)
    assert count(chain, activity_intervals) == 1, "that of the session that still runs"


def test_only_old_samples_go(chain: Chain) -> None:
    rows = [
        {"device_uuid": name, "at": chain.clock() - age, "utilisation_percent": 0, "memory_bytes": 0} for name, age in (("gone", KEPT + DAY), ("here", DAY))
    ]
    with chain.database.write() as connection:
        connection.execute(insert(gpu_samples), rows)
    prune(chain)
    with chain.database.read() as connection:
        assert connection.execute(select(gpu_samples.c.device_uuid)).scalars().all() == ["here"]


def test_only_old_minutes_go_and_others_have_their_turn(chain: Chain) -> None:
    session = ended(chain)
    minutes = [chain.clock() - KEPT + MINUTE * number for number in (-3, -2, -1, 0, 1)]
    with chain.database.write() as connection:
        gpus = [GpuMinute(session.id, at, device, 4, 0, 0, 0) for at in minutes for device in ("a", "b")]
        SeriesStore().add(connection, gpus, [SessionMinute(session.id, at, 1.0, 1) for at in minutes])
    assert prune(chain, at_once=4) == 1
    for table in (gpu_minutes, session_minutes):
        with chain.database.read() as connection:
            assert set(connection.execute(select(table.c.at)).scalars()) == set(minutes[3:])


def test_others_have_their_turn_between_batches(chain: Chain) -> None:
    chain.clock.move(days=60)
    for number in range(6):
        tell(chain, f"old {number}", age=KEPT + DAY)
    assert prune(chain, at_once=2) == 2
    assert keys(chain) == {"old 5"}
