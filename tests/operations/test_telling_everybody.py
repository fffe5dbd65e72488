"""Announcements: each act with its audit row, known to every page within seconds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aiplatform_hub.domain.announcements import Draft, Level
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError
from aiplatform_hub.operations.announcements import LOOK_SECONDS, Announcements
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.storage.announcements import AnnouncementStore
from aiplatform_hub.storage.audit import AuditStore
from tests.support.chain import NOON, Chain

HOUR = timedelta(hours=1)
DRAFT = Draft(text="  The cooling is repaired. ", level=Level.WARNING, starts_at=NOON, ends_at=NOON + HOUR)


class BrokenAudit(AuditStore):
    """Fails, as a full disk between two rows would."""

    def insert(self, connection: object, event: object) -> None:
        raise OSError("no space")


class Seconds:
    """A clock that never jumps, moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def announcements_of(chain: Chain, *, audit: AuditStore | None = None, seconds: Seconds | None = None) -> Announcements:
    trail = AuditTrail(database=chain.database, audit=audit or AuditStore(), clock=chain.clock)
    return Announcements(database=chain.database, announcements=AnnouncementStore(), audit_trail=trail, clock=chain.clock, monotonic=seconds or Seconds())


def audited(chain: Chain) -> list[tuple[str, str, str]]:
    with chain.database.read() as connection:
        return [(event.actor, event.action, event.target) for event in AuditStore().latest(connection, limit=10)]


def test_what_is_told_is_seen_at_once_and_until_its_end(chain: Chain) -> None:
    announcements = announcements_of(chain)
    assert announcements.shown() == ()
    told = announcements.announce(DRAFT, by="boss")
    assert [one.text for one in announcements.shown()] == ["The cooling is repaired."]
    assert audited(chain) == [("boss", "announce", f"announcement:{told.id}")]
    chain.clock.move(hours=1)
    assert announcements.shown() == ()


def test_what_cannot_be_audited_is_not_told(chain: Chain) -> None:
    announcements = announcements_of(chain, audit=BrokenAudit())
    with pytest.raises(OSError, match="no space"):
        announcements.announce(DRAFT, by="boss")
    assert announcements.latest(limit=10) == ()


def test_another_process_sees_it_within_two_seconds_without_asking_each_time(chain: Chain) -> None:
    seconds = Seconds()
    writer, reader = announcements_of(chain), announcements_of(chain, seconds=seconds)
    assert reader.shown() == ()
    writer.announce(DRAFT, by="boss")
    assert reader.shown() == ()
    seconds.now += LOOK_SECONDS
    assert len(reader.shown()) == 1


def test_withdrawn_one_can_be_brought_back_until_its_end(chain: Chain) -> None:
    announcements = announcements_of(chain)
    told = announcements.announce(DRAFT, by="boss")
    for _ in range(2):
        assert announcements.withdraw(told.id, by="boss").withdrawn_at == NOON
    assert announcements.shown() == ()
    for _ in range(2):
        announcements.restore(told.id, by="boss")
    assert [one.id for one in announcements.shown()] == [told.id]
    assert [action for _, action, _ in audited(chain)] == ["restore_announcement", "withdraw_announcement", "announce"]
    announcements.withdraw(told.id, by="boss")
    chain.clock.move(hours=1)
    with pytest.raises(ConflictError, match="over"):
        announcements.restore(told.id, by="boss")


def test_what_is_wrong_or_unknown_is_refused(chain: Chain) -> None:
    announcements = announcements_of(chain)
    with pytest.raises(InvalidOptionError) as error:
        announcements.announce(Draft(text="", level=Level.INFO, starts_at=NOON, ends_at=NOON), by="boss")
    assert [reason.field for reason in error.value.reasons] == ["text", "ends_at"]
    for act in (announcements.withdraw, announcements.restore):
        with pytest.raises(NotFoundError):
            act(7, by="boss")
