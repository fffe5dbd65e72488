"""What a launch and a stop leave behind when the hub refuses, is away, or answers late. The hub here is one that can be made to fail."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from aiplatform_hub.clients.hub_api import HubAnswer, HubUnreachableError, HubUser
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.errors import CapacityError, ConflictError, QuotaInUseError, ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform import sessions as module
from aiplatform_hub.services.platform.auth import Principal
from aiplatform_hub.services.platform.sessions import Order, Sessions
from aiplatform_hub.services.platform.threads import Threads
from aiplatform_hub.storage.migrate import upgrade

ALICE = Principal("alice", "user", is_admin=False, groups=frozenset(), scopes=frozenset(), token="alices")
ROOT = Principal("root", "user", is_admin=True, groups=frozenset(), scopes=frozenset(), token="roots")


class Hub:
    """Answers, or raises, what a test lays down; remembers whose token came."""

    def __init__(self) -> None:
        self.start: HubAnswer | Exception = HubAnswer(201, "")
        self.stop: HubAnswer | Exception = HubAnswer(202, "")
        self.delay = 0.0
        self.calls: list[tuple] = []

    async def user(self, name):
        return HubUser(7, name, is_admin=False, groups=frozenset())

    async def start_server(self, user_name, server_name, options, *, token):
        self.calls.append(("start", user_name, server_name, options, token))
        await asyncio.sleep(self.delay)
        return self._give(self.start)

    async def stop_server(self, user_name, server_name, *, token):
        self.calls.append(("stop", user_name, server_name, token))
        return self._give(self.stop)

    @staticmethod
    def _give(answer):
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def factory(tmp_path):
    factory = Factory(Settings(data_dir=tmp_path, simulated_gpus=2, is_demo=True))
    upgrade(factory.settings.resolved_database_url)
    gpu_type = next(iter(factory.catalog.gpu_types))
    devices = [GpuDevice(f"GPU-{n}", gpu_type, 1024**3, index=n, is_simulated=True) for n in range(2)]
    factory.enforcer.register_devices(devices, 256 * 1024**3, 64)
    yield factory
    factory.close()


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def desk(factory, hub, monkeypatch):
    monkeypatch.setattr(module, "EARLY_ANSWER_SECONDS", 0.1)
    threads = Threads(count=2)
    yield Sessions(factory=factory, hub=hub, threads=threads)
    threads.close()


def open_now(factory):
    with factory.database.read() as connection:
        return factory.allocations.open(connection)


def found(factory, allocation):
    with factory.database.read() as connection:
        return factory.allocations.find(connection, allocation.id)


def launch(desk, gpus=1, **kwargs):
    order = Order(options={"environment_template": "jupyterlab", "gpus": gpus}, user_name="alice", **kwargs)

    async def play():
        result = await desk.launch(order, ALICE)
        await desk.close()
        return result

    return asyncio.run(play())


def test_the_hub_is_asked_with_the_callers_token_and_the_whole_request(desk, hub, factory):
    allocation = launch(desk)
    action, user_name, server_name, options, token = hub.calls[0]
    assert (action, user_name, server_name, token) == ("start", "alice", "jupyterlab", "alices")
    assert options["gpus"] == 1
    assert open_now(factory) == (allocation,)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (HubUnreachableError("away"), ServiceUnavailableError),
        (HubAnswer(400, "alice:x is already running"), ConflictError),
        (HubAnswer(429, "Too many users are starting", 30), CapacityError),
        (HubAnswer(500, ""), ServiceUnavailableError),
    ],
)
def test_a_start_that_the_hub_refuses_holds_nothing(desk, hub, factory, answer, error):
    hub.start = answer
    with pytest.raises(error) as refused:
        launch(desk)
    assert not open_now(factory)
    if isinstance(answer, HubAnswer) and answer.message:
        assert refused.value.message == answer.message
    if isinstance(answer, HubAnswer) and answer.retry_after_seconds:
        assert refused.value.retry_after_seconds == 30


def test_a_late_refusal_gives_the_hold_back_in_the_background(desk, hub, factory):
    hub.start, hub.delay = HubAnswer(500, "no"), 0.3
    allocation = launch(desk)
    assert found(factory, allocation).end_cause == "start_failed"
    assert not open_now(factory)


def test_a_start_whose_answer_was_lost_stays_held_for_the_keeper_to_judge(desk, hub, factory):
    hub.start = ServiceUnavailableError("timeout")
    with pytest.raises(ServiceUnavailableError):
        launch(desk)
    assert [a.state for a in open_now(factory)] == ["held"]


def take_up(factory, allocation):
    from datetime import timedelta

    from aiplatform_hub.domain.allocations import ServerKey
    from aiplatform_hub.domain.requests import Caller

    taken = factory.enforcer.take_up(
        Caller(7, "alice"), allocation.request, ServerKey(7, allocation.server_name, 3), door="hub", actor="alice", hub_instance="h"
    )
    assert taken.id == allocation.id
    factory.meter.started(allocation.id, factory.clock() + timedelta(milliseconds=1))
    return found(factory, allocation)


def test_a_hold_that_a_start_took_up_is_the_hubs_to_settle(desk, hub, factory):
    allocation = launch(desk)
    take_up(factory, allocation)
    asyncio.run(desk._give_back(allocation))
    assert found(factory, allocation).state == "active"


def test_a_wish_to_stop_is_taken_back_when_the_hub_is_away(desk, hub, factory):
    allocation = take_up(factory, launch(desk))
    for answer, error in ((HubUnreachableError("away"), ServiceUnavailableError), (HubAnswer(400, "is pending spawn"), ConflictError)):
        hub.stop = answer
        with pytest.raises(error):
            asyncio.run(desk.stop(allocation, ALICE))
        now = found(factory, allocation)
        assert (now.stop_cause, now.stop_requested_by) == (None, None)
        assert now.is_open
    hub.stop = HubAnswer(202, "")
    assert asyncio.run(desk.stop(allocation, ROOT))
    assert found(factory, allocation).stop_cause == "stopped_by_admin"
    assert hub.calls[-1] == ("stop", "alice", "jupyterlab", "roots")
    assert next(e.actor for e in factory.audit_trail.latest() if e.action == "stop_session") == "root"


def test_a_hold_that_never_started_is_withdrawn_without_the_hub(desk, hub, factory):
    allocation = launch(desk)
    assert asyncio.run(desk.stop(allocation, ALICE))
    assert found(factory, allocation).state == "withdrawn"
    assert [call[0] for call in hub.calls] == ["start"]
    assert not asyncio.run(desk.stop(found(factory, allocation), ALICE))


def test_an_environment_that_is_not_built_is_refused_with_the_command(desk, factory):
    catalog = factory.catalog
    template = replace(catalog.environment_templates["jupyterlab"], name="unbuilt", image="unbuilt", requires=("bin/unbuilt",))
    factory.__dict__["catalog"] = replace(catalog, environment_templates={**catalog.environment_templates, "unbuilt": template})
    order = Order(options={"environment_template": "unbuilt"}, user_name="alice")
    with pytest.raises(ConflictError, match="aiplatform environments build unbuilt"):
        asyncio.run(desk.launch(order, ALICE))
    assert not open_now(factory)


def queue_one(desk, **kwargs):
    launch(desk, gpus=2, server_name="first")
    return launch(desk, gpus=2, server_name="second", may_wait=True, **kwargs)


def people():
    from aiplatform_hub.domain.requests import Caller

    return {"alice": Caller(7, "alice")}


def test_what_is_queued_is_not_started_at_the_hub(desk, hub, factory):
    allocation = queue_one(desk)
    assert allocation.state == "queued"
    assert [call[2] for call in hub.calls] == ["first"]
    assert [a.server_name for a in open_now(factory)] == ["first"]


def test_what_waits_is_withdrawn_without_the_hub(desk, hub, factory):
    allocation = queue_one(desk)
    assert asyncio.run(desk.stop(allocation, ROOT))
    over = found(factory, allocation)
    assert (over.state, over.end_cause, over.held_at) == ("withdrawn", "stopped_by_admin", None)
    assert not [call for call in hub.calls if call[0] == "stop"]
    assert not asyncio.run(desk.stop(over, ALICE))


def test_who_does_not_want_to_wait_is_not_queued(desk, hub, factory):
    launch(desk, gpus=2)
    with pytest.raises(QuotaInUseError):
        launch(desk, gpus=1)
    assert len(open_now(factory)) == 1


def test_a_withdrawal_that_comes_while_it_is_dispatched_withdraws_the_hold(desk, hub, factory):
    seen = queue_one(desk)
    assert asyncio.run(desk.stop(open_now(factory)[0], ALICE))
    factory.dispatcher.dispatch(people())
    assert found(factory, seen).state == "held"
    assert asyncio.run(desk.stop(seen, ALICE))
    assert found(factory, seen).state == "withdrawn"
    assert not [call for call in hub.calls if call[0] == "stop"]
    assert not open_now(factory)


def test_a_withdrawal_that_comes_after_the_start_stops_the_server(desk, hub, factory):
    seen = queue_one(desk)
    assert asyncio.run(desk.stop(open_now(factory)[0], ALICE))
    factory.dispatcher.dispatch(people())
    take_up(factory, found(factory, seen))
    assert asyncio.run(desk.stop(seen, ALICE))
    assert hub.calls[-1][:3] == ("stop", "alice", "second")
    assert found(factory, seen).stop_requested_by == "alice"


def test_a_repeated_key_finds_what_was_changed_in_the_queue_and_nothing_else(desk, hub, factory):
    first = queue_one(desk, idempotency_key="k")
    asyncio.run(desk.change_gpus(first, 1, ALICE))
    order = Order(options={"environment_template": "jupyterlab", "gpus": 2}, user_name="alice", server_name="second", may_wait=True, idempotency_key="k")
    again = asyncio.run(desk.launch(order, ALICE))
    assert (again.id, again.request.gpus, again.state) == (first.id, 1, "queued")
    for other in ({"environment_template": "jupyterlab", "gpus": 2, "max_hours": 3}, {"environment_template": "jupyterlab", "gpus": 0, "memory_gib": 2}):
        with pytest.raises(ConflictError, match="Idempotency-Key"):
            asyncio.run(desk.launch(replace(order, options=other), ALICE))


def test_a_repeated_key_with_other_gpus_is_refused_where_nothing_was_changed(desk, hub, factory):
    queue_one(desk, idempotency_key="k")
    order = Order(options={"environment_template": "jupyterlab", "gpus": 1}, user_name="alice", server_name="second", may_wait=True, idempotency_key="k")
    with pytest.raises(ConflictError, match="Idempotency-Key"):
        asyncio.run(desk.launch(order, ALICE))
