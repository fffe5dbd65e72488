"""Who waits gets their server by themselves, with the real hub, and also when hub and keeper die meanwhile."""

import signal
import time

import pytest
import requests
from sqlalchemy import select

from aiplatform_hub.clients.identity import send_signal
from aiplatform_hub.domain.allocations import AllocationState, ServerKey
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.storage.schema import allocations
from tests.support.hub import wait_for
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def stack():
    made = Stack()
    made.start()
    yield made
    made.close()


def caller(stack, user):
    """Return a person as the hub knows them: a start that is refused tells their id."""
    assert stack.ask_start(user, 4).status_code == 429
    with stack.factory.database.read() as connection:
        return Caller(connection.execute(select(allocations.c.user_id).where(allocations.c.user_name == user)).scalars().first(), user)


def queue(stack, person, gpus):
    project = next(p for p in stack.factory.catalog.projects.values() if p.is_personal)
    request = LaunchRequest("trivial", gpus, "simulated", GIB, 1, project.name, project.cost_centre)
    return stack.factory.enforcer.hold(person, request, ServerKey(person.user_id, ""), door="rest", actor=person.user_name, may_wait=True)


def kill(stack, *programs):
    for name in programs:
        send_signal(stack.program(name), signal.SIGKILL)


def test_server_of_who_waited_starts_by_itself_though_hub_and_keeper_were_killed(stack):
    stack.launch("ana", 4)
    waiting = queue(stack, caller(stack, "ben"), 2)
    assert waiting.is_queued
    kill(stack, "hub", "keeper")
    wait_for(stack.is_up, "the hub answers again", 60)
    wait_for(lambda: stack.program("keeper"), "the keeper is back")
    assert stack.find(waiting.id).is_queued
    refused = stack.ask_start("ben", 1)
    assert refused.status_code == 409
    assert "waits in the queue" in refused.json()["message"]
    assert stack.api("DELETE", "users/ana/server", "ana").status_code in {202, 204}
    ended = wait_for(lambda: next((a for a in [stack.find(x.id) for x in of(stack, "ana")] if a.ended_at), None), "ana's session ends", 30)
    wait_for(lambda: stack.answers("ben"), "ben's server answers", 30)
    started = stack.find(waiting.id)
    assert (started.state, started.requeued, started.actor) == (AllocationState.ACTIVE, 0, "ben")
    print(f"from the end of one to the start request of the next: {(started.starting_at - ended.ended_at).total_seconds():.2f} s")


def test_door_that_overtakes_nobody_is_open(stack):
    assert stack.ask_start("dan", 2).status_code in {201, 202}
    waiting = queue(stack, caller(stack, "eva"), 2)
    refused = stack.ask_start("finn", 1)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert stack.find(waiting.id).is_queued


def test_withdrawn_request_is_not_started(stack):
    (waiting,) = (a for a in of(stack, "eva") if a.is_queued)
    assert stack.factory.queue_desk.withdraw(waiting.id, by="eva")
    assert stack.api("DELETE", "users/ben/server", "ben").status_code in {202, 204}
    wait_for(lambda: all(a.user_name != "ben" for a in stack.open()), "ben's session ends", 30)
    time.sleep(2)  # two passes
    assert {a.user_name for a in stack.open()} == {"dan"}


def of(stack, user):
    with stack.factory.database.read() as connection:
        rows = connection.execute(select(allocations.c.id).where(allocations.c.user_name == user)).scalars().all()
    return [stack.find(id_) for id_ in rows]


def test_start_by_the_keeper_without_a_hold_starts_nothing(stack):
    token = (stack.settings.secrets_dir / "keeper").read_text().strip()
    options = {"user_options": {"environment_template": "trivial", "gpus": 0}}
    address = f"{stack.url}/hub/api/users/eva/server"
    refused = requests.post(address, json=options, headers={"Authorization": f"token {token}"}, timeout=30)
    assert refused.status_code == 409
    assert "nothing is started" in refused.json()["message"]
    assert stack.ask_start("eva", 0).status_code in {201, 202}, "she herself may"
