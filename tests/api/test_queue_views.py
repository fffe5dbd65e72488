"""Who is named to whom in the words about a place, and what is said of time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.queueing import QueueEntry, WaitCode, WaitReason
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.wait_estimates import WaitEstimate
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.wait_forecaster import Waits
from aiplatform_hub.services.platform.auth import Principal
from aiplatform_hub.services.platform.queue_views import QueueSnapshot, QueueViews

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
REQUEST = LaunchRequest("jupyterlab", 2, "h100", 1024**3, 1, "vision", "cc-1", None)
QUEUED = Allocation(UUID(int=1), 1, "alice", "mine", None, REQUEST, AllocationState.QUEUED, (), "rest", "alice", NOW, queued_at=NOW, confirmed_at=NOW)
RUNNING = replace(QUEUED, id=UUID(int=2), user_id=2, user_name="bob", server_name="train-1", state=AllocationState.ACTIVE, queued_at=None)
OWN = replace(RUNNING, id=UUID(int=3), user_id=1, user_name="alice", server_name="lab")


def principal(name: str, *scopes: str, kind: str = "user") -> Principal:
    return Principal(name, kind, is_admin=False, groups=frozenset(), scopes=frozenset(scopes), token="t")


ALICE = principal("alice", "read:servers!user=alice")
ADMIN = principal("root", "read:servers")
SERVICE = principal("alice", "read:servers!user=alice", kind="service")


@pytest.fixture
def views(tmp_path):
    factory = Factory(Settings(data_dir=tmp_path, queue_interest_hours=3))
    yield QueueViews(factory)
    factory.close()


def body(views, reader: Principal, *because_of: object, until: float | None = None, is_estimated: bool = True):
    reason = WaitReason(WaitCode.RELEASE, requested="2", until_seconds=until, because_of=tuple(map(str, because_of)))
    entry = QueueEntry(QUEUED.id, 1, reason)
    snapshot = QueueSnapshot(
        (entry,), {a.id: a for a in (QUEUED, RUNNING, OWN)}, NOW, Waits(NOW, {QUEUED.id: WaitEstimate(60, 120, 240)} if is_estimated else {})
    )
    return views.body(QUEUED, entry, snapshot, reader)


def test_others_sessions_are_named_to_those_alone_who_may_read_them(views):
    assert "bob's session train-1" in body(views, ADMIN, RUNNING.id).reason.message
    assert "your session lab" in body(views, ALICE, OWN.id).reason.message
    assert "alice's session lab" in body(views, SERVICE, OWN.id).reason.message
    for hidden in (body(views, ALICE, RUNNING.id), body(views, ALICE, OWN.id, RUNNING.id), body(views, ALICE, UUID(int=9)), body(views, ALICE, "vision")):
        text = hidden.model_dump_json()
        assert "bob" not in text
        assert "train-1" not in text
        assert str(RUNNING.id) not in text


def test_a_request_is_kept_for_as_long_as_configured(views):
    assert body(views, ALICE).expires_at == NOW + timedelta(hours=3)


def test_an_expected_instant_is_given_to_the_minute(views):
    exact = NOW.timestamp() + 61.5
    assert body(views, ALICE, until=exact).reason.numbers.until == NOW + timedelta(minutes=2)
    assert body(views, ALICE, until=exact).reason == body(views, ALICE, until=exact + 1).reason
    assert body(views, ALICE).reason.numbers.until is None


def test_no_instant_is_expected_where_no_wait_is_estimated(views):
    guessed = body(views, ALICE, until=NOW.timestamp() + 8400, is_estimated=False)
    assert (guessed.wait, guessed.reason.numbers.until) == (None, None)
