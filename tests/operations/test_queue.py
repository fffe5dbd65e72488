"""Who does not fit now waits, nobody overtakes them, and the pass starts them in order: each step one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.domain.queueing import WaitCode
from aiplatform_hub.domain.quota import Outcome
from aiplatform_hub.errors import CapacityError, ConflictError, QueueFullError, QuotaExceededError, QuotaInUseError, ServerExistsError
from aiplatform_hub.storage import schema
from tests.support.chain import CATALOG, NOON, Chain, person, want


@pytest.fixture
def full(chain: Chain) -> Chain:
    """All four GPUs are held by persons 1 and 2."""
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(2))
    return chain


def first(chain: Chain) -> Allocation:
    """Return what person 1 holds: GPU-0 and GPU-1."""
    return next(allocation for allocation in chain.open() if allocation.user_id == 1)


def test_request_that_does_not_fit_now_is_queued_and_holds_nothing(full: Chain) -> None:
    queued = full.queue(person(3), "c", want(2))
    assert (queued.state, queued.devices, queued.held_at, queued.queued_at, queued.confirmed_at) == (AllocationState.QUEUED, (), None, NOON, NOON)
    assert full.find(queued) == queued
    assert len(full.open()) == 2
    record = full.enforcer.why(queued.id)
    assert (record.outcome, [reason.code for reason in record.reasons]) == (Outcome.QUEUE, ["capacity"])
    assert record.is_reproduced
    with full.database.read() as connection:
        (event,) = full.allocations.history(connection, queued.id)
    assert (event.from_state, event.to_state, event.cause) == (None, AllocationState.QUEUED, "queued")


def test_own_limit_in_use_is_waited_for(chain: Chain) -> None:
    chain.hold(person(1), "a", want(2))
    assert chain.queue(person(1), "b", want(1)).is_queued
    with pytest.raises(QuotaInUseError):
        chain.hold(person(1), "c", want(1))


def test_request_that_never_fits_is_refused_however_patient(full: Chain) -> None:
    with pytest.raises(QuotaExceededError):
        full.queue(person(3), "c", want(3))
    assert full.queued() == ()


def test_request_that_fits_is_held_at_once_though_it_might_wait(chain: Chain) -> None:
    assert chain.queue(person(1), "a", want(2)).state is AllocationState.HELD


def test_freed_gpus_go_to_who_waited(full: Chain) -> None:
    queued = full.queue(person(3), "c", want(2))
    assert full.dispatch().held == ()
    full.end(first(full))
    (held,) = full.dispatch().held
    assert (held.id, held.state, held.devices, held.held_at) == (queued.id, AllocationState.HELD, ("GPU-0", "GPU-1"), NOON)
    assert full.find(held) == held
    with full.database.read() as connection:
        assert {device for device, id_ in full.allocations.leased(connection).items() if id_ == held.id} == {"GPU-0", "GPU-1"}
        causes = [event.cause for event in full.allocations.history(connection, held.id)]
    assert causes == ["queued", "dispatched"]
    record = full.enforcer.why(held.id)
    assert record.outcome is Outcome.ADMIT
    assert record.is_reproduced
    assert record.replayed.devices == held.devices


def test_every_stored_decision_of_the_queue_replays_later(full: Chain) -> None:
    full.queue(person(3), "c", want(2))
    full.end(first(full))
    with pytest.raises(CapacityError):
        full.hold(person(4), "d", want(1))
    full.dispatch()
    full.queue(person(4), "d", want(1))
    full.register(0)
    with full.database.read() as connection:
        rows = connection.execute(select(schema.decisions.c.id, schema.decisions.c.outcome)).all()
    assert sorted(row.outcome for row in rows) == ["admit", "admit", "admit", "deny", "queue", "queue"]
    assert [full.enforcer.replay(row.id).outcome.value for row in rows] == [row.outcome for row in rows]


def test_no_door_overtakes_who_is_entitled(full: Chain) -> None:
    full.queue(person(3), "c", want(2))
    full.end(first(full))
    with pytest.raises(CapacityError) as refused:
        full.hold(person(4), "d", want(1))
    with pytest.raises(CapacityError):
        full.take_up(person(4), "d", want(1))
    assert refused.value.retry_after_seconds
    assert "1 request waits for h100 GPUs" in refused.value.message
    assert "Launch page" in refused.value.reasons[0].remedies[0]
    assert full.queue(person(4), "d", want(1)).is_queued
    assert [held.user_id for held in full.dispatch().held] == [3]


def test_gpus_that_nobody_is_entitled_to_are_for_every_door(full: Chain) -> None:
    full.queue(person(3), "c", want(2))
    full.end(first(full))
    full.register(5)
    assert full.hold(person(4), "d", want(1)).devices, "two are for the one who waits, the third is free"
    assert [held.user_id for held in full.dispatch().held] == [3]


def test_starts_without_gpus_never_wait_for_gpus(full: Chain) -> None:
    full.queue(person(3), "c", want(2))
    assert full.hold(person(4), "d", want(0)).is_open


def test_who_waits_for_their_own_limit_holds_nobody_up(chain: Chain) -> None:
    chain.hold(person(1), "a", want(2))
    waiting = chain.queue(person(1), "b", want(2))
    result = chain.dispatch()
    assert [(entry.reason.code, entry.reason.scope, entry.reason.dimension) for entry in result.entries] == [(WaitCode.QUOTA_IN_USE, "user:user1", "gpus")]
    assert chain.hold(person(2), "c", want(2)).is_open
    assert chain.find(waiting).is_queued


def test_pass_starts_in_order_of_submit_times_among_equals(full: Chain) -> None:
    chain = Chain(full.database, full.head_file, full.clock, policy=FIFO)
    ids = []
    for number in (5, 4, 3):
        ids.append(chain.queue(person(number), "c", want(1)).id)
        chain.clock.move(seconds=1)
    chain.end(first(chain))
    assert [held.id for held in chain.dispatch().held] == ids[:2]
    assert [entry.id for entry in chain.desk.entries()] == ids[2:]


def test_submit_times_keep_the_order_when_the_clock_goes_back(full: Chain) -> None:
    one = full.queue(person(3), "c", want(2))
    full.clock.move(hours=-5)
    other = full.queue(person(4), "d", want(2))
    assert one.queued_at is not None
    assert other.queued_at is not None
    assert other.queued_at > one.queued_at


def test_one_person_may_queue_ten(full: Chain) -> None:
    for number in range(10):
        full.queue(person(3), f"c{number}", want(2))
    with pytest.raises(QueueFullError) as refused:
        full.queue(person(3), "c10", want(2))
    assert refused.value.status == 429
    assert refused.value.retry_after_seconds
    assert "one person may have 10" in refused.value.message
    assert full.queue(person(4), "d", want(2)).is_queued
    assert full.hold(person(3), "none", want(0)).is_open, "what fits is no matter of the queue"


def test_server_waits_once(full: Chain) -> None:
    full.queue(person(3), "c", want(2))
    for start in (full.queue, full.hold, full.take_up):
        with pytest.raises(ServerExistsError, match="waits in the queue"):
            start(person(3), "c", want(1))
    with full.database.read() as connection:
        assert full.allocations.names_in_use(connection, 3) == {"c"}


def test_idempotency_key_gives_the_queued_request_again(full: Chain) -> None:
    queued = full.queue(person(3), "c", want(2), idempotency_key="k")
    assert full.queue(person(3), "c", want(2), idempotency_key="k") == queued


def test_own_and_place_limits_are_checked_again_at_the_dispatch(full: Chain) -> None:
    full.queue(person(3), "c", want(2))
    full.queue(person(3), "d", want(2))
    for allocation in full.open():
        full.end(allocation)
    result = full.dispatch()
    assert [held.server_name for held in result.held] == ["c"], "their tier allows two GPUs"
    assert [entry.reason.code for entry in result.entries] == [WaitCode.QUOTA_IN_USE]


def test_refusal_of_the_last_moment_makes_room_for_the_next_in_the_same_pass(full: Chain) -> None:
    with full.database.write() as connection:
        connection.execute(schema.storage_usage.insert(), {"user_name": "user3", "storage_bytes": 2**50, "measured_at": NOON})
    full.queue(person(3), "c", want(2))
    full.clock.move(seconds=1)
    full.queue(person(4), "d", want(2))
    full.end(first(full))
    result = full.dispatch()
    assert [held.user_id for held in result.held] == [4]
    assert [(entry.reason.code, entry.reason.dimension) for entry in result.entries] == [(WaitCode.QUOTA_IN_USE, "storage_bytes")]


def test_gpus_that_are_out_of_order_are_waited_for(full: Chain) -> None:
    queued = full.queue(person(3), "c", want(2))
    full.end(first(full))
    full.register(0)
    (entry,) = full.dispatch().entries
    assert (entry.id, entry.position, entry.reason.code, entry.reason.requested, entry.reason.free) == (queued.id, 1, WaitCode.CAPACITY, "2", "0")
    full.register(4)
    assert len(full.dispatch().held) == 1


def test_memory_that_the_place_has_lost_is_waited_for(full: Chain) -> None:
    queued = full.queue(person(3), "c", want(2, memory_gib=20))
    full.end(first(full))
    full.register(memory_gib=10)
    (entry,) = full.dispatch().entries
    assert (entry.id, entry.reason.code, entry.reason.dimension) == (queued.id, WaitCode.CAPACITY, "memory_bytes")
    full.clock.move(minutes=1)
    full.register(memory_gib=256)
    assert [held.id for held in full.dispatch().held] == [queued.id]


def test_request_larger_than_what_is_left_of_the_place_waits_and_blocks_nobody(full: Chain) -> None:
    big = full.queue(person(3, "staff"), "c", want(4))
    full.register(2)
    small = full.queue(person(4), "d", want(1))
    full.end(first(full))
    assert [held.id for held in full.dispatch(person(3, "staff"), person(4)).held] == [small.id]
    assert full.find(big).is_queued


@pytest.mark.parametrize(
    ("catalog", "people", "cause"),
    [
        (replace(CATALOG, environment_templates={}), [person(3, "vision")], EndCause.TEMPLATE_REMOVED),
        (replace(CATALOG, projects={"personal": CATALOG.projects["personal"]}), [person(3, "vision")], EndCause.PROJECT_CLOSED),
        (CATALOG, [person(3)], EndCause.NOT_ALLOWED),
        (CATALOG, [person(33)], EndCause.OWNER_GONE),
        (replace(CATALOG, gpu_types={}), [person(3, "vision")], EndCause.OPTIONS_REFUSED),
        (replace(CATALOG, tiers={"default": replace(CATALOG.tiers["default"], limits=())}), [person(3, "vision")], None),
    ],
)
def test_request_that_can_never_start_ends_with_its_own_cause_and_blocks_nobody(full: Chain, catalog, people, cause) -> None:
    queued = full.queue(person(3, "vision"), "c", want(2, project="vision"))
    full.queue(person(4), "d", want(2))
    full.end(first(full))
    changed = Chain(full.database, full.head_file, full.clock, catalog)
    known = {"user3": people[0], "user4": person(4)}
    result = changed.dispatcher.dispatch(known)
    found = full.find(queued)
    assert result.ended.get(queued.id) is found.end_cause is cause
    if cause is not None:
        assert found.state is AllocationState.EXPIRED
        assert found.ended_at == NOON
    if cause not in {None, EndCause.TEMPLATE_REMOVED, EndCause.OPTIONS_REFUSED}:
        assert [held.user_id for held in result.held] == [4]


def test_owner_whom_the_hub_does_not_know_any_more_leaves_the_queue(full: Chain) -> None:
    queued = full.queue(person(3), "c", want(2))
    assert full.dispatcher.dispatch({}).entries[0].reason.code is WaitCode.UNKNOWN_OWNER, "not told is not gone"
    assert full.dispatcher.dispatch({"user3": None}).ended == {queued.id: EndCause.OWNER_GONE}


def test_lowered_tier_ends_what_never_fits_any_more(full: Chain) -> None:
    queued = full.queue(person(3, "staff"), "c", want(4))
    assert full.dispatch(person(3, "staff")).ended == {}
    assert full.dispatch(person(3)).ended == {queued.id: EndCause.NEVER_FITS}


def test_request_expires_unless_its_owner_confirms_it(full: Chain) -> None:
    queued = full.queue(person(3), "c", want(2))
    full.clock.move(hours=23)
    assert full.desk.confirm(queued.id, by="user3").confirmed_at == full.clock()
    full.clock.move(hours=2)
    assert full.dispatch().ended == {}
    full.clock.move(hours=22)
    assert full.dispatch().ended == {queued.id: EndCause.INTEREST_EXPIRED}
    with pytest.raises(ConflictError):
        full.desk.confirm(queued.id, by="user3")


def test_changed_cost_centre_of_the_project_is_taken_over_at_the_dispatch(full: Chain) -> None:
    full.queue(person(3), "c", want(2))
    full.end(first(full))
    projects = {**CATALOG.projects, "personal": replace(CATALOG.projects["personal"], cost_centre="lab")}
    changed = Chain(full.database, full.head_file, full.clock, replace(CATALOG, projects=projects))
    (held,) = changed.dispatch().held
    assert held.request.cost_centre == "lab"
    assert changed.take_up(person(3), "c", held.request, is_dispatched=True).id == held.id


def test_light_users_come_before_heavy_ones(chain: Chain) -> None:
    heavy = chain.take_up(person(1), "a", want(2))
    chain.meter.started(heavy.id, NOON)
    chain.hold(person(2), "b", want(2))
    chain.clock.move(hours=10)
    chain.end(heavy)
    again = chain.hold(person(9), "z", want(2))
    chain.queue(person(1), "a", want(2))
    chain.clock.move(minutes=1)
    chain.queue(person(3), "c", want(2))
    chain.end(again)
    assert [held.user_id for held in chain.dispatch().held] == [3]


def test_entries_say_place_and_reason_and_new_ones_stand_at_the_end(full: Chain) -> None:
    one = full.queue(person(3), "c", want(2))
    full.dispatch()
    full.clock.move(seconds=1)
    two = full.queue(person(4), "d", want(1))
    assert [(entry.id, entry.position, entry.reason.code) for entry in full.desk.entries()] == [(one.id, 1, WaitCode.CAPACITY), (two.id, 2, WaitCode.NEW)]
    entry = full.desk.entry(one.id)
    assert entry is not None
    assert (entry.reason.requested, entry.reason.free) == ("2", "0")
    assert full.desk.entry(full.open()[0].id) is None


def test_dry_run_says_whether_it_would_queue(full: Chain) -> None:
    assert full.enforcer.dry_run(person(3), want(2)).outcome is Outcome.DENY
    assert full.enforcer.dry_run(person(3), want(2), may_wait=True).outcome is Outcome.QUEUE
    assert full.queued() == ()


def test_outlook_is_written_again_when_it_is_old(full: Chain) -> None:
    full.queue(person(3), "c", want(2))
    full.dispatch()

    def at() -> object:
        with full.database.read() as connection:
            return connection.execute(select(schema.queue_outlooks.c.at)).scalar_one()

    assert at() == NOON
    full.clock.move(seconds=10)
    full.dispatch()
    assert at() == NOON
    full.clock.move(seconds=25)
    full.dispatch()
    assert at() == NOON + timedelta(seconds=35)


def test_granted_tier_counts_for_who_waits(full: Chain) -> None:
    grant = {"tier": "premium", "expires_at": NOON + timedelta(hours=1), "reason": "", "granted_by": "boss", "granted_at": NOON, "user_name": "user3"}
    with full.database.write() as connection:
        connection.execute(schema.grants.insert(), {"id": uuid4(), **grant})
    queued = full.queue(person(3), "c", want(4))
    assert full.dispatch().ended == {}
    full.clock.move(hours=2)
    assert full.dispatch().ended == {queued.id: EndCause.NEVER_FITS}
