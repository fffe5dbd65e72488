"""A session whose quota Kueue wants back: warned, stopped after its deadline, queued again, and left alone if Kueue changes its mind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.kueue import SETTLED_AFTER, Phase
from aiplatform_hub.domain.policy import SHIPPED
from aiplatform_hub.domain.release import Action, Cause, ReleaseView
from aiplatform_hub.errors import ConflictError
from aiplatform_hub.operations.releaser import ACTOR, Released
from aiplatform_hub.storage import schema
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.heartbeats import Heartbeat, HeartbeatStore
from tests.support.chain import person, want
from tests.support.kueue import KueueChain

WARNING = timedelta(seconds=SHIPPED.idle_warning_seconds)
GUARANTEED = timedelta(seconds=SHIPPED.guaranteed_seconds)


class Cluster:
    """One session that came through Kueue's queue, and a keeper that looks."""

    def __init__(self, chain: KueueChain) -> None:
        self.chain = chain
        queued = chain.queue(person(1), "s", want(2))
        chain.dispatch()
        chain.dispatch()
        chain.take_up(person(1), "s", want(2))
        assert chain.meter.started(queued.id, chain.clock())
        self.session = chain.find(queued)
        self.look()

    def look(self) -> Released:
        """Let the keeper look once, and give a sign of life."""
        now = self.chain.clock()
        with self.chain.database.write() as connection:
            HeartbeatStore().beat(connection, Heartbeat(ACTOR, "x", now, now))
        return self.chain.releaser.look(self.chain.dispatch().claims)

    def passes(self, span: timedelta) -> None:
        """Let time pass while the keeper looks."""
        until = self.chain.clock() + span
        while self.chain.clock() < until:
            self.chain.clock.now = min(until, self.chain.clock() + timedelta(seconds=30))
            self.look()

    def until_warned(self) -> datetime:
        """Let Kueue want the quota back after the guaranteed time; return the deadline that the owner is told."""
        self.passes(GUARANTEED)
        self.chain.kueue.evict(self.session.id)
        (warned,) = self.look().warned
        assert warned[0].id == self.session.id
        return self.deadline()

    def deadline(self) -> datetime:
        deadline = self.view().deadline
        assert deadline is not None
        return deadline

    def new_keeper(self) -> None:
        """Let a keeper that knows nothing but the rows take over."""
        self.chain.dispatcher, self.chain.releaser = self.chain._dispatcher(), self.chain.new_releaser()
        self.chain.releaser.begin()

    def restore(self) -> None:
        """Let Kueue leave the session its quota after all."""
        self.chain.kueue.restore(self.session.id)

    def view(self) -> ReleaseView:
        with self.chain.database.read() as connection:
            return self.chain.releases.of(connection, (self.found,), self.chain.clock())[self.session.id]

    @property
    def found(self) -> Allocation:
        return self.chain.find(self.session)

    @property
    def causes(self) -> list[str]:
        with self.chain.database.read() as connection:
            return [event.cause for event in self.chain.allocations.history(connection, self.session.id)]


@pytest.fixture
def cluster(database: Database, tmp_path: Path) -> Iterator[Cluster]:
    chain = KueueChain(database, tmp_path / "ledger-head.json")
    chain.register()
    yield Cluster(chain)


def test_it_is_warned_then_stopped_then_queued_again_at_its_place(cluster: Cluster) -> None:
    chain = cluster.chain
    assert cluster.until_warned() == chain.clock() + WARNING
    view = cluster.view()
    assert (view.action, view.why, view.is_if_somebody_waits, view.can_extend_until) == (Action.WARN, Cause.PREEMPTED, False, None)
    cluster.passes(WARNING - timedelta(seconds=1))
    assert cluster.found.stop_cause is None
    chain.clock.move(seconds=1)
    assert [a.id for a in cluster.look().stops] == [cluster.session.id]
    assert cluster.found.stop_cause is EndCause.PREEMPTED
    assert cluster.causes[-3:] == ["reclaimed", "release_warned", "release_begins"]
    assert chain.kueue.works[cluster.session.id].phase is Phase.EVICTED, "as long as it runs, its GPUs are nobody else's"
    chain.kueue.is_admitting = False
    chain.meter.ended(cluster.session.id, chain.clock(), EndCause.KILLED)
    chain.dispatch()
    (again,) = chain.queued()
    assert cluster.found.end_cause is EndCause.PREEMPTED
    assert (again.succeeds, again.queued_at, again.requeued, again.stop_cause) == (cluster.session.id, cluster.session.queued_at, 0, None)
    assert chain.kueue.works.keys() == {again.id}


def test_the_guaranteed_time_is_its_own(cluster: Cluster) -> None:
    cluster.chain.kueue.evict(cluster.session.id)
    cluster.passes(GUARANTEED - WARNING - timedelta(seconds=30))
    assert (cluster.view().action, cluster.view().why) == (Action.KEEP, Cause.PREEMPTED)
    cluster.passes(WARNING)
    assert (cluster.view().action, cluster.found.stop_cause) == (Action.WARN, None)
    assert cluster.deadline() == cluster.view().guaranteed_until
    cluster.passes(timedelta(seconds=30))
    assert cluster.found.stop_cause is EndCause.PREEMPTED


def test_what_kueue_takes_back_is_called_off(cluster: Cluster) -> None:
    deadline = cluster.until_warned()
    cluster.restore()
    cluster.look()
    assert cluster.causes[-2:] == ["reclaim_over", "release_called_off"]
    assert cluster.view().why is not Cause.PREEMPTED
    cluster.passes(2 * WARNING)
    assert cluster.found.stop_cause is None
    cluster.chain.kueue.evict(cluster.session.id)
    cluster.look()
    assert cluster.deadline() == cluster.chain.clock() + WARNING > deadline, "it is warned anew"


def test_what_kueue_takes_back_between_look_and_record_is_not_stopped(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.until_warned()
    cluster.passes(WARNING - timedelta(seconds=1))
    releaser, claims = cluster.chain.releaser, cluster.chain.dispatch().claims
    assert claims == {cluster.session.id: frozenset()}
    cluster.chain.clock.move(seconds=1)
    mark = releaser._mark

    def take_back(*arguments: Any) -> Any:
        cluster.restore()
        cluster.chain.dispatch()
        return mark(*arguments)

    monkeypatch.setattr(releaser, "_mark", take_back)
    assert releaser.look(claims).stops == ()
    assert cluster.found.stop_cause is None
    assert cluster.causes[-1] == "reclaim_over"


def test_nothing_is_stopped_for_a_kueue_that_is_silent(cluster: Cluster) -> None:
    cluster.until_warned()
    cluster.chain.kueue.is_away = True
    cluster.passes(2 * WARNING)
    assert cluster.found.stop_cause is None
    cluster.chain.kueue.is_away = False
    cluster.look()
    assert cluster.found.stop_cause is EndCause.PREEMPTED


def test_idle_gpus_are_not_taken_while_kueue_could_give_them_to_nobody(cluster: Cluster) -> None:
    chain = cluster.chain
    other = chain.queue(person(2), "s", want(2))
    cluster.passes(timedelta(minutes=1))
    assert chain.find(other).state is AllocationState.HELD
    waiting = chain.queue(person(3), "q", want(2))
    idle = {
        "allocation_id": cluster.session.id,
        "activity": "idle",
        "started_at": chain.clock(),
        "last_seen_at": chain.clock() + timedelta(days=1),
        "samples": 1,
    }
    with chain.database.write() as connection:
        connection.execute(insert(schema.activity_intervals), [idle])
    cluster.passes(GUARANTEED - timedelta(minutes=3))
    chain.kueue.is_away = True
    cluster.passes(2 * WARNING)
    assert (cluster.found.stop_cause, chain.find(waiting).is_queued) == (None, True)
    chain.kueue.is_away = False
    cluster.passes(timedelta(minutes=1))
    assert cluster.found.stop_cause is EndCause.IDLE


def test_a_warning_of_something_else_does_not_count_for_it(cluster: Cluster) -> None:
    chain = cluster.chain
    idle = {
        "allocation_id": cluster.session.id,
        "activity": "idle",
        "started_at": chain.clock(),
        "last_seen_at": chain.clock() + timedelta(days=1),
        "samples": 1,
    }
    with chain.database.write() as connection:
        connection.execute(insert(schema.activity_intervals), [idle])
    cluster.passes(GUARANTEED + 2 * WARNING)
    assert (cluster.view().action, cluster.view().why) == (Action.WARN, Cause.IDLE), "nobody waits, so it stays"
    chain.kueue.evict(cluster.session.id)
    cluster.passes(WARNING - timedelta(seconds=30))
    assert cluster.found.stop_cause is None
    cluster.passes(timedelta(minutes=1))
    assert cluster.found.stop_cause is EndCause.PREEMPTED


def test_an_extension_does_not_hold_against_it(cluster: Cluster) -> None:
    cluster.passes(GUARANTEED)
    cluster.chain.releaser.extend(cluster.session.id, by="user1")
    deadline = cluster.until_warned()
    with pytest.raises(ConflictError, match="Kueue, wants the GPUs of this session back"):
        cluster.chain.releaser.extend(cluster.session.id, by="user1")
    assert cluster.deadline() == deadline


def test_keeper_killed_between_warning_and_stop(cluster: Cluster) -> None:
    deadline = cluster.until_warned()
    cluster.passes(WARNING / 2)
    cluster.new_keeper()
    cluster.look()
    assert (cluster.deadline(), cluster.causes.count("reclaimed"), cluster.causes.count("release_warned")) == (deadline, 1, 1)
    cluster.chain.clock.now = deadline
    cluster.new_keeper()
    cluster.chain.releaser.begin()
    assert cluster.found.stop_cause is None
    cluster.passes(2 * WARNING)
    assert cluster.found.stop_cause is EndCause.PREEMPTED


def test_keeper_that_was_down_for_long_warns_anew(cluster: Cluster) -> None:
    cluster.until_warned()
    cluster.chain.clock.move(hours=2)
    cluster.new_keeper()
    cluster.look()
    assert cluster.found.stop_cause is None
    assert cluster.deadline() == cluster.chain.clock() + WARNING


def test_eviction_that_ended_while_no_keeper_looked_is_called_off(cluster: Cluster) -> None:
    cluster.until_warned()
    cluster.restore()
    cluster.new_keeper()
    cluster.look()
    assert cluster.view().action is Action.KEEP
    assert cluster.causes[-2:] == ["reclaim_over", "release_called_off"]


def test_keeper_killed_between_record_and_stop_asks_again_or_takes_the_stop_back(cluster: Cluster) -> None:
    cluster.until_warned()
    cluster.passes(WARNING)
    assert cluster.found.stop_cause is EndCause.PREEMPTED
    cluster.new_keeper()
    assert [a.id for a in cluster.look().stops] == [cluster.session.id]
    cluster.restore()
    cluster.new_keeper()
    assert cluster.look().stops == ()
    assert cluster.found.stop_cause is None


def test_a_stop_of_its_owner_is_never_called_a_preemption(cluster: Cluster) -> None:
    cluster.until_warned()
    cluster.chain.meter.request_stop(cluster.session.id, "user1", EndCause.STOPPED_BY_USER)
    cluster.passes(2 * WARNING)
    assert cluster.found.stop_cause is EndCause.STOPPED_BY_USER
    cluster.chain.meter.ended(cluster.session.id, cluster.chain.clock(), EndCause.KILLED)
    assert cluster.chain.queued() == ()


def test_built_in_queue_forgets_what_kueue_wanted(cluster: Cluster) -> None:
    cluster.until_warned()
    cluster.chain.releases._is_kueue = False
    assert cluster.view().why is not Cause.PREEMPTED


def test_it_goes_on_where_whoever_preempted_it_has_gone(cluster: Cluster) -> None:
    kueue, id_ = cluster.chain.kueue, cluster.session.id
    cluster.until_warned()
    kueue.is_preemptor_there = False
    kueue.done.clear()
    cluster.passes(SETTLED_AFTER + timedelta(minutes=1))
    assert kueue.done == [("delete", id_), ("create", id_)], "Kueue itself never takes an eviction back"
    assert kueue.works[id_].phase is Phase.ADMITTED
    assert cluster.causes[-2:] == ["reclaim_over", "release_called_off"]
    cluster.passes(2 * WARNING)
    assert (cluster.found.stop_cause, cluster.found.state) == (None, AllocationState.ACTIVE)


def test_what_was_just_evicted_is_not_taken_back(cluster: Cluster) -> None:
    cluster.chain.kueue.is_preemptor_there = False
    cluster.until_warned()
    cluster.chain.clock.move(seconds=SETTLED_AFTER.total_seconds() - 1)
    cluster.look()
    assert cluster.chain.kueue.works[cluster.session.id].phase is Phase.EVICTED


def test_drained_queue_is_drained_though_nobody_waits(cluster: Cluster) -> None:
    cluster.passes(GUARANTEED)
    cluster.chain.kueue.is_preemptor_there = False
    cluster.chain.kueue.evict(cluster.session.id, is_preempted=False)
    cluster.passes(WARNING + timedelta(minutes=1))
    assert cluster.found.stop_cause is EndCause.PREEMPTED


def test_recorded_stop_is_carried_out_though_the_preemptor_goes(cluster: Cluster) -> None:
    cluster.until_warned()
    cluster.passes(WARNING)
    cluster.chain.kueue.is_preemptor_there = False
    cluster.passes(timedelta(minutes=2))
    assert cluster.chain.kueue.works[cluster.session.id].phase is Phase.EVICTED
    assert cluster.found.stop_cause is EndCause.PREEMPTED
