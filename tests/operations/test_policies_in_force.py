"""The policy of the running queue: versions, the last one that can be read, and who follows it how soon."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import insert, select, update

from aiplatform_hub.catalog.policies import load_policy
from aiplatform_hub.domain.policy import HOUR_SECONDS, SHIPPED
from aiplatform_hub.domain.queueing import WaitCode
from aiplatform_hub.errors import ConfigurationError, ServiceUnavailableError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.policies import LOOK_SECONDS, MOST_BYTES, Policies
from aiplatform_hub.storage import schema
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.database import Database, DatabaseAwayError
from aiplatform_hub.storage.policies import PolicyStore
from tests.support.chain import CATALOG, NOON, Chain, person, want


@dataclass
class Ticks:
    """A monotonic clock that stands still until a test moves it."""

    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Broken:
    """A database that can be taken away."""

    real: Database
    is_away: bool = False
    reads: int = 0

    def read(self):
        self.reads += 1
        if self.is_away:
            raise DatabaseAwayError("away")
        return self.real.read()

    def write(self):
        if self.is_away:
            raise DatabaseAwayError("away")
        return self.real.write()


class Place:
    """One process's view of the policy."""

    def __init__(self, chain: Chain) -> None:
        self.chain, self.ticks = chain, Ticks()
        self.database = Broken(chain.database)
        self.policies = Policies(
            database=self.database,
            policies=PolicyStore(),
            catalog=lambda: CATALOG,
            audit_trail=AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock),
            clock=chain.clock,
            monotonic=self.ticks,
        )

    def apply(self, text: str):
        return self.policies.apply(text, name="policy.yaml", by="boss")

    def stored(self) -> list[str]:
        with self.chain.database.read() as connection:
            return list(connection.execute(select(schema.policies.c.document).order_by(schema.policies.c.version)).scalars())

    def put(self, text: str) -> None:
        """Store what another version of the platform may have stored."""
        with self.chain.database.write() as connection:
            connection.execute(insert(schema.policies), {"applied_at": NOON, "applied_by": "later version", "document": text})


@pytest.fixture
def here(chain: Chain) -> Place:
    return Place(chain)


def test_fresh_installation_follows_what_is_shipped_as_version_0(here: Place) -> None:
    found = here.policies.in_force()
    assert (found.policy, found.version, found.applied_at, found.trouble) == (SHIPPED, 0, None, "")
    assert here.policies.history() == ()


def test_applied_document_counts_has_a_version_a_difference_and_an_audit_row(here: Place) -> None:
    here.policies.in_force()
    applied = here.apply("idle_after: 15min\nproject_limits: {vision: 3}\nproject_inactive_after: {vision: 8h}\n")
    assert applied.version == 1
    assert [str(change) for change in applied.changes] == [
        "idle_after: 10min -> 15min",
        "project_limits: none -> vision 3",
        "project_inactive_after: none -> vision 8h",
    ]
    found = here.policies.in_force()
    assert found.policy == replace(SHIPPED, idle_after_seconds=900.0, project_limits={"vision": 3}, project_inactive_after_seconds={"vision": 28800.0})
    assert (found.version, found.applied_at, found.applied_by) == (1, NOON, "boss")
    with here.chain.database.read() as connection:
        (event,) = AuditStore().latest(connection, limit=5)
    assert (event.actor, event.action, event.target, event.outcome) == ("boss", "apply_policy", "policy:1", "done")
    assert event.detail["changes"] == [str(change) for change in applied.changes]


def test_document_with_anything_wrong_tells_all_of_it_and_changes_nothing(here: Place) -> None:
    here.apply("session_cap: 8h\n")
    with pytest.raises(ConfigurationError) as caught:
        here.apply("sesion_cap: 9h\nidle_after: 1min\nproject_shares: {vison: 2}\nreservations:\n- {project: nobody, gpus: 0, gpu_type: h200}\n")
    told = [reason.message.removeprefix("policy.yaml:") for reason in caught.value.reasons]
    assert told == [
        "1: unknown key sesion_cap; did you mean session_cap?",
        "2: idle_after: is 1min; it must be 10min or more, or never",
        "3: project_shares: unknown project vison; did you mean vision?",
        "5: reservations.0.end is missing",
        "5: reservations.0.gpus: must be a whole number from 1 to 10000, not 0",
        "5: reservations.0.start is missing",
        "5: reservations: unknown GPU type h200; did you mean h100?",
        f"5: reservations: unknown project nobody; known: {', '.join(sorted(CATALOG.projects))}",
    ]
    assert here.stored() == ["session_cap: 8h\n"]
    assert here.policies.in_force().version == 1
    assert here.policies.current().session_cap_seconds == 8 * HOUR_SECONDS


def test_too_long_a_document_is_refused(here: Place) -> None:
    with pytest.raises(ConfigurationError, match="larger than 64 KiB"):
        here.apply("#" * (MOST_BYTES + 1))


def test_document_that_says_what_counts_already_is_not_stored(here: Place) -> None:
    here.apply("session_cap: 8h\n")
    again = here.apply("# the same\nsession_cap: 480min\n")
    assert (again.version, again.is_stored, again.changes) == (1, False, ())
    assert len(here.stored()) == 1


def test_check_tells_the_difference_and_stores_nothing(here: Place) -> None:
    here.apply("session_cap: 8h\n")
    assert [str(change) for change in here.policies.check("half_life: 1d\n", name="x")] == ["half_life: 3d -> 1d", "session_cap: 8h -> 6h"]
    assert len(here.stored()) == 1


def test_history_says_what_each_version_changed(here: Place) -> None:
    here.apply("session_cap: 8h\n")
    here.chain.clock.move(hours=1)
    here.apply("session_cap: 8h\nhalf_life: 1d\n")
    here.put("from_the_future: 1\n")
    here.apply("half_life: 1d\n")
    steps = here.policies.history()
    assert [(step.version, [str(c) for c in step.changes]) for step in steps] == [
        (4, ["session_cap: 8h -> 6h"]),
        (3, []),
        (2, ["half_life: 3d -> 1d"]),
        (1, ["session_cap: 6h -> 8h"]),
    ]
    assert "unknown key from_the_future" in steps[1].trouble
    assert [(step.version, [str(c) for c in step.changes]) for step in here.policies.history(limit=1)] == [(4, ["half_life: 3d -> 1d"])], (
        "nothing is known of 3"
    )


def test_other_process_follows_within_two_seconds_and_asks_the_database_no_more_often(here: Place) -> None:
    other = Place(here.chain)
    assert other.policies.in_force().version == 0
    here.apply("session_cap: 8h\n")
    for _ in range(50):
        assert other.policies.in_force().version == 0
    assert other.database.reads == 1
    assert LOOK_SECONDS <= 2
    other.ticks.seconds += LOOK_SECONDS
    assert other.policies.current().session_cap_seconds == 8 * HOUR_SECONDS


def test_policy_stays_while_the_database_is_away(here: Place) -> None:
    here.apply("session_cap: 8h\n")
    here.policies.in_force()
    here.database.is_away = True
    here.ticks.seconds += 3600
    assert here.policies.current().session_cap_seconds == 8 * HOUR_SECONDS
    reads = here.database.reads
    here.policies.current()
    assert here.database.reads == reads, "it is not asked again at once"
    with pytest.raises(ServiceUnavailableError):
        here.apply("session_cap: 9h\n")


def test_process_that_never_saw_a_policy_decides_nothing_without_the_database(here: Place) -> None:
    here.database.is_away = True
    with pytest.raises(ServiceUnavailableError):
        here.policies.current()
    here.database.is_away = False
    assert here.policies.current() == SHIPPED


def test_document_that_this_version_cannot_read_leaves_the_last_that_it_can(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    here.apply("session_cap: 8h\n")
    here.put("from_the_future: 1\n")
    here.put("session_cap: 1h\n")
    here.ticks.seconds += 10
    found = here.policies.in_force()
    assert (found.version, found.newest_version, found.policy.session_cap_seconds) == (1, 3, 8 * HOUR_SECONDS)
    assert found.trouble.startswith("The newest policy cannot be read by this version of the platform, so version 1 counts: policy version 3:1: session_cap")
    for _ in range(5):
        here.ticks.seconds += 10
        here.policies.in_force()
    assert [r.levelno for r in caplog.records if "cannot be read" in r.message] == [logging.ERROR], "it is logged once"
    applied = here.apply("session_cap: 8h\n")
    assert applied.is_stored, "it says what counts, but the newest is not readable"
    assert here.policies.in_force().trouble == ""


def test_only_unreadable_documents_leave_what_is_shipped(here: Place) -> None:
    for _ in range(45):
        here.put("from_the_future: 1\n")
    found = here.policies.in_force()
    assert (found.version, found.newest_version, found.policy) == (0, 45, SHIPPED)
    assert "so the shipped policy counts" in found.trouble


def test_project_that_left_the_catalogue_makes_no_stored_policy_unreadable(here: Place) -> None:
    here.put("project_limits: {gone: 2}\n")
    assert here.policies.current().project_limits == {"gone": 2}


def test_one_thread_looks_while_the_others_go_on_with_what_they_know(here: Place) -> None:
    here.policies.in_force()
    here.ticks.seconds += 10
    inside, go_on = threading.Event(), threading.Event()
    read = here.database.read

    def slow():
        inside.set()
        assert go_on.wait(30)
        return read()

    here.database.read = slow  # type: ignore[method-assign]
    looking = threading.Thread(target=here.policies.in_force)
    looking.start()
    assert inside.wait(30)
    assert here.policies.current() == SHIPPED
    go_on.set()
    looking.join(30)


# What follows it


def following(here: Place) -> Chain:
    """Return a chain that follows the policy as a process does."""
    chain = here.chain
    made = Chain(chain.database, chain.head_file, chain.clock, policy_of=here.policies.current)
    chain.hold(person(1), "a", want(2))
    return made


def test_next_decision_follows_a_limit_that_was_applied_and_earlier_ones_replay_with_their_own(here: Place) -> None:
    chain = following(here)
    one = chain.queue(person(2, "vision"), "b", want(1, project="vision"))
    assert one.devices
    here.apply("project_limits: {vision: 1}\n")
    two = chain.queue(person(3, "vision"), "c", want(1, project="vision"))
    assert two.is_queued
    (entry,) = chain.dispatch(person(3, "vision")).entries
    assert entry.reason.code is WaitCode.PROJECT_LIMIT
    here.apply("")
    assert all(chain.enforcer.why(a.id).is_reproduced for a in (one, two)), "each was stored with the policy that it was made under"
    assert [a.id for a in chain.dispatch(person(3, "vision")).held] == [two.id], "the next pass follows"
    assert chain.enforcer.why(two.id).is_reproduced


def test_another_half_life_or_weight_recounts_the_use_of_ended_sessions(here: Place) -> None:
    chain = following(here)
    held = chain.take_up(person(5), "s", want(2))
    chain.meter.started(held.id, NOON)
    chain.clock.move(hours=6)
    chain.end(held)
    chain.clock.move(hours=6)
    chain.queue(person(6), "q", want(2))
    chain.queue(person(7), "q", want(2))

    def used() -> float:
        chain.dispatch()
        with chain.database.read() as connection:
            outlook = connection.execute(select(schema.queue_outlooks.c.outlook)).scalar_one()
        return next(seconds for _, user, seconds in outlook["usage"] if user == "user5")

    long = used()
    here.apply("half_life: 1h\n")
    short = used()
    assert short < long / 30, "what was used six hours ago hardly counts any more"
    here.apply("half_life: 1h\ngpu_type_weights: {h100: 10}\n")
    assert used() == pytest.approx(10 * short)
    here.apply("")
    assert used() == pytest.approx(long)


def test_applying_is_one_transaction(here: Place) -> None:
    """Without its audit row, there is no new version."""

    class NoAudit(AuditStore):
        def insert(self, *_: object) -> None:
            raise RuntimeError("no row")

    here.policies._audit = AuditTrail(database=here.chain.database, audit=NoAudit(), clock=here.chain.clock)
    with pytest.raises(RuntimeError):
        here.apply("session_cap: 8h\n")
    assert here.stored() == []


def test_version_numbers_are_never_used_again(here: Place) -> None:
    here.apply("session_cap: 8h\n")
    with here.chain.database.write() as connection:
        connection.execute(schema.policies.delete())
    assert here.apply("session_cap: 9h\n").version == 2


def test_file_and_text_are_read_alike(tmp_path, here: Place) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("reserve_after: never\n")
    here.apply(file.read_text())
    assert here.policies.current() == load_policy(file)


def test_document_damaged_in_the_database_is_passed_over(here: Place) -> None:
    here.apply("session_cap: 8h\n")
    here.apply("session_cap: 9h\n")
    with here.chain.database.write() as connection:
        connection.execute(update(schema.policies).where(schema.policies.c.version == 2).values(document="{"))
    assert Place(here.chain).policies.current().session_cap_seconds == 8 * HOUR_SECONDS
