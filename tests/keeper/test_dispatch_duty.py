"""The keeper's part of the queue: it asks the hub who waits, holds, and has the hub start what it held."""

import asyncio

import pytest

from aiplatform_hub.clients.hub_api import HubApiClient
from aiplatform_hub.domain.allocations import AllocationState, EndCause, ServerKey
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.services.keeper import dispatch
from aiplatform_hub.services.keeper.dispatch import DispatchDuty
from tests.support.hub_stand_in import HubStandIn


@pytest.fixture
def hub(machine):
    made = HubStandIn(machine)
    yield made
    made.close()


@pytest.fixture
def duty(machine, hub, monkeypatch):
    monkeypatch.setattr(dispatch, "AGAIN_SECONDS", 0.01)
    return DispatchDuty(factory=machine.factory, hub=HubApiClient(api_url=hub.api_url, token="secret"))


def look(duty):
    """Make a pass and wait for the starts that it asked for."""

    async def once():
        duty._passed_at = -10.0
        await duty.look()
        await asyncio.gather(*duty._starting.values())

    asyncio.run(once())


def queue(machine, user=5, gpus=2):
    caller = Caller(user, f"user{user}")
    server = ServerKey(user, "s")
    return machine.factory.enforcer.hold(caller, machine.request(gpus), server, door="rest", actor=caller.user_name, may_wait=True)


@pytest.fixture
def taken(machine):
    """All four GPUs are held."""
    return [machine.hold(user, "", 2) for user in (1, 2)]


def give_up(machine, hold):
    machine.factory.meter.released(hold.id, EndCause.STOPPED_BY_USER, "x")


def test_server_starts_when_its_turn_comes(machine, hub, duty, taken):
    waiting = queue(machine)
    look(duty)
    assert machine.find(waiting.id).is_queued
    give_up(machine, taken[0])
    look(duty)
    assert machine.find(waiting.id).state is AllocationState.ACTIVE
    assert hub.starts == ["user5"]
    look(duty)
    assert hub.starts == ["user5"], "it is started once"


def test_hold_of_an_earlier_keeper_is_started(machine, hub, duty, taken):
    waiting = queue(machine)
    give_up(machine, taken[0])
    machine.factory.dispatcher.dispatch({"user5": Caller(5, "user5")})
    assert machine.find(waiting.id).state is AllocationState.HELD
    look(duty)
    assert machine.find(waiting.id).state is AllocationState.ACTIVE


def test_refused_start_goes_to_the_front_once_and_ends(machine, hub, duty, taken):
    waiting, other = queue(machine), queue(machine, 6)
    give_up(machine, taken[0])
    hub.refusal = (403, "not for you")
    look(duty)
    assert (machine.find(waiting.id).state, machine.find(waiting.id).requeued) == (AllocationState.QUEUED, 1)
    look(duty)
    assert (machine.find(waiting.id).state, machine.find(waiting.id).end_cause) == (AllocationState.ENDED, EndCause.START_FAILED)
    hub.refusal = None
    look(duty)
    assert machine.find(other.id).state is AllocationState.ACTIVE


def test_start_that_the_hub_cannot_make_just_now_is_tried_again(machine, hub, duty, taken):
    waiting = queue(machine)
    give_up(machine, taken[0])
    hub.refusal = (400, "user5:s is still stopping")
    tries = []

    def at(_step):
        pass

    start = hub.start

    def third_time(*arguments):
        tries.append(arguments)
        hub.refusal = None if len(tries) == 3 else hub.refusal
        return start(*arguments)

    hub.at, hub.start = at, third_time
    look(duty)
    assert len(tries) == 3
    assert (machine.find(waiting.id).state, machine.find(waiting.id).requeued) == (AllocationState.ACTIVE, 0)


def test_hub_that_is_away_costs_nobody_their_place(machine, hub, duty, taken, caplog):
    waiting = queue(machine)
    give_up(machine, taken[0])
    away = DispatchDuty(factory=machine.factory, hub=HubApiClient(api_url="http://127.0.0.1:9/hub/api", token="secret"))
    for _ in range(3):
        look(away)
    assert (machine.find(waiting.id).state, machine.find(waiting.id).requeued) == (AllocationState.QUEUED, 0)
    assert caplog.text.count("The queue stands still") == 1


def test_hub_that_goes_between_grant_and_start_costs_no_failure(machine, hub, duty, taken, monkeypatch):
    waiting = queue(machine)
    give_up(machine, taken[0])
    gone = HubApiClient(api_url="http://127.0.0.1:9/hub/api", token="secret")
    monkeypatch.setattr(duty._hub, "start_server", gone.start_server)
    look(duty)
    assert (machine.find(waiting.id).state, machine.find(waiting.id).requeued) == (AllocationState.QUEUED, 0)
    monkeypatch.undo()
    look(duty)
    assert machine.find(waiting.id).state is AllocationState.ACTIVE


def test_withdrawal_while_the_start_is_asked_for_starts_nothing(machine, hub, duty, taken):
    waiting = queue(machine)
    give_up(machine, taken[0])

    def at(step):
        if step == "before take_up":
            assert machine.factory.queue_desk.withdraw(waiting.id, by="user5")

    hub.at = at
    look(duty)
    assert machine.find(waiting.id).state is AllocationState.WITHDRAWN
    assert machine.running() == frozenset()
    assert len(machine.open()) == 1


def test_owner_whom_the_hub_does_not_have_leaves_the_queue(machine, hub, duty, taken):
    waiting = queue(machine)
    hub.gone = {"user5"}
    look(duty)
    assert machine.find(waiting.id).end_cause is EndCause.OWNER_GONE


def test_nothing_is_asked_of_the_hub_while_nobody_waits(machine, hub, duty, taken):
    asked = []
    hub.at = asked.append
    look(duty)
    look(duty)
    assert asked == []


def test_renamed_person_keeps_their_place_and_starts_under_the_new_name(machine, hub, duty, taken):
    waiting, other = queue(machine), queue(machine, 6)
    look(duty)
    hub.names = {5: "eve"}
    duty._people.clear()
    look(duty)
    found = machine.find(waiting.id)
    assert (found.user_name, found.is_queued, found.queued_at) == ("eve", True, waiting.queued_at)
    give_up(machine, taken[0])
    look(duty)
    assert machine.find(waiting.id).state is AllocationState.ACTIVE
    assert hub.starts == ["eve"]
    assert machine.find(other.id).is_queued


def test_name_that_another_person_has_now_takes_nobodys_place(machine, hub, duty, taken):
    """Two people changed names: each request stays with whose it is."""
    one, two = queue(machine, 5), queue(machine, 6)
    hub.names = {5: "user6", 6: "user5"}
    look(duty)
    assert [(machine.find(a.id).user_id, machine.find(a.id).user_name) for a in (one, two)] == [(5, "user6"), (6, "user5")]
    assert all(machine.find(a.id).is_queued for a in (one, two))


def test_namesake_of_somebody_who_is_gone_keeps_what_is_theirs(machine, hub, duty, taken):
    gone, theirs = queue(machine, 5), queue(machine, 6)
    hub.names = {6: "user5"}  # person 5 was deleted, and person 6 took the name
    known = duty._hub.user_of_id

    async def user_of_id(user_id):
        return None if user_id == 5 else await known(user_id)

    duty._hub.user_of_id = user_of_id
    look(duty)
    assert machine.find(gone.id).end_cause is EndCause.OWNER_GONE
    assert (machine.find(theirs.id).is_queued, machine.find(theirs.id).user_name) == (True, "user5")
