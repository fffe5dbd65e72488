"""Servers without GPUs that nobody uses end, and their rows say why before the hub is asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from aiplatform_hub.config import Settings, arguments_of
from aiplatform_hub.domain.allocations import Allocation, EndCause
from aiplatform_hub.domain.policy import SHIPPED
from aiplatform_hub.domain.release import Action, Cause, ReleaseView
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.inactivity import InactivityLimits
from aiplatform_hub.operations.notices import Notices, until_of
from aiplatform_hub.operations.server_culler import Culling, ServerCuller
from aiplatform_hub.operations.session_stops import SessionStops
from aiplatform_hub.operations.unused_warnings import UnusedWarnings
from aiplatform_hub.services.culler.arbiter import Arbiter
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.decisions import DecisionStore
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.grants import Grant, GrantStore
from aiplatform_hub.storage.notifications import NotificationStore
from tests.support.chain import Chain, person, want

LIMIT = timedelta(hours=4)
SHORT = timedelta(minutes=10)


@pytest.fixture
def culler(chain: Chain) -> ServerCuller:
    trail = AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock)
    parts = {"database": chain.database, "allocations": chain.allocations, "devices": chain.devices, "audit_trail": trail, "clock": chain.clock}
    told = {"notifications": NotificationStore(), "clock": chain.clock, "database": chain.database}
    notices = Notices(**told, catalog=chain.catalog, channels=["email"])
    warnings = UnusedWarnings(**told, allocations=chain.allocations, devices=chain.devices, notices=notices)
    limits = InactivityLimits(catalog=chain.catalog, decisions=DecisionStore(), grants=GrantStore(), policy=chain.current_policy)
    stops = SessionStops(**parts)
    return ServerCuller(**parts, limits=limits, releases=chain.releases, warnings=warnings, stops=stops, policy=chain.current_policy)


def look(culler: ServerCuller, inactive: timedelta, place: timedelta | None = LIMIT, number: int = 1) -> Culling:
    return culler.look(f"user{number}", "a", inactive, place)


def ends(chain: Chain, culler: ServerCuller, inactive: timedelta, place: timedelta | None = LIMIT, number: int = 1) -> bool:
    """Whether a server ends that stays unused, once its owner was warned for long enough."""
    if not look(culler, inactive, place, number).is_told:
        return False
    chain.clock.move(minutes=10)
    return look(culler, inactive + timedelta(minutes=10), place, number).is_to_end


def session(chain: Chain, number: int, gpus: int) -> Allocation:
    taken = chain.take_up(person(number), "a", want(gpus), spawner_id=number * 10)
    chain.meter.started(taken.id, chain.clock())
    chain.clock.move(hours=5)
    return chain.find(taken)


def test_inactive_server_without_gpus_ends_as_culled(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    assert not ends(chain, culler, LIMIT - timedelta(minutes=5, seconds=1))
    assert chain.find(bare).stop_cause is None
    assert ends(chain, culler, LIMIT)
    assert chain.find(bare).stop_cause is EndCause.CULLED
    assert look(culler, LIMIT + timedelta(minutes=10)).is_to_end, "asked again, as it was not stopped"
    chain.meter.ended(bare.id, chain.clock(), EndCause.KILLED)
    assert chain.find(bare).end_cause is EndCause.CULLED
    with chain.database.read() as connection:
        assert [event.actor for event in AuditStore().latest(connection) if event.action == "release_session"] == ["culler"]


def test_sessions_with_gpus_are_not_the_cullers(chain: Chain, culler: ServerCuller) -> None:
    busy = session(chain, 1, 1)
    assert not ends(chain, culler, timedelta(days=2))
    assert chain.find(busy).stop_cause is None


def test_server_that_the_ledger_does_not_know_is_kept(chain: Chain, culler: ServerCuller) -> None:
    assert not ends(chain, culler, timedelta(days=2), number=9)


def test_server_that_somebody_stops_keeps_its_cause(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    chain.meter.request_stop(bare.id, "boss", EndCause.STOPPED_BY_ADMIN)
    assert not ends(chain, culler, LIMIT)
    assert chain.find(bare).stop_cause is EndCause.STOPPED_BY_ADMIN


def test_server_that_is_used_again_is_not_called_culled(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    assert ends(chain, culler, LIMIT)
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
    assert not ends(chain, culler, timedelta(days=9), None)
    arbiter = _Told(tmp_path)
    ask(arbiter, timedelta(days=9), 0)
    assert arbiter.asked[0][3] is None


HOURS = 3600.0


def test_policy_makes_limits_shorter_and_longer_than_the_place_does(chain: Chain, culler: ServerCuller) -> None:
    session(chain, 1, 0)
    chain.policy = replace(SHIPPED, environment_template_inactive_after_seconds={"jupyterlab": HOURS})
    assert not ends(chain, culler, timedelta(minutes=54))
    assert ends(chain, culler, timedelta(minutes=55)), "shorter"
    assert not ends(chain, culler, timedelta(minutes=54)), "and it was taken back"
    chain.policy = replace(SHIPPED, environment_template_inactive_after_seconds={"jupyterlab": 8 * HOURS})
    assert not ends(chain, culler, timedelta(hours=7)), "longer"
    assert ends(chain, culler, timedelta(hours=8), None), "also where the place ends nothing"
    chain.policy = replace(SHIPPED, environment_template_inactive_after_seconds={"jupyterlab": None})
    assert not ends(chain, culler, timedelta(days=9)), "never"


def told(chain: Chain) -> list[tuple[str, datetime | None, bool]]:
    """Return what user1 was told: the kind, until when, and whether it still stands."""
    with chain.database.read() as connection:
        found = NotificationStore().of(connection, "user1", limit=9)
    return [(each.kind.value, until_of(each), each.dismissed_at is None) for each in found]


def view(chain: Chain, of: Allocation) -> ReleaseView:
    with chain.database.read() as connection:
        return chain.releases.of(connection, [chain.find(of)], chain.clock())[of.id]


def causes(chain: Chain, of: Allocation) -> list[str]:
    with chain.database.read() as connection:
        return [event.cause for event in chain.allocations.history(connection, of.id) if event.cause.startswith("release")]


def test_owner_is_warned_before_and_the_hub_has_time_to_hear_of_them(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    assert look(culler, LIMIT - timedelta(minutes=5, seconds=1)) == Culling()
    assert told(chain) == []
    assert look(culler, LIMIT - timedelta(minutes=5)) == Culling(is_told=True)
    end = chain.clock() + timedelta(minutes=5)
    assert told(chain) == [("release_warning", end, True)]
    assert (view(chain, bare).action, view(chain, bare).why, view(chain, bare).deadline) == (Action.WARN, Cause.INACTIVE, end)
    chain.clock.move(minutes=9, seconds=59)
    assert look(culler, LIMIT + timedelta(minutes=4, seconds=59)) == Culling(is_told=True)
    chain.clock.move(seconds=1)
    assert look(culler, LIMIT + timedelta(minutes=5)) == Culling(is_to_end=True, is_told=True)
    assert causes(chain, bare) == ["release_warned", "release_begins"], "told once"


def test_nobody_is_stopped_unwarned_because_the_policy_changes(chain: Chain, culler: ServerCuller) -> None:
    session(chain, 1, 0)
    chain.policy = replace(SHIPPED, project_inactive_after_seconds={"personal": 600})
    assert look(culler, timedelta(hours=3)) == Culling(is_told=True)
    assert told(chain) == [("release_warning", chain.clock() + timedelta(minutes=5), True)]
    chain.clock.move(minutes=9)
    assert not look(culler, timedelta(hours=3, minutes=9)).is_to_end
    chain.clock.move(minutes=1)
    assert look(culler, timedelta(hours=3, minutes=10)).is_to_end


def test_warning_is_taken_back_where_the_server_is_used(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    look(culler, LIMIT)
    assert look(culler, timedelta(seconds=1)) == Culling()
    assert [stands for _, _, stands in told(chain)] == [False]
    with chain.database.read() as connection:
        assert NotificationStore().due(connection, "email", chain.clock(), limit=9) == (), "no mail of it any more"
    assert view(chain, bare).action is Action.KEEP
    assert look(culler, timedelta(seconds=2)) == Culling()
    assert causes(chain, bare) == ["release_warned", "release_called_off"], "once"
    chain.clock.move(hours=4)
    look(culler, LIMIT)
    assert [stands for _, _, stands in told(chain)] == [True, False], "and they are warned again"


def test_owner_is_told_anew_when_the_end_moves_and_not_for_seconds(chain: Chain, culler: ServerCuller) -> None:
    session(chain, 1, 0)
    look(culler, LIMIT - timedelta(minutes=5))
    chain.clock.move(minutes=4)
    look(culler, LIMIT - timedelta(seconds=45))
    assert len(told(chain)) == 1, "the hub's clock may be another"
    chain.policy = replace(SHIPPED, project_inactive_after_seconds={"personal": 4 * HOURS + 180})
    look(culler, LIMIT - timedelta(minutes=1))
    assert [(until, stands) for _, until, stands in told(chain)] == [
        (chain.clock() + timedelta(minutes=4), True),
        (chain.clock() + timedelta(minutes=1), False),
    ]
    chain.policy = SHIPPED
    look(culler, timedelta(0))
    chain.policy = replace(SHIPPED, project_inactive_after_seconds={"personal": 600})
    chain.clock.move(seconds=1)
    look(culler, LIMIT)
    assert [stands for _, _, stands in told(chain)] == [True, False, False], "also after a warning that was taken back"


def test_warning_of_a_culler_that_is_gone_is_not_believed_for_ever(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    look(culler, LIMIT)
    chain.clock.move(minutes=35)
    assert view(chain, bare).action is Action.WARN
    chain.clock.move(minutes=1)
    assert view(chain, bare).action is Action.KEEP


def test_keeper_does_not_tell_what_the_culler_tells(chain: Chain, culler: ServerCuller) -> None:
    session(chain, 1, 0)
    look(culler, LIMIT)
    with chain.database.read() as connection:
        assert list(chain.releases.warned(connection, chain.clock())) == []


def test_what_changes_while_the_lock_is_waited_for_counts(chain: Chain, culler: ServerCuller) -> None:
    class Late(DeviceStore):
        def lock(self, connection: Connection) -> None:
            chain.policy = replace(SHIPPED, project_inactive_after_seconds={"personal": None})
            super().lock(connection)

    bare = session(chain, 1, 0)
    look(culler, LIMIT)
    chain.clock.move(minutes=10)
    culler._devices = Late()
    assert not look(culler, LIMIT + timedelta(minutes=10)).is_to_end
    assert chain.find(bare).stop_cause is None


def test_another_policy_counts_for_a_stop_that_is_recorded_and_not_done(chain: Chain, culler: ServerCuller) -> None:
    bare = session(chain, 1, 0)
    assert ends(chain, culler, LIMIT)
    chain.policy = replace(SHIPPED, project_inactive_after_seconds={"personal": None})
    assert not ends(chain, culler, LIMIT)
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
    assert [ends(chain, culler, timedelta(hours=2), number=number) for number in (1, 2, 3)] == [True, False, False]
    assert [ends(chain, culler, timedelta(hours=3), number=number) for number in (2, 3)] == [True, True]


def test_revoked_grant_does_not_count_from_then_on(chain: Chain) -> None:
    at, store = chain.clock(), GrantStore()
    with chain.database.write() as connection:
        store.insert(connection, Grant(uuid4(), "user1", "premium", at + timedelta(days=1), "", "boss", at))
        store.revoke(connection, "user1", at + timedelta(hours=1))
        found = [store.tier_at(connection, "user1", at + timedelta(minutes=minutes)) for minutes in (-1, 0, 59, 60)]
    assert found == [None, "premium", "premium", None]
