"""The keeper's part of giving GPUs back: it records why a session ends, and has the hub stop it, whatever dies in between."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from aiplatform_hub.clients.hub_api import HubApiClient
from aiplatform_hub.domain.allocations import AllocationState, EndCause, ServerKey
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.operations.releases import WARNED
from aiplatform_hub.services.keeper import release
from aiplatform_hub.services.keeper.dispatch import DispatchDuty
from aiplatform_hub.services.keeper.release import ReleaseDuty
from aiplatform_hub.storage import schema
from aiplatform_hub.storage.heartbeats import Heartbeat
from tests.support.hub_stand_in import HubStandIn

AWAY = "http://127.0.0.1:9/hub/api"


@pytest.fixture
def hub(machine):
    made = HubStandIn(machine)
    yield made
    made.close()


class Keeper:
    """One life of a keeper: its two duties, and nothing of an earlier life."""

    def __init__(self, machine, api_url):
        hub = HubApiClient(api_url=api_url, token="secret")
        machine.factory.__dict__.pop("releaser", None)
        machine.factory.__dict__.pop("dispatcher", None)
        self.dispatch = DispatchDuty(factory=machine.factory, hub=hub)
        self.release = ReleaseDuty(factory=machine.factory, hub=hub, claims=self.dispatch.claims)
        asyncio.run(self.release.begin())
        now = machine.factory.clock()
        with machine.factory.database.write() as connection:
            machine.factory.heartbeats.beat(connection, Heartbeat("keeper", "x", now, now))

    def look(self):
        """Look once with each, and wait for what they asked of the hub."""

        async def once():
            self.dispatch._passed_at = -10.0
            await self.dispatch.look()
            await self.release.look()
            await asyncio.gather(*self.dispatch._starting.values(), *self.release._stopping.values())

        asyncio.run(once())


def run(machine, user, gpus=2):
    """Start a session, as a hub does."""
    held = machine.hold(user, "", gpus)
    server = ServerKey(user, "", user * 10)
    taken = machine.factory.enforcer.take_up(Caller(user, f"user{user}"), held.request, server, door="hub", actor="x", hub_instance=machine.instance)
    machine.factory.meter.started(taken.id, machine.launch(taken).started_at)
    machine.factory.meter.ready(taken.id, machine.factory.clock())
    return taken.id


def queue(machine, user=5, gpus=2):
    caller = Caller(user, f"user{user}")
    return machine.factory.enforcer.hold(caller, machine.request(gpus), ServerKey(user, "s"), door="rest", actor=caller.user_name, may_wait=True)


def make_due(machine, *sessions, warned=6):
    """Let sessions be an hour old, idle for half of it, and warned some minutes ago."""
    now = machine.factory.clock()
    idle = [
        {"allocation_id": id_, "activity": "idle", "started_at": now - timedelta(minutes=30), "last_seen_at": now + timedelta(minutes=5), "samples": 9}
        for id_ in sessions
    ]
    marks = [
        {"allocation_id": id_, "at": now - timedelta(minutes=warned), "from_state": "active", "to_state": "active", "cause": WARNED, "actor": "keeper"}
        for id_ in sessions
    ]
    with machine.factory.database.write() as connection:
        connection.execute(update(schema.allocations).where(schema.allocations.c.id.in_(sessions)).values(started_at=now - timedelta(hours=1)))
        connection.execute(insert(schema.activity_intervals), idle)
        connection.execute(insert(schema.allocation_events), marks)


@pytest.fixture
def due(machine):
    """Two idle sessions hold all GPUs; somebody waits for two of them."""
    sessions = [run(machine, 1), run(machine, 2)]
    make_due(machine, *sessions)
    now = machine.factory.clock()
    with machine.factory.database.write() as connection:
        machine.factory.heartbeats.beat(connection, Heartbeat("keeper", "x", now, now))
    return sessions


def stopping(machine, sessions):
    return [id_ for id_ in sessions if machine.find(id_).stop_cause is not None]


def test_idle_session_is_stopped_and_who_waits_is_started(machine, hub, due):
    waiting = queue(machine)
    keeper = Keeper(machine, hub.api_url)
    keeper.look()
    ended = [id_ for id_ in due if machine.find(id_).state is AllocationState.ENDED]
    assert len(ended) == len(hub.stops) == 1
    assert machine.find(ended[0]).end_cause is EndCause.IDLE
    keeper.look()
    assert machine.find(waiting.id).state is AllocationState.ACTIVE
    assert len(hub.stops) == 1


def test_nobody_is_stopped_while_nobody_waits(machine, hub, due):
    keeper = Keeper(machine, hub.api_url)
    for _ in range(3):
        keeper.look()
    assert hub.stops == []


def test_keeper_killed_between_record_and_stop(machine, hub, due):
    queue(machine)
    first = Keeper(machine, hub.api_url)
    first.release._hub = HubApiClient(api_url=AWAY, token="secret")
    first.look()
    (recorded,) = stopping(machine, due)
    assert hub.stops == []
    Keeper(machine, hub.api_url).look()
    assert machine.find(recorded).end_cause is EndCause.IDLE
    assert len(hub.stops) == 1


def test_stop_that_the_hub_refuses_is_asked_for_again(machine, hub, due):
    queue(machine)
    keeper = Keeper(machine, hub.api_url)
    hub.refusal = (400, "it is still starting")
    keeper.look()
    (recorded,) = stopping(machine, due)
    hub.refusal = None
    keeper.look()
    assert machine.find(recorded).state is AllocationState.ENDED
    assert len(hub.stops) == 2


def test_hub_that_stops_slowly_is_not_asked_at_each_look(machine, hub, due, monkeypatch):
    queue(machine)
    monkeypatch.setattr(hub, "stop", lambda user, server: (hub.stops.append((user, server)), (202, ""))[1])
    keeper = Keeper(machine, hub.api_url)
    for _ in range(3):
        keeper.look()
    assert len(hub.stops) == 1
    monkeypatch.setattr(release, "AGAIN_SECONDS", 0.0)
    keeper.look()
    assert len(hub.stops) == 2


def test_nobody_is_stopped_while_the_hub_cannot_start_who_waits(machine, hub, due):
    queue(machine)
    keeper = Keeper(machine, AWAY)
    keeper.look()
    assert stopping(machine, due) == []
