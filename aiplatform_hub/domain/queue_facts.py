"""Turn what is known of sessions, requests and use into what the planner is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiplatform_hub.domain.fairshare import DecayedUsage, Person, ranks_of
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.queue_values import Running, Waiting
from aiplatform_hub.domain.release import NOT_FOR_US, Action, Cause, SessionFacts, verdict
from aiplatform_hub.domain.session_lengths import SessionKind, SessionLengths


@dataclass(frozen=True, slots=True)
class HeldSession:
    """A session that holds GPUs."""

    id: str
    person: Person
    kind: SessionKind
    node: str
    facts: SessionFacts


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request in the queue."""

    id: str
    person: Person
    kind: SessionKind
    gpu_type: str | None
    requested_seconds: float
    blocked_by: str = ""
    """Why it may not start whatever is free; empty if it may."""


def running(session: HeldSession, lengths: SessionLengths, policy: Policy) -> Running:
    """Return a session as the planner sees it: when it probably ends, and from when somebody who waits may have its GPUs."""
    facts = session.facts
    found = verdict(facts, policy, is_somebody_waiting=True)
    takeable = None if found.why in NOT_FOR_US else found.deadline_seconds
    remaining = lengths.remaining_seconds(session.kind, facts.now_seconds - facts.started_seconds, policy.reserve_quantile)
    if facts.idle_since_seconds is not None and takeable is not None:
        remaining = max(0.0, takeable - facts.now_seconds)
    return Running(
        id=session.id,
        person=session.person,
        gpus=session.kind.gpus,
        node=session.node,
        expected_end_seconds=facts.now_seconds + remaining,
        takeable_from_seconds=takeable,
        is_idle=found.action is Action.RELEASE and found.why is Cause.IDLE,
        must_end_seconds=facts.must_end_seconds,
    )


def waiting(request: QueuedRequest, lengths: SessionLengths, policy: Policy) -> Waiting:
    """Return a request as the planner sees it: how long its session probably lasts."""
    return Waiting(
        id=request.id,
        person=request.person,
        gpus=request.kind.gpus,
        gpu_type=request.gpu_type,
        requested_seconds=request.requested_seconds,
        expected_seconds=lengths.remaining_seconds(request.kind, 0.0, EXPECTED_QUANTILE),
        safe_seconds=lengths.remaining_seconds(request.kind, 0.0, policy.backfill_quantile),
        blocked_by=request.blocked_by,
    )


EXPECTED_QUANTILE = 0.5
"""The length that a session is expected to have: the median."""


def ranks(usage: Mapping[Person, DecayedUsage], now_seconds: float, policy: Policy) -> dict[Person, int]:
    """Return everybody's place of the Fair Tree; all are equal where the policy is not fair."""
    if not policy.is_fair:
        return dict.fromkeys(usage, 0)
    used = {person: counter.at(now_seconds, policy.half_life_seconds) for person, counter in usage.items()}
    return ranks_of(used, policy)
