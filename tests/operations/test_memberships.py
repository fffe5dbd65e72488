"""Memberships are given and ended by admins, audited, kept for ever, and asked for by launches and by the queue."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import delete, update

from aiplatform_hub.domain.allocations import AllocationState, EndCause
from aiplatform_hub.domain.catalog import Project
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.decision_inputs import from_json, to_json
from aiplatform_hub.operations.memberships import MembershipDraft, Memberships
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.database import Database, TakenError
from aiplatform_hub.storage.decisions import DecisionStore
from aiplatform_hub.storage.membership_tables import memberships
from aiplatform_hub.storage.memberships import MembershipStore
from tests.support.chain import Chain, person, want

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
DAY = timedelta(days=1)
DRAFT = MembershipDraft("ada", "scans", None, None, "a  term")


def made(chain: Chain, database: Database | None = None) -> Memberships:
    catalog = replace(chain.catalog, projects={**chain.catalog.projects, "scans": Project("scans", "Scans", "university")})
    database = database or chain.database
    trail = AuditTrail(database=database, audit=AuditStore(), clock=chain.clock)
    return Memberships(database=database, catalog=catalog, memberships=MembershipStore(), devices=chain.devices, audit_trail=trail, clock=chain.clock)


@pytest.fixture
def desk(chain: Chain) -> Memberships:
    chain.register(1)
    return made(chain)


def test_a_membership_counts_from_its_begin_to_its_end(chain: Chain, desk: Memberships) -> None:
    now = chain.clock()
    desk.add(replace(DRAFT, starts_at=now + DAY, ends_at=now + 2 * DAY), "bea")
    desk.add(replace(DRAFT, user_name="bob"), "bea")
    seen = []
    for _ in range(3):
        seen.append((desk.projects_of("ada"), desk.projects_by_user()))
        chain.clock.move(hours=24)
    none, scans = frozenset(), frozenset({"scans"})
    assert seen == [(none, {"bob": scans}), (scans, {"ada": scans, "bob": scans}), (none, {"bob": scans})]


def test_an_ended_one_stays_on_record_and_can_follow_itself(chain: Chain, desk: Memberships) -> None:
    first = desk.add(DRAFT, "bea")
    with pytest.raises(ConflictError, match="belongs to scans in this span already"):
        desk.add(replace(DRAFT, starts_at=chain.clock() + DAY), "bea")
    ended = desk.end(first.id, "cleo")
    assert (ended.ended_by, desk.projects_of("ada")) == ("cleo", frozenset())
    with pytest.raises(ConflictError, match="over already"):
        desk.end(first.id, "cleo")
    second = desk.add(DRAFT, "bea")
    assert {each.id for each in desk.all(user_name="ada")} == {first.id, second.id}
    assert desk.all(project="vision") == ()
    with chain.database.read() as connection:
        events = AuditStore().latest(connection, limit=9)
    assert [(event.action, event.actor, event.target) for event in events] == [
        ("add_membership", "bea", "user:ada"),
        ("end_membership", "cleo", "user:ada"),
        ("add_membership", "bea", "user:ada"),
    ]
    assert events[0].detail["reason"] == "a term"


@ON_ONE
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"project": "scan"}, "project"), ({"project": "personal"}, "project"), ({"user_name": " "}, "user"), ({"user_name": "a/b"}, "user"),
        ({"reason": ""}, "reason"), ({"ends_at": "now"}, "ends_at"),
    ],
)  # fmt: skip
def test_wrong_ones_are_refused_by_field_and_nothing_is_written(chain: Chain, desk: Memberships, change, field) -> None:
    change = {name: chain.clock() if value == "now" else value for name, value in change.items()}
    with pytest.raises(InvalidOptionError) as wrong:
        desk.add(replace(DRAFT, **change), "bea")
    assert wrong.value.reasons[0].field == field
    assert not desk.all()
    with pytest.raises(NotFoundError):
        desk.end(uuid4(), "bea")


def test_rows_are_ended_once_and_never_change_otherwise(chain: Chain, desk: Memberships) -> None:
    one = desk.add(DRAFT, "bea")
    wrong = [
        delete(memberships),
        update(memberships).values(project="vision"),
        update(memberships).values(ends_at=chain.clock() + DAY),
        update(memberships).values(ended_at=chain.clock(), ended_by="bea", user_name="bob"),
    ]
    again = [update(memberships).values(ended_at=None, ended_by=None), update(memberships).values(ended_at=chain.clock() + DAY)]
    for statement in wrong:
        with pytest.raises(TakenError), chain.database.write() as connection:
            connection.execute(statement)
    ended = desk.end(one.id, "bea")
    for statement in again:
        with pytest.raises(TakenError), chain.database.write() as connection:
            connection.execute(statement)
    assert desk.all() == (ended,)


def test_of_the_same_membership_given_at_once_one_counts(chain: Chain, desk: Memberships) -> None:
    told: list[str] = []
    gate = threading.Barrier(4)

    def add() -> None:
        database = Database(url=chain.database.url, lock_timeout=timedelta(seconds=10))
        gate.wait()
        try:
            made(chain, database).add(DRAFT, "bea")
            told.append("added")
        except ConflictError:
            told.append("refused")
        database.close()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["added", "refused", "refused", "refused"]
    assert len(desk.all()) == 1


@ON_ONE
def test_a_decision_remembers_the_memberships_it_was_made_with(chain: Chain) -> None:
    chain.register(1)
    held = chain.hold(replace(person(1), projects=frozenset({"vision"})), request=want(project="vision"))
    with chain.database.read() as connection:
        stored = DecisionStore().of_allocation(connection, held.id)
    assert stored is not None
    inputs = from_json(stored.inputs)
    assert inputs.caller.projects == {"vision"}
    assert to_json(inputs) == stored.inputs


@ON_ONE
def test_who_waits_in_a_project_starts_only_while_they_belong_to_it(chain: Chain) -> None:
    chain.register(1)
    blocker = chain.hold(person(9))
    member, former = (replace(person(number), projects=frozenset({"vision"})) for number in (1, 2))
    waiting = [chain.queue(caller, request=want(project="vision")) for caller in (member, former)]
    chain.end(blocker)
    chain.dispatch(member, replace(former, projects=frozenset()))
    found = [chain.find(each) for each in waiting]
    assert [each.state for each in found] == [AllocationState.HELD, AllocationState.EXPIRED]
    assert found[1].end_cause is EndCause.NOT_ALLOWED
