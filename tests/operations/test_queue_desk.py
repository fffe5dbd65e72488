"""Owners withdraw, change and confirm what waits, at any moment."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause, ServerKey
from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError, QuotaExceededError, ServerExistsError, ServiceUnavailableError
from aiplatform_hub.storage import schema
from tests.support.chain import NOON, Chain, person, want


@pytest.fixture
def line(chain: Chain) -> Chain:
    """All four GPUs are held by persons 1 and 2; submit times alone decide who is next."""
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(2))
    return Chain(chain.database, chain.head_file, chain.clock, policy=FIFO)


def free(chain: Chain, user: int) -> None:
    chain.end(next(allocation for allocation in chain.open() if allocation.user_id == user))


def history(chain: Chain, allocation: Allocation) -> list[str]:
    with chain.database.read() as connection:
        return [event.cause for event in chain.allocations.history(connection, allocation.id)]


def test_withdrawn_request_is_over_and_its_name_is_free(line: Chain) -> None:
    queued = line.queue(person(3), "c", want(2))
    assert line.desk.withdraw(queued.id, by="user3")
    found = line.find(queued)
    assert (found.state, found.end_cause, found.ended_at) == (AllocationState.WITHDRAWN, EndCause.STOPPED_BY_USER, NOON)
    assert not line.desk.withdraw(queued.id, by="user3"), "it may be asked twice"
    free(line, 1)
    assert line.dispatch().held == ()
    assert line.queue(person(3), "c", want(2)).is_open


def test_withdrawal_just_after_the_dispatch_gives_the_gpus_back(line: Chain) -> None:
    queued = line.queue(person(3), "c", want(2))
    free(line, 1)
    line.dispatch()
    assert line.desk.withdraw(queued.id, by="user3")
    with pytest.raises(ConflictError):
        line.take_up(person(3), "c", want(2), is_dispatched=True)
    with line.database.read() as connection:
        assert len(line.allocations.leased(connection)) == 2
    assert line.hold(person(4), "d", want(2)).is_open


def test_running_session_is_not_withdrawn(line: Chain) -> None:
    queued = line.queue(person(3), "c", want(2))
    free(line, 1)
    line.dispatch()
    line.take_up(person(3), "c", want(2), is_dispatched=True)
    assert not line.desk.withdraw(queued.id, by="user3")
    assert line.find(queued).is_open


def test_withdrawal_by_an_admin_is_audited(line: Chain) -> None:
    queued = line.queue(person(3), "c", want(2))
    assert line.desk.withdraw(queued.id, by="boss", cause=EndCause.STOPPED_BY_ADMIN)
    with line.database.read() as connection:
        (row,) = connection.execute(select(schema.audit_events)).mappings()
    assert (row["actor"], row["action"], row["target"]) == ("boss", "withdraw_request", f"allocation:{queued.id}")


def test_what_others_do_to_a_request_is_audited_in_the_same_transaction(line: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    one = line.queue(person(3), "c", want(2))
    line.desk.change_gpus(one.id, person(3), 1, by="user3")
    line.desk.confirm(one.id, by="user3")
    line.desk.change_gpus(one.id, person(3), 2, by="boss")
    line.desk.confirm(one.id, by="boss")
    with line.database.read() as connection:
        rows = connection.execute(select(schema.audit_events).order_by(schema.audit_events.c.id)).mappings().all()
    assert [(row["actor"], row["action"]) for row in rows] == [("boss", "change_request"), ("boss", "confirm_request")]
    before = line.find(one)
    monkeypatch.setattr(line.desk._audit_trail, "record", refuse)
    for act in (lambda: line.desk.change_gpus(one.id, person(3), 1, by="boss"), lambda: line.desk.confirm(one.id, by="boss")):
        with pytest.raises(ServiceUnavailableError):
            act()
        assert line.find(one) == before


def refuse(*_: object, **__: object) -> None:
    raise ServiceUnavailableError("The database does not answer.")


def test_fewer_gpus_keep_the_place(line: Chain) -> None:
    one = line.queue(person(3), "c", want(2))
    line.clock.move(seconds=1)
    line.queue(person(4), "d", want(1))
    line.clock.move(seconds=1)
    changed = line.desk.change_gpus(one.id, person(3), 1, by="user3")
    assert (changed.request.gpus, changed.queued_at, changed.confirmed_at) == (1, one.queued_at, line.clock())
    assert line.find(one) == changed
    line.hold(person(5), "free", want(0))
    free(line, 1)
    assert [held.user_id for held in line.dispatch().held] == [3, 4]
    assert history(line, one) == ["queued", "changed", "dispatched"]


def test_more_gpus_go_to_the_back(line: Chain) -> None:
    one = line.queue(person(3), "c", want(1))
    line.clock.move(seconds=1)
    other = line.queue(person(4), "d", want(2))
    changed = line.desk.change_gpus(one.id, person(3), 2, by="user3")
    assert changed.queued_at is not None
    assert other.queued_at is not None
    assert changed.queued_at > other.queued_at
    assert changed.requested_at == one.requested_at
    free(line, 1)
    assert [held.user_id for held in line.dispatch().held] == [4]


def test_no_gpus_and_gpus_again_keep_a_valid_type(line: Chain) -> None:
    one = line.queue(person(3), "c", want(2))
    none = line.desk.change_gpus(one.id, person(3), 0, by="user3")
    assert (none.request.gpus, none.request.gpu_type) == (0, None)
    again = line.desk.change_gpus(one.id, person(3), 1, by="user3")
    assert (again.request.gpus, again.request.gpu_type) == (1, "h100")


def test_change_that_is_not_possible_leaves_the_request_as_it_was(line: Chain) -> None:
    one = line.queue(person(3), "c", want(2))
    with pytest.raises(QuotaExceededError):
        line.desk.change_gpus(one.id, person(3), 3, by="user3")
    with pytest.raises(InvalidOptionError):
        line.desk.change_gpus(one.id, person(3), 9, by="user3")
    with pytest.raises(NotFoundError):
        line.desk.change_gpus(uuid4(), person(3), 1, by="user3")
    assert line.find(one) == one
    line.desk.withdraw(one.id, by="user3")
    with pytest.raises(ConflictError):
        line.desk.change_gpus(one.id, person(3), 1, by="user3")


def test_decision_of_a_change_replays(line: Chain) -> None:
    one = line.queue(person(3), "c", want(2))
    line.clock.move(seconds=1)
    line.desk.change_gpus(one.id, person(3), 1, by="user3")
    assert line.enforcer.why(one.id).is_reproduced


def test_change_between_plan_and_start_is_seen(line: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    one = line.queue(person(3), "c", want(1))
    free(line, 1)
    plan = line.dispatcher._start

    def late(starts, survey):
        line.desk.change_gpus(one.id, person(3), 2, by="user3")
        return plan(starts, survey)

    monkeypatch.setattr(line.dispatcher, "_start", late)
    assert line.dispatch().held == ()
    monkeypatch.undo()
    (held,) = line.dispatch().held
    assert len(held.devices) == 2


def test_withdrawal_between_plan_and_start_is_seen(line: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    one = line.queue(person(3), "c", want(2))
    free(line, 1)
    plan = line.dispatcher._start

    def late(starts, survey):
        line.desk.withdraw(one.id, by="user3")
        return plan(starts, survey)

    monkeypatch.setattr(line.dispatcher, "_start", late)
    assert line.dispatch().held == ()
    assert line.find(one).state is AllocationState.WITHDRAWN


def test_confirmation_between_look_and_end_keeps_the_request(line: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    one = line.queue(person(3), "c", want(2))
    line.clock.move(hours=25)
    end = line.dispatcher._end

    def late(over):
        line.desk.confirm(one.id, by="user3")
        return end(over)

    monkeypatch.setattr(line.dispatcher, "_end", late)
    assert line.dispatch().ended == {}
    assert line.find(one).is_queued


def test_failed_start_goes_to_the_front_once_and_then_ends(line: Chain) -> None:
    one = line.queue(person(3), "c", want(2))
    line.clock.move(seconds=1)
    line.queue(person(4), "d", want(2))
    free(line, 1)
    line.dispatch()
    assert line.dispatcher.start_failed(one.id)
    again = line.find(one)
    assert (again.state, again.devices, again.held_at, again.requeued, again.queued_at) == (AllocationState.QUEUED, (), None, 1, one.queued_at)
    assert [held.id for held in line.dispatch().held] == [one.id]
    assert line.dispatcher.start_failed(one.id)
    assert (line.find(one).state, line.find(one).end_cause) == (AllocationState.ENDED, EndCause.START_FAILED)
    assert not line.dispatcher.start_failed(one.id)
    assert [held.user_id for held in line.dispatch().held] == [4]
    assert history(line, one) == ["queued", "dispatched", "requeued", "dispatched", "start_failed"]


def test_requeued_request_comes_before_lighter_users(chain: Chain) -> None:
    used = chain.take_up(person(3), "old", want(2))
    chain.meter.started(used.id, NOON)
    chain.clock.move(hours=9)
    chain.end(used)
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(2))
    one = chain.queue(person(3), "c", want(2))
    free(chain, 1)
    chain.dispatch()
    chain.clock.move(hours=1)
    chain.dispatcher.start_failed(one.id)
    chain.queue(person(4), "d", want(2))
    assert [held.id for held in chain.dispatch().held] == [one.id]


def test_hold_that_no_start_takes_up_goes_back_once(line: Chain) -> None:
    one = line.queue(person(3), "c", want(2))
    free(line, 1)
    for expected in (AllocationState.QUEUED, AllocationState.EXPIRED):
        line.dispatch()
        assert line.meter.released(one.id, EndCause.HOLD_EXPIRED, "keeper")
        assert line.find(one).state is expected


def test_hold_given_back_is_no_failure(line: Chain) -> None:
    one = line.queue(person(3), "c", want(2))
    free(line, 1)
    for _ in range(3):
        line.dispatch()
        assert line.dispatcher.give_back(one.id)
        assert (line.find(one).state, line.find(one).requeued) == (AllocationState.QUEUED, 0)
    assert not line.dispatcher.give_back(one.id)


@pytest.mark.parametrize("failures", [0, 1])
def test_start_under_way_is_not_called_failed(line: Chain, failures: int) -> None:
    one = line.queue(person(3), "c", want(2))
    free(line, 1)
    line.dispatch()
    for _ in range(failures):
        line.dispatcher.start_failed(one.id)
        line.dispatch()
    assert [a.id for a in line.dispatcher.unstarted()] == [one.id]
    line.take_up(person(3), "c", want(2), is_dispatched=True)
    assert line.dispatcher.unstarted() == ()
    assert not line.dispatcher.start_failed(one.id)
    assert not line.dispatcher.give_back(one.id)
    assert line.find(one).is_open


@pytest.mark.parametrize("has_begun", [False, True])
def test_start_that_failed_in_the_hub_is_repeated_under_a_new_id_once(line: Chain, has_begun: bool) -> None:
    one = line.queue(person(3), "c", want(2))
    free(line, 1)
    current, ids = one, [one.id]
    for _ in range(2):
        line.dispatch()
        line.take_up(person(3), "c", want(2), is_dispatched=True, spawner_id=7)
        if has_begun:
            line.meter.started(current.id, line.clock())
            line.meter.ended(current.id, line.clock(), EndCause.START_FAILED)
        else:
            line.meter.released(current.id, EndCause.START_FAILED, "hub")
        assert (line.find(current).state, line.find(current).end_cause) == (AllocationState.ENDED, EndCause.START_FAILED)
        for current in line.queued():
            assert (current.succeeds, current.requeued, current.queued_at, current.spawner_id) == (one.id, 1, one.queued_at, None)
            ids.append(current.id)
    assert len(ids) == len(set(ids)) == 2
    assert line.queued() == ()


def test_stop_during_a_failed_start_is_respected(line: Chain) -> None:
    one = line.queue(person(3), "c", want(2))
    free(line, 1)
    line.dispatch()
    line.take_up(person(3), "c", want(2), is_dispatched=True)
    line.meter.request_stop(one.id, "user3", EndCause.STOPPED_BY_USER)
    line.meter.released(one.id, EndCause.START_FAILED, "hub")
    assert line.queued() == ()


def test_start_that_never_waited_is_not_repeated(line: Chain) -> None:
    free(line, 1)
    taken = line.take_up(person(3), "c", want(2))
    line.meter.released(taken.id, EndCause.START_FAILED, "hub")
    assert line.queued() == ()


def test_dispatched_start_takes_its_hold_or_nothing(line: Chain) -> None:
    free(line, 1)
    with pytest.raises(ConflictError):
        line.take_up(person(3), "c", want(2), is_dispatched=True)
    assert len(line.open()) == 1
    one = line.queue(person(3), "c", want(1))
    assert one.is_open
    with pytest.raises(ConflictError):
        line.take_up(person(3), "c", want(2), is_dispatched=True)
    assert line.find(one).state is AllocationState.HELD


def test_clock_that_goes_back_expires_nobody(line: Chain) -> None:
    one = line.queue(person(3), "c", want(2))
    line.clock.move(days=-30)
    assert line.dispatch().ended == {}
    free(line, 1)
    line.dispatch()
    assert line.find(one).is_open
    line.clock.now = NOON + timedelta(hours=1)
    assert line.dispatcher.unstarted()


def test_renamed_server_keeps_its_place_under_its_new_name(line: Chain) -> None:
    one = line.queue(person(3), "c", want(2))
    other = line.queue(person(3), "d", want(2))
    assert line.meter.renamed(7, "e", before=ServerKey(3, "c"))
    assert line.find(one).server_name == "e"
    assert line.find(one).queued_at == one.queued_at
    with pytest.raises(ServerExistsError):
        line.meter.renamed(7, "e", before=ServerKey(3, "d"))
    assert line.find(other).server_name == "d"
    assert not line.meter.renamed(7, "f")
