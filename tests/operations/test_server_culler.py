"""Servers without GPUs that nobody uses end, and their rows say why before the hub is asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from aiplatform_hub.config import Settings, arguments_of
from aiplatform_hub.domain.allocations import Allocation, EndCause
from aiplatform_hub.domain.policy import SHIPPED
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.inactivity import InactivityLimits
from aiplatform_hub.operations.server_culler import Culling, ServerCuller
from aiplatform_hub.operations.session_stops import SessionStops
from aiplatform_hub.services.culler.arbiter import Arbiter
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.decisions import DecisionStore
from aiplatform_hub.storage.grants import Grant, GrantStore
from tests.support.chain import Chain, person, want

LIMIT = timedelta(hours=4)
SHORT = timedelta(minutes=10)


@pytest.fixture
def culler(chain: Chain) -> ServerCuller:
    trail = AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock)
    parts = {"database": chain.database, "allocations": chain.allocations, "devices": chain.devices, "audit_trail": trail, "clock": chain.clock}
    limits = InactivityLimits(catalog=chain.catalog, decisions=DecisionStore(), grants=GrantStore(), policy=chain.current_policy)
    return ServerCuller(**parts, limits=limits, stops=SessionStops(**parts), policy=chain.current_policy)


def ends(culler: ServerCuller, inactive: timedelta, place: timedelta | None = LIMIT, number: int = 1) -> bool:
    return culler.look(f"user{number}", "a", inactive, place).is_to_end


def session(chain: Chain, number: int, gpus: int) -> Allocation:
    taken = chain.take_up(person(number), "a", want(gpus), spawner_id=number * 10)
    chain.meter.started(taken.id, chain.clock())
    chain.clock.move(hours=5)
    return chain.find(taken)


def test_inactive_server_without_gpus_ends_as_culled(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    assert not ends(culler, LIMIT - timedelta(seconds=1))
    assert chain.find(bare).stop_cause is None
    assert ends(culler, LIMIT)
    assert chain.find(bare).stop_cause is EndCause.CULLED
    assert ends(culler, LIMIT), "asked again, as it was not stopped"
    chain.meter.ended(bare.id, chain.clock(), EndCause.KILLED)
    assert chain.find(bare).end_cause is EndCause.CULLED
    with chain.database.read() as connection:
        assert [event.actor for event in AuditStore().latest(connection) if event.action == "release_session"] == ["culler"]


def test_sessions_with_gpus_are_not_the_cullers(chain: Chain, culler: ServerCuller) -> None:
    busy = session(chain, 1, 1)
    assert not ends(culler, timedelta(days=2))
    assert chain.find(busy).stop_cause is None


def test_server_that_the_ledger_does_not_know_is_kept(culler: ServerCuller) -> None:
    assert not ends(culler, timedelta(days=2), number=9)


def test_server_that_somebody_stops_keeps_its_cause(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    chain.meter.request_stop(bare.id, "boss", EndCause.STOPPED_BY_ADMIN)
    assert not ends(culler, LIMIT)
    assert chain.find(bare).stop_cause is EndCause.STOPPED_BY_ADMIN


def test_server_that_is_used_again_is_not_called_culled(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    assert ends(culler, LIMIT)
    assert culler.look("user1", "a", timedelta(seconds=1), LIMIT) == Culling()
    assert chain.find(bare).stop_cause is None
    chain.meter.ended(bare.id, chain.clock(), EndCause.CRASHED)
    assert chain.find(bare).end_cause is EndCause.CRASHED


def ask(arbiter: Arbiter, inactive: timedelta | None, limit: float = 10, name: str = "ada/a") -> bool:
    return asyncio.run(arbiter(inactive=inactive, inactive_limit=limit, server={"full_name": name}))


class _Told(Arbiter):
    """Stands for a ledger that lets end what was not used for :data:`SHORT`."""

    def __init__(self, tmp_path) -> None:
        super().__init__(arguments_of(Settings(data_dir=tmp_path)))
        self.asked: list[tuple[object, ...]] = []
        self._factory = self  # what it asks, it asks itself
        self.server_culler = self

    def look(self, user_name: str, server_name: str, inactive: timedelta, place_limit: timedelta | None) -> Culling:
        self.asked.append((user_name, server_name, inactive.total_seconds(), place_limit))
        is_over = inactive > SHORT
        return Culling(is_to_end=is_over, is_told=is_over)


def test_hook_keeps_what_is_not_known_and_what_it_cannot_decide(tmp_path, caplog) -> None:
    arbiter = Arbiter(arguments_of(Settings(data_dir=tmp_path / "not-there")))
    assert not ask(arbiter, None)
    assert "kept" not in caplog.text
    assert not ask(arbiter, timedelta(seconds=11))
    assert "it is kept" in caplog.text
    assert not asyncio.run(arbiter(inactive=timedelta(days=1), inactive_limit=1, server={}))


def test_hook_asks_about_what_nobody_used_lately_and_until_nothing_is_said_of_it(tmp_path) -> None:
    arbiter, limit = _Told(tmp_path), LIMIT.total_seconds()
    inactive = [1, 2, 299, 300, 601, 1, 2]
    assert [ask(arbiter, timedelta(seconds=each), limit) for each in inactive] == [False, False, False, False, True, False, False]
    assert [asked[2] for asked in arbiter.asked] == [1, 300, 601, 1], "what an earlier culler said is not known at first"
    assert {asked[3] for asked in arbiter.asked} == {LIMIT}


def test_short_limit_of_the_place_counts_too(tmp_path) -> None:
    arbiter = _Told(tmp_path)
    for seconds in (1, 9, 10):
        ask(arbiter, timedelta(seconds=seconds), 10)
    assert [asked[2] for asked in arbiter.asked] == [1, 10]


def test_limit_of_zero_is_never(chain: Chain, culler: ServerCuller, tmp_path) -> None:
    session(chain, 1, 0)
    assert not ends(culler, timedelta(days=9), None)
    arbiter = _Told(tmp_path)
    ask(arbiter, timedelta(days=9), 0)
    assert arbiter.asked[0][3] is None


HOURS = 3600.0


def test_policy_makes_limits_shorter_and_longer_than_the_place_does(chain: Chain, culler: ServerCuller) -> None:
    session(chain, 1, 0)
    chain.policy = replace(SHIPPED, environment_template_inactive_after_seconds={"jupyterlab": HOURS})
    assert not ends(culler, timedelta(minutes=59))
    assert ends(culler, timedelta(hours=1)), "shorter"
    assert not ends(culler, timedelta(minutes=59)), "and it was taken back"
    chain.policy = replace(SHIPPED, environment_template_inactive_after_seconds={"jupyterlab": 8 * HOURS})
    assert not ends(culler, timedelta(hours=7)), "longer"
    assert ends(culler, timedelta(hours=8), None), "also where the place ends nothing"
    chain.policy = replace(SHIPPED, environment_template_inactive_after_seconds={"jupyterlab": None})
    assert not ends(culler, timedelta(days=9)), "never"


def test_another_policy_counts_for_a_stop_that_is_recorded_and_not_done(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    assert ends(culler, LIMIT)
    chain.policy = replace(SHIPPED, project_inactive_after_seconds={"personal": None})
    assert not ends(culler, LIMIT)
    assert chain.find(bare).stop_cause is None


def test_tier_is_that_of_groups_and_grant_at_the_start(chain: Chain, culler: ServerCuller) -> None:
    grant = Grant(uuid4(), "user3", "premium", chain.clock() + timedelta(hours=1), "", "boss", chain.clock() - timedelta(hours=1))
    late = replace(grant, id=uuid4(), user_name="user1", granted_at=chain.clock() + timedelta(hours=1), expires_at=chain.clock() + timedelta(days=9))
    with chain.database.write() as connection:
        GrantStore().insert(connection, grant)
        GrantStore().insert(connection, late)
    for caller in (person(1), person(2, "staff"), person(3)):
        taken = chain.take_up(caller, "a", want(0), spawner_id=caller.user_id * 10)
        chain.meter.started(taken.id, chain.clock())
    chain.clock.move(hours=5)
    chain.policy = replace(SHIPPED, tier_inactive_after_seconds={"default": HOURS, "premium": 3 * HOURS})
    assert [ends(culler, timedelta(hours=2), number=number) for number in (1, 2, 3)] == [True, False, False]
    assert [ends(culler, timedelta(hours=3), number=number) for number in (2, 3)] == [True, True]


def test_revoked_grant_does_not_count_from_then_on(chain: Chain) -> None:
    at, store = chain.clock(), GrantStore()
    with chain.database.write() as connection:
        store.insert(connection, Grant(uuid4(), "user1", "premium", at + timedelta(days=1), "", "boss", at))
        store.revoke(connection, "user1", at + timedelta(hours=1))
        found = [store.tier_at(connection, "user1", at + timedelta(minutes=minutes)) for minutes in (-1, 0, 59, 60)]
    assert found == [None, "premium", "premium", None]
