"""The plan, as a table: what the records say, and what is done."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.reconciliation import Action, ActionKind, Surroundings, cause_of, orphans, plan
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.usage import SessionRecord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = UUID(int=1)
HELD = Allocation(
    id=ID,
    user_id=1,
    user_name="alice",
    server_name="",
    spawner_id=1,
    request=LaunchRequest("jupyterlab", 1, "simulated", 2**30, 1, "personal", "personal"),
    state=AllocationState.HELD,
    devices=("GPU-1",),
    door="hub",
    actor="alice",
    requested_at=NOW,
    held_at=NOW,
)


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def held(seconds):
    return replace(HELD, requested_at=ago(seconds), held_at=ago(seconds))


def starting(seconds, hub="now"):
    return replace(held(seconds), starting_at=ago(seconds), hub_instance=hub)


READY = replace(starting(100), state=AllocationState.ACTIVE, started_at=ago(99), ready_at=ago(98))
UNREADY = replace(starting(3), state=AllocationState.ACTIVE, started_at=ago(2))
STOPPING = replace(READY, stop_cause=EndCause.STOPPED_BY_USER)

ALIVE = SessionRecord(ID, started_at=ago(99), last_seen_at=NOW, is_alive=True, is_runner_alive=True)
ALONE = replace(ALIVE, is_runner_alive=False)
EXITED = SessionRecord(ID, started_at=ago(99), ended_at=ago(5), exit_code=0, last_seen_at=ago(5))
ENDING = SessionRecord(ID, started_at=ago(99), last_seen_at=ago(8), is_runner_alive=True)
LOST = SessionRecord(ID, started_at=ago(99), last_seen_at=ago(8))
FAILED = SessionRecord(ID, failure="no such program")
PLANNED = SessionRecord(ID, is_runner_alive=True)
NOT_BEGUN = SessionRecord(ID)
GONE = SessionRecord(ID, is_gone=True)
NODE_LOST = replace(LOST, cause=EndCause.NODE_LOST)

START = Action(ActionKind.START, ID, ago(99))
PROVE = Action(ActionKind.PROVE, ID, NOW)
ASK = Action(ActionKind.ASK_HUB, ID)
RELEASE_FAILED = Action(ActionKind.RELEASE, ID, cause=EndCause.START_FAILED)


def end(at, cause, *, estimated=False):
    return Action(ActionKind.END, ID, at, cause, is_estimated=estimated)


@pytest.mark.parametrize(
    ("allocation", "record", "expected"),
    [
        # held, untaken
        (held(59), None, []),
        (held(60), None, []),
        (held(61), None, [Action(ActionKind.RELEASE, ID, cause=EndCause.HOLD_EXPIRED)]),
        (held(-3600), None, []),  # the clock was set back
        # taken up, no process yet
        (starting(4), None, []),
        (starting(6), None, [ASK]),
        (starting(6), NOT_BEGUN, [ASK]),
        (starting(6), PLANNED, [ASK]),
        (starting(4, "before"), None, []),
        (starting(6, "before"), None, [RELEASE_FAILED]),
        (starting(6, "before"), PLANNED, [ASK]),
        (starting(121), None, [RELEASE_FAILED]),
        (starting(121), PLANNED, [ASK]),
        (starting(1), FAILED, [RELEASE_FAILED]),
        # the hub died between exec and meter
        (starting(2), ALIVE, [START, PROVE]),
        (starting(2, "before"), ALIVE, [START, PROVE]),
        (starting(20), ALIVE, [START, PROVE, ASK]),
        (starting(2), EXITED, [START, end(ago(5), EndCause.START_FAILED)]),
        (starting(2), LOST, [START, end(ago(8), EndCause.START_FAILED, estimated=True)]),
        (starting(2), ENDING, [START]),
        # running
        (READY, ALIVE, [PROVE]),
        (READY, ALONE, [PROVE]),
        (UNREADY, ALIVE, [PROVE]),
        (replace(UNREADY, starting_at=ago(9)), ALIVE, [PROVE, ASK]),
        # ended
        (READY, EXITED, [end(ago(5), EndCause.EXITED)]),
        (READY, replace(EXITED, exit_code=3), [end(ago(5), EndCause.CRASHED)]),
        (READY, replace(EXITED, exit_code=None, signal=9), [end(ago(5), EndCause.KILLED)]),
        (READY, replace(EXITED, exit_code=None, signal=9, is_out_of_memory=True), [end(ago(5), EndCause.OUT_OF_MEMORY)]),
        (READY, replace(EXITED, exit_code=None, signal=15, is_stopped=True), [end(ago(5), EndCause.STOPPED)]),
        (STOPPING, replace(EXITED, exit_code=None, signal=15, is_stopped=True), [end(ago(5), EndCause.STOPPED_BY_USER)]),
        (UNREADY, replace(EXITED, exit_code=1), [end(ago(5), EndCause.START_FAILED)]),
        # nobody saw the end
        (READY, LOST, [end(ago(8), EndCause.LOST, estimated=True)]),
        (STOPPING, LOST, [end(ago(8), EndCause.STOPPED_BY_USER, estimated=True)]),
        (READY, ENDING, []),
        # a cluster knows more causes
        (READY, replace(EXITED, exit_code=137, signal=9, cause=EndCause.DELETED), [end(ago(5), EndCause.DELETED)]),
        (READY, replace(EXITED, exit_code=137, signal=9, cause=EndCause.EVICTED), [end(ago(5), EndCause.EVICTED)]),
        (READY, replace(EXITED, exit_code=137, is_out_of_memory=True, cause=EndCause.EVICTED), [end(ago(5), EndCause.OUT_OF_MEMORY)]),
        (STOPPING, replace(EXITED, cause=EndCause.DELETED), [end(ago(5), EndCause.STOPPED_BY_USER)]),
        (UNREADY, replace(EXITED, cause=EndCause.DELETED), [end(ago(5), EndCause.START_FAILED)]),
        (READY, NODE_LOST, [end(ago(8), EndCause.NODE_LOST, estimated=True)]),
        (STOPPING, NODE_LOST, [end(ago(8), EndCause.STOPPED_BY_USER, estimated=True)]),
        (starting(2), NODE_LOST, [START, end(ago(8), EndCause.START_FAILED, estimated=True)]),
        # the runtime is sure that there is none
        (READY, GONE, [end(ago(99), EndCause.LOST, estimated=True)]),
        (STOPPING, GONE, [end(ago(99), EndCause.STOPPED_BY_USER, estimated=True)]),
        (UNREADY, GONE, [end(ago(2), EndCause.START_FAILED, estimated=True)]),
        (held(59), GONE, []),
        (starting(4), GONE, []),  # its hub may be about to make the pod
        (starting(6), GONE, [ASK]),
        (starting(6, "before"), GONE, [RELEASE_FAILED]),
        (starting(121), GONE, [RELEASE_FAILED]),
        # unknown is not dead
        (READY, None, []),
        (READY, NOT_BEGUN, []),
        (READY, FAILED, []),
        (replace(READY, state=AllocationState.ENDED), LOST, []),
    ],
)
def test_what_the_records_say_is_done(allocation, record, expected):
    records = {} if record is None else {ID: record}
    assert list(plan([allocation], records, Surroundings(now=NOW, hub_instance="now"))) == expected


@pytest.mark.parametrize("allocation", [held(61), starting(121), starting(6, "before"), READY])
def test_an_unreadable_record_ends_nothing(allocation):
    assert plan([allocation], {}, Surroundings(now=NOW, hub_instance="now", unreadable=frozenset({ID}))) == ()


def test_an_unknown_hub_abandons_nothing_early():
    assert plan([starting(6, "before")], {}, Surroundings(now=NOW)) == (ASK,)


def test_a_lost_end_is_the_latest_proof_of_life_of_runner_and_keeper():
    around = Surroundings(now=NOW, last_seen={ID: ago(3)})
    assert plan([READY], {ID: LOST}, around) == (end(ago(3), EndCause.LOST, estimated=True),)


def test_a_node_is_lost_when_its_lease_was_last_renewed_whatever_was_seen_later():
    around = Surroundings(now=NOW, last_seen={ID: ago(3)})
    assert plan([READY], {ID: NODE_LOST}, around) == (end(ago(8), EndCause.NODE_LOST, estimated=True),)
    assert plan([READY], {ID: GONE}, around) == (end(ago(3), EndCause.LOST, estimated=True),)


def test_a_record_without_code_or_signal_is_lost():
    assert cause_of(replace(EXITED, exit_code=None), was_ready=True) is EndCause.LOST


@pytest.mark.parametrize("state", list(AllocationState))
def test_only_processes_of_closed_allocations_are_orphans(state):
    expected = () if state in {AllocationState.QUEUED, AllocationState.HELD, AllocationState.ACTIVE} else (Action(ActionKind.STOP, ID),)
    assert orphans({ID: ALIVE}, {ID: state}) == expected
    assert orphans({ID: EXITED}, {ID: state}) == ()


def test_a_process_that_the_database_does_not_know_is_left_alone():
    assert orphans({ID: ALIVE}, {}) == ()
