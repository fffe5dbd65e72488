"""The grace time with a real hub, its proxy and real servers; only the clock is the test's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
import requests

from aiplatform_hub.clients.hub_api import HubApiClient
from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause, ServerKey
from aiplatform_hub.domain.options import resolve
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.hub_factory import utc_now
from aiplatform_hub.services.keeper.dispatch import DispatchDuty
from aiplatform_hub.services.keeper.grace import GraceDuty
from aiplatform_hub.services.platform.release_news import told_of
from tests.support.hub import RealHub, real_hub, wait_for


@dataclass
class Ahead:
    """The present, moved on."""

    by: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.by


class Keeping:
    """The keeper's tasks about the queue, in this process, with a clock of ours."""

    def __init__(self, hub: RealHub) -> None:
        self.hub, self.clock = hub, Ahead()
        self.factory = Factory(hub.settings, self.clock)
        self.client = HubApiClient(api_url=hub.hub_api_url, token=f"{hub.service_token}k")

    def caller(self, name: str) -> Caller:
        user = asyncio.run(self.client.user(name))
        assert user is not None
        return Caller(user.id, user.name, user.groups)

    def ask(self, name: str) -> Allocation:
        caller = self.caller(name)
        request = resolve({"environment_template": "trivial", "gpus": 1}, catalog=self.factory.catalog, caller=caller, available_gpu_types=["simulated"])
        return self.factory.enforcer.hold(caller, request, ServerKey(caller.user_id, "train"), door="rest", actor=name, may_wait=True)

    def dispatch(self) -> None:
        async def once() -> None:
            duty = DispatchDuty(factory=self.factory, hub=self.client)
            await duty.look()
            await asyncio.gather(*duty._starting.values())

        asyncio.run(once())

    def grace(self) -> None:
        asyncio.run(GraceDuty(factory=self.factory, hub=self.client).look())

    def settled(self, allocation: Allocation) -> Allocation:
        self.factory.reconciler.reconcile()
        return self.hub.allocation(allocation.id)

    def granted(self, allocation: Allocation) -> Allocation:
        """Have it started, and tell its owner."""

        def is_ready() -> bool:
            self.dispatch()
            return self.hub.allocation(allocation.id).ready_at is not None

        wait_for(is_ready, f"{allocation.user_name}'s server is ready", 60, 0.5)
        self.factory.notice_watch.look()
        return self.hub.allocation(allocation.id)

    def latest(self, user: str) -> Allocation:
        return self.hub.allocations_of(user)[-1]

    def close(self) -> None:
        self.factory.close()


@pytest.fixture(scope="module")
def keeping():
    with real_hub(gpus=1) as hub:
        made = Keeping(hub)
        yield made
        made.close()


def visit(keeping: Keeping, user: str) -> int:
    return requests.get(f"{keeping.hub.url}/user/{user}/train/", timeout=10).status_code


def waited(keeping: Keeping, user: str) -> Allocation:
    """Let a person wait for the one GPU, and get it."""
    keeping.clock.by = timedelta(0)
    first = keeping.ask("user9")
    queued = keeping.ask(user)
    assert (first.state, queued.state) == (AllocationState.HELD, AllocationState.QUEUED)
    keeping.factory.meter.released(first.id, EndCause.STOPPED_BY_USER, "user9")
    return keeping.granted(queued)


def end(keeping: Keeping, user: str) -> None:
    for allocation in keeping.hub.allocations_of(user):
        keeping.factory.queue_desk.withdraw(allocation.id, by=user)
    keeping.hub.stop_server(user, "train")
    wait_for(lambda: keeping.hub.server(user, "train") is None, "the server is gone")
    keeping.factory.reconciler.reconcile()


def open_by(keeping: Keeping, session: Allocation) -> datetime | None:
    """Return until when the pages say that a session has to be opened."""
    with keeping.factory.database.read() as connection:
        return told_of(keeping.factory, connection, [session], keeping.clock())[session.id].open_by


def test_server_that_nobody_opened_is_stopped_and_its_request_queued_again(keeping):
    session = waited(keeping, "user1")
    told = keeping.factory.notices.of("user1", limit=1)[0].until
    assert told is not None
    assert open_by(keeping, session) == told, "its card says what its notice says"
    keeping.grace()
    keeping.clock.by = timedelta(minutes=14)
    keeping.grace()
    assert keeping.hub.allocation(session.id).stop_cause is None
    keeping.clock.by = timedelta(minutes=16)
    keeping.grace()
    wait_for(lambda: keeping.settled(session).state is AllocationState.ENDED, "it ended")
    assert keeping.hub.allocation(session.id).end_cause is EndCause.NOT_OPENED
    again = next(a for a in keeping.hub.allocations_of("user1") if a.succeeds == session.id)
    assert again.is_queued
    keeping.factory.notice_watch.look()
    assert [told.notice.kind.value for told in keeping.factory.notices.of("user1", limit=9)] == ["not_opened", "turn_came"]
    end(keeping, "user1")


def test_server_that_somebody_visits_is_theirs(keeping):
    session = waited(keeping, "user2")

    def is_seen() -> bool:
        assert visit(keeping, "user2") == 200
        keeping.grace()
        return keeping.hub.allocation(session.id).opened_at is not None

    assert open_by(keeping, session) is not None
    wait_for(is_seen, "the visit is seen", interval=0.5)
    assert open_by(keeping, keeping.hub.allocation(session.id)) is None
    keeping.clock.by = timedelta(hours=5)
    keeping.grace()
    assert keeping.settled(session).state is AllocationState.ACTIVE
    end(keeping, "user2")


def test_other_services_and_people_are_not_told_the_traffic(keeping):
    for user, status in (("user1", 403), ("admin", 200)):
        assert keeping.hub.api("GET", "aiplatform/traffic", user=user).status_code == status
    assert requests.get(f"{keeping.hub.hub_api_url}/aiplatform/traffic", timeout=10).status_code == 403


def test_nothing_is_stopped_while_hub_or_proxy_do_not_tell(keeping):
    """The last one of this module: it takes the proxy down."""
    session = waited(keeping, "user3")
    keeping.clock.by = timedelta(hours=5)
    away = GraceDuty(factory=keeping.factory, hub=HubApiClient(api_url="http://127.0.0.1:9/hub/api", token="x"))
    with pytest.raises(ServiceUnavailableError):
        asyncio.run(away.look())
    keeping.hub.proxy.kill()
    keeping.hub.proxy.wait(10)
    with pytest.raises(ServiceUnavailableError, match="did not tell the traffic"):
        keeping.grace()
    assert (keeping.settled(session).state, keeping.hub.allocation(session.id).stop_cause) == (AllocationState.ACTIVE, None)
