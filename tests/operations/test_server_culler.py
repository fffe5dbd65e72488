"""Servers without GPUs that nobody uses end, and their rows say why before the hub is asked."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from aiplatform_hub.config import Settings, arguments_of
from aiplatform_hub.domain.allocations import Allocation, EndCause
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.server_culler import ServerCuller
from aiplatform_hub.operations.session_stops import SessionStops
from aiplatform_hub.services.culler.arbiter import Arbiter
from aiplatform_hub.storage.audit import AuditStore
from tests.support.chain import Chain, person, want

LIMIT = timedelta(hours=4)


@pytest.fixture
def culler(chain: Chain) -> ServerCuller:
    trail = AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock)
    parts = {"database": chain.database, "allocations": chain.allocations, "devices": chain.devices, "audit_trail": trail, "clock": chain.clock}
    return ServerCuller(**parts, stops=SessionStops(**parts), policy=chain.policy)


def session(chain: Chain, number: int, gpus: int) -> Allocation:
    taken = chain.take_up(person(number), "a", want(gpus), spawner_id=number * 10)
    chain.meter.started(taken.id, chain.clock())
    chain.clock.move(hours=5)
    return chain.find(taken)


def test_inactive_server_without_gpus_ends_as_culled(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    assert not culler.cull("user1", "a", LIMIT - timedelta(seconds=1), LIMIT)
    assert chain.find(bare).stop_cause is None
    assert culler.cull("user1", "a", LIMIT, LIMIT)
    assert chain.find(bare).stop_cause is EndCause.CULLED
    assert culler.cull("user1", "a", LIMIT, LIMIT), "asked again, as it was not stopped"
    chain.meter.ended(bare.id, chain.clock(), EndCause.KILLED)
    assert chain.find(bare).end_cause is EndCause.CULLED
    with chain.database.read() as connection:
        assert [event.actor for event in AuditStore().latest(connection) if event.action == "release_session"] == ["culler"]


def test_sessions_with_gpus_are_not_the_cullers(chain: Chain, culler: ServerCuller) -> None:
    busy = session(chain, 1, 1)
    assert not culler.cull("user1", "a", timedelta(days=2), LIMIT)
    assert chain.find(busy).stop_cause is None


def test_server_that_the_ledger_does_not_know_is_kept(culler: ServerCuller) -> None:
    assert not culler.cull("nobody", "a", timedelta(days=2), LIMIT)


def test_server_that_somebody_stops_keeps_its_cause(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    chain.meter.request_stop(bare.id, "boss", EndCause.STOPPED_BY_ADMIN)
    assert not culler.cull("user1", "a", LIMIT, LIMIT)
    assert chain.find(bare).stop_cause is EndCause.STOPPED_BY_ADMIN


def test_server_that_is_used_again_is_not_called_culled(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    assert culler.cull("user1", "a", LIMIT, LIMIT)
    culler.take_back("user1", "a")
    assert chain.find(bare).stop_cause is None
    chain.meter.ended(bare.id, chain.clock(), EndCause.CRASHED)
    assert chain.find(bare).end_cause is EndCause.CRASHED


def ask(arbiter: Arbiter, inactive: timedelta | None, limit: float = 10, name: str = "ada/a") -> bool:
    return asyncio.run(arbiter(inactive=inactive, inactive_limit=limit, server={"full_name": name}))


class _Told(Arbiter):
    """Stands for a ledger that lets everything end."""

    def __init__(self, tmp_path) -> None:
        super().__init__(arguments_of(Settings(data_dir=tmp_path)))
        self.asked: list[tuple[str, ...]] = []
        self._factory = self  # what it asks, it asks itself
        self.server_culler = self

    def cull(self, *words: object) -> bool:
        self.asked.append(("cull", *words[:2]))
        return True

    def take_back(self, *words: str) -> None:
        self.asked.append(("take_back", *words))


def test_hook_keeps_what_is_used_or_not_known_and_what_it_cannot_decide(tmp_path, caplog) -> None:
    arbiter = Arbiter(arguments_of(Settings(data_dir=tmp_path / "not-there")))
    assert not ask(arbiter, None)
    assert not ask(arbiter, timedelta(seconds=9))
    assert "kept" not in caplog.text
    assert not ask(arbiter, timedelta(seconds=11))
    assert "it is kept" in caplog.text
    assert not asyncio.run(arbiter(inactive=timedelta(days=1), inactive_limit=1, server={}))


def test_hook_lets_end_what_may_and_takes_it_back(tmp_path) -> None:
    arbiter = _Told(tmp_path)
    assert ask(arbiter, timedelta(seconds=11))
    assert not ask(arbiter, timedelta(seconds=1))
    assert not ask(arbiter, timedelta(seconds=2))
    assert arbiter.asked == [("cull", "ada", "a"), ("take_back", "ada", "a")]


def test_limit_of_zero_is_never(tmp_path) -> None:
    assert not ask(_Told(tmp_path), timedelta(days=9), limit=0)
