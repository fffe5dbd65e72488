"""A grant and its audit row are one transaction."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.grants import Grants
from aiplatform_hub.storage import schema
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.grants import GrantStore
from tests.support.chain import NOON, Chain, person


class BrokenAudit(AuditStore):
    """Fails, as a full disk between two rows would."""

    def insert(self, connection: object, event: object) -> None:
        raise OSError("no space")


def grants_of(chain: Chain, audit: AuditStore) -> Grants:
    trail = AuditTrail(database=chain.database, audit=audit, clock=chain.clock)
    return Grants(database=chain.database, catalog=chain.catalog, grants=GrantStore(), audit_trail=trail, clock=chain.clock)


def rows(chain: Chain, table: object) -> int:
    with chain.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_grant_raises_the_tier_until_it_ends_and_is_audited(chain: Chain) -> None:
    grants = grants_of(chain, AuditStore())
    grants.grant("user1", "premium", NOON + timedelta(hours=1), "deadline", "boss")
    assert chain.enforcer.tier_name(person(1)) == "premium"
    assert [grant.user_name for grant in grants.active()] == ["user1"]
    trail = AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock)
    (event,) = trail.latest()
    assert (event.actor, event.action, event.target, event.outcome) == ("boss", "grant", "user:user1", "done")
    chain.clock.move(hours=1)
    assert chain.enforcer.tier_name(person(1)) == "default"


def test_revoked_grant_ends_at_once(chain: Chain) -> None:
    grants = grants_of(chain, AuditStore())
    grants.grant("user1", "premium", NOON + timedelta(hours=1), "a thesis", "boss")
    assert grants.revoke("user1", "boss") == 1
    assert chain.enforcer.tier_name(person(1)) == "default"
    assert rows(chain, schema.audit_events) == 2


def test_grant_that_cannot_be_audited_is_not_given(chain: Chain) -> None:
    with pytest.raises(OSError, match="no space"):
        grants_of(chain, BrokenAudit()).grant("user1", "premium", NOON + timedelta(hours=1), "a thesis", "boss")
    assert rows(chain, schema.grants) == 0


@pytest.mark.parametrize(("tier", "hours", "field"), [("gold", 1, "tier"), ("premium", -1, "expires_at"), ("premium", 0, "expires_at")])
def test_senseless_grant_is_refused(chain: Chain, tier: str, hours: int, field: str) -> None:
    with pytest.raises(InvalidOptionError) as error:
        grants_of(chain, AuditStore()).grant("user1", tier, NOON + timedelta(hours=hours), "a thesis", "boss")
    assert error.value.reasons[0].field == field


def test_audit_row_outside_a_transaction_has_its_own(chain: Chain) -> None:
    AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock).record(None, "user1", "read", "allocation:x", "refused", {"a": 1})
    assert rows(chain, schema.audit_events) == 1


def test_ended_grant_can_be_taken_back_until_its_own_end(chain: Chain) -> None:
    grants = grants_of(chain, AuditStore())
    given = grants.grant("user1", "premium", NOON + timedelta(hours=1), "deadline", "boss")
    grants.end(given.id, "user1", "chief")
    assert chain.enforcer.tier_name(person(1)) == "default"
    with pytest.raises(ConflictError, match="over already"):
        grants.end(given.id, "user1", "chief")
    grants.restore(given.id, "user1", "chief")
    assert chain.enforcer.tier_name(person(1)) == "premium"
    with pytest.raises(ConflictError, match="nothing to take back"):
        grants.restore(given.id, "user1", "chief")
    grants.end(given.id, "user1", "chief")
    chain.clock.now = NOON + timedelta(hours=1)
    with pytest.raises(ConflictError, match="nothing to take back"):
        grants.restore(given.id, "user1", "chief")
    assert [event.action for event in AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock).latest()] == [
        "revoke",
        "restore_grant",
        "revoke",
        "grant",
    ]


def test_grant_of_somebody_else_is_not_found_and_a_reason_is_needed(chain: Chain) -> None:
    grants = grants_of(chain, AuditStore())
    given = grants.grant("user1", "premium", NOON + timedelta(hours=1), "deadline", "boss")
    for act in (grants.end, grants.restore):
        with pytest.raises(NotFoundError):
            act(given.id, "user2", "chief")
    for reason in ("", "  ", "x" * 501):
        with pytest.raises(InvalidOptionError) as refused:
            grants.grant("user1", "premium", NOON + timedelta(hours=1), reason, "boss")
        assert refused.value.reasons[0].field == "reason"
    assert chain.enforcer.tier_name(person(1)) == "premium"
