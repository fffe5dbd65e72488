"""A limit is raised for a person or a group until an instant: every decision counts it, says where it comes from, and can be replayed."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from aiplatform_hub.domain.allocations import AllocationState, EndCause
from aiplatform_hub.domain.limit_grants import LimitGrant
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError, QuotaExceededError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.limit_grants import LimitGrantDraft, LimitGrants
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.limit_grants import LimitGrantStore
from tests.support.chain import NOON, Chain, person, want

HOUR = timedelta(hours=1)


def grants_of(chain: Chain) -> LimitGrants:
    trail = AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock)
    return LimitGrants(database=chain.database, catalog=chain.catalog, limit_grants=LimitGrantStore(), audit_trail=trail, clock=chain.clock)


def give(chain: Chain, amount: str = "3", **terms: object) -> LimitGrant:
    usual = {"scope": "user", "name": "user1", "dimension": "gpus", "expires_at": NOON + HOUR, "reason": "deadline"}
    return grants_of(chain).give(LimitGrantDraft(**{**usual, "amount": amount, **terms}), "boss")


def gpus_of(chain: Chain, caller: Caller) -> tuple[Decimal, str]:
    """Return a person's limit of GPUs, and where it comes from."""
    (limit,) = (row.limit for row in chain.enforcer.quota_of(caller) if row.limit.dimension == "gpus")
    return limit.amount, limit.source


def test_raised_limit_counts_until_its_end_and_says_where_it_comes_from(chain: Chain) -> None:
    with pytest.raises(QuotaExceededError):
        chain.hold(person(1), "a", want(3))
    give(chain)
    assert gpus_of(chain, person(1)) == (3, "grant by boss until 2026-11-24 13:00 UTC")
    assert gpus_of(chain, person(2)) == (2, "tier default")
    held = chain.hold(person(1), "a", want(3))
    assert len(held.devices) == 3
    with pytest.raises(QuotaExceededError):
        chain.hold(person(2), "a", want(3))
    chain.clock.now = NOON + HOUR
    assert gpus_of(chain, person(1)) == (2, "tier default")
    with pytest.raises(QuotaExceededError):
        chain.hold(person(1), "b", want(3))


def test_decision_carries_what_was_granted_and_is_replayed_after_its_end(chain: Chain) -> None:
    given = give(chain)
    held = chain.hold(person(1), "a", want(3))
    grants_of(chain).end(given.id, "chief")
    record = chain.enforcer.why(held.id)
    assert record.is_reproduced
    assert {
        "scope": "user",
        "subject": "user1",
        "dimension": "gpus",
        "amount": "3",
        "source": "grant by boss until 2026-11-24 13:00 UTC",
    } in record.decision.inputs["limits"]
    with pytest.raises(QuotaExceededError):
        chain.hold(person(1), "b", want(3))


def test_group_gives_each_member_the_limit_and_none_is_lowered(chain: Chain) -> None:
    give(chain, scope="group", name="vision", amount="3")
    assert gpus_of(chain, person(1, "vision")) == (3, "grant by boss to group vision until 2026-11-24 13:00 UTC")
    assert gpus_of(chain, person(1, "nlp")) == (2, "tier default")
    assert gpus_of(chain, person(1, "vision", "staff")) == (4, "tier premium (group staff)")
    give(chain, name="vision", amount="4")
    assert gpus_of(chain, person(1, "vision"))[0] == 3, "a person of that name is no group"
    give(chain, amount="4")
    assert gpus_of(chain, person(1, "vision")) == (4, "grant by boss until 2026-11-24 13:00 UTC")


@pytest.mark.parametrize(
    ("dimension", "amount", "groups", "found"),
    [("environments", "6", (), 6), ("storage_bytes", "200 GiB", (), 200 * 1024**3), ("memory_bytes", "64 GiB", (), 64 * 1024**3)],
)
def test_every_dimension_of_a_tier_can_be_raised(chain: Chain, dimension: str, amount: str, groups: tuple[str, ...], found: int) -> None:
    give(chain, amount, dimension=dimension)
    assert [row.limit.amount for row in chain.enforcer.quota_of(person(1, *groups)) if row.limit.dimension == dimension] == [found]


def test_hours_of_a_window_can_be_raised(chain: Chain) -> None:
    give(chain, "12.5", dimension="gpu_hours", window_days=7)
    assert [row.limit.amount for row in chain.enforcer.quota_of(person(1, "metered")) if row.limit.dimension == "gpu_hours"] == [Decimal("12.5")]
    assert [row for row in chain.enforcer.quota_of(person(1)) if row.limit.dimension == "gpu_hours"] == [], "what is not limited stays so"


def test_request_that_waits_is_started_within_its_raised_limit(chain: Chain) -> None:
    give(chain)
    blocker = chain.hold(person(2), "b", want(2))
    waiting = chain.queue(person(1), "a", want(3))
    chain.dispatch(person(1), person(2))
    assert chain.find(waiting).is_queued
    chain.end(blocker)
    chain.dispatch(person(1), person(2))
    assert chain.find(waiting).state is AllocationState.HELD


def test_request_that_waits_ends_with_the_grant_that_it_needs(chain: Chain) -> None:
    given = give(chain)
    chain.hold(person(2), "b", want(2))
    waiting = chain.queue(person(1), "a", want(3))
    grants_of(chain).end(given.id, "chief")
    chain.dispatch(person(1), person(2))
    assert chain.find(waiting).end_cause is EndCause.NEVER_FITS


def test_ended_grant_can_be_taken_back_and_each_act_is_audited(chain: Chain) -> None:
    grants, given = grants_of(chain), give(chain)
    grants.end(given.id, "chief")
    assert gpus_of(chain, person(1))[0] == 2
    with pytest.raises(ConflictError, match="over already"):
        grants.end(given.id, "chief")
    grants.restore(given.id, "chief")
    assert (gpus_of(chain, person(1))[0], [each.id for each in grants.in_force()]) == (3, [given.id])
    with pytest.raises(ConflictError, match="nothing to take back"):
        grants.restore(given.id, "chief")
    for act in (grants.end, grants.restore):
        with pytest.raises(NotFoundError):
            act(uuid4(), "chief")
    chain.clock.now = NOON + HOUR
    assert grants.in_force() == ()
    events = AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock).latest()
    assert [(event.actor, event.action, event.target) for event in events] == [
        ("chief", "restore_limit_grant", "user:user1"),
        ("chief", "end_limit_grant", "user:user1"),
        ("boss", "grant_limit", "user:user1"),
    ]
    assert events[-1].detail == {"grant": str(given.id), "limit": "gpus", "amount": "3", "expires_at": "2026-11-24T13:00:00.000000Z", "reason": "deadline"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scope": "project"}, "scope"),
        ({"name": ""}, "name"),
        ({"dimension": "coffee"}, "dimension"),
        ({"gpu_type": "h100"}, "dimension"),
        ({"dimension": "gpu_hours", "window_days": 8}, "dimension"),
        ({"amount": "many"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1.5"}, "amount"),
        ({"amount": "64", "dimension": "memory_bytes"}, "amount"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"expires_at": NOON}, "expires_at"),
    ],
)
def test_senseless_grant_is_refused(chain: Chain, change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidOptionError) as error:
        give(chain, **change)
    assert error.value.reasons[0].field == field
    assert grants_of(chain).in_force() == ()
