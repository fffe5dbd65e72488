"""The one verdict on a running session: keep it, warn its owner, or give its GPUs back."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.policy import Policy

HEARD_LATE_SECONDS = 300.0
"""By how much the hub may hear late that a server is used. In seconds."""
CULLER_AWAY = timedelta(minutes=30)
"""Time after the end that the culler announced from which it is not believed any more."""


class Action(StrEnum):
    """What is done about a session now."""

    KEEP = "keep"
    WARN = "warn"
    RELEASE = "release"


_STRENGTH = {Action.KEEP: 0, Action.WARN: 1, Action.RELEASE: 2}


class Cause(StrEnum):
    """Why a session's GPUs may be taken."""

    IDLE = "idle"
    CAP = "session_cap"
    CLASS = "class_begins"
    PREEMPTED = "preempted"
    """Kueue wants its quota back."""
    BUDGET = "budget_exhausted"
    """A budget that pays for it is spent, and stops what runs."""
    INACTIVE = "inactive"
    """Nobody has used the server; only servers without GPUs end for that."""


END_CAUSES = {
    Cause.IDLE: EndCause.IDLE,
    Cause.CAP: EndCause.SESSION_CAP,
    Cause.CLASS: EndCause.CLASS_BEGINS,
    Cause.PREEMPTED: EndCause.PREEMPTED,
    Cause.BUDGET: EndCause.BUDGET_EXHAUSTED,
    Cause.INACTIVE: EndCause.CULLED,
}
"""What the ledger says of a session that ended for a cause."""
NOT_FOR_US = frozenset({Cause.CLASS, Cause.PREEMPTED})
"""Of sessions that end for these, somebody outside the line gets the GPUs."""
KEEPER_CAUSES = frozenset({EndCause.IDLE, EndCause.SESSION_CAP, EndCause.CLASS_BEGINS, EndCause.PREEMPTED, EndCause.BUDGET_EXHAUSTED})
"""Ends that the keeper carries out."""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What is known of a running session. Instants are seconds of the epoch."""

    now_seconds: float
    started_seconds: float
    idle_since_seconds: float | None = None
    """Since when all its GPUs have been idle; None while one is busy, and whenever that is not known."""
    extended_until_seconds: float | None = None
    """Until when its owner asked to keep it."""
    must_end_seconds: float | None = None
    """When a class begins for which it was told at its launch to make room."""
    reclaimed_seconds: float | None = None
    """Since when Kueue wants its quota back; None while it does not."""
    budget_ends_seconds: float | None = None
    """When a budget that pays for it stops it, because it is spent; None while none does."""
    warned_seconds: float = 0.0
    """Since when its owner can have seen the warning without a break; now if not yet. No deadline is sooner than one warning after it."""
    inactive_since_seconds: float | None = None
    """Since when nobody has used a server without GPUs, which nothing else ends; None for those with GPUs, and where it is not known."""
    inactive_after_seconds: float | None = None
    """Inactivity after which such a server ends; None is never."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is done about a session now, and when its GPUs may be taken."""

    action: Action
    deadline_seconds: float | None
    """First instant at which its GPUs may be taken, in seconds of the epoch; None if nothing may take them."""
    why: Cause | None
    """What sets the deadline; None without one."""
    is_if_somebody_waits: bool = False
    """Whether the deadline passes without effect until somebody waits for these GPUs."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside the row of a session. Instants are aware UTC."""

    now: datetime
    idle_since: datetime | None = None
    """Since when all its GPUs have been idle; None while one is busy, and whenever that is not known."""
    warned_at: datetime | None = None
    """Since when its owner has been warned; None if not now."""
    reclaimed_at: datetime | None = None
    """Since when Kueue wants its quota back; None while it does not."""
    budget_ends_at: datetime | None = None
    """When a budget that pays for it stops it, because it is spent; None while none does."""
    unused_until: datetime | None = None
    """After when a server without GPUs ends of whose disuse its owner is warned; None if not now."""
    is_claimed: bool = False
    """Whether the planner asks for its GPUs."""
    is_wanted: bool = False
    """Whether somebody waits to whom its GPUs would be of use."""


@dataclass(frozen=True, slots=True)
class ReleaseView:
    """What a session's owner is told. Instants are aware UTC."""

    action: Action
    deadline: datetime | None
    """First instant at which its GPUs may be taken; None if nothing may take them."""
    why: Cause | None
    is_if_somebody_waits: bool
    """Whether the deadline passes without effect until somebody waits for these GPUs."""
    is_somebody_waiting: bool
    """Whether somebody waits to whom its GPUs would be of use."""
    extended_until: datetime | None
    can_extend_until: datetime | None
    """Until when its owner can keep it by one click now; None if that would gain nothing."""
    idle_since: datetime | None
    guaranteed_until: datetime
    """Until when nothing takes its GPUs but a class of which it was told."""


def facts_of(session: Allocation, around: Surroundings) -> SessionFacts:
    """Return what the verdict needs to know of an active session; GPUs are all that it may lose."""
    started = (session.started_at or around.now).timestamp()
    return SessionFacts(
        now_seconds=around.now.timestamp(),
        started_seconds=started,
        idle_since_seconds=None if around.idle_since is None else around.idle_since.timestamp(),
        extended_until_seconds=None if session.extended_until is None else session.extended_until.timestamp(),
        must_end_seconds=None if session.must_end_at is None else session.must_end_at.timestamp(),
        reclaimed_seconds=None if around.reclaimed_at is None else around.reclaimed_at.timestamp(),
        budget_ends_seconds=None if around.budget_ends_at is None else around.budget_ends_at.timestamp(),
        warned_seconds=(around.warned_at or around.now).timestamp(),
    )


def view_of(session: Allocation, around: Surroundings, policy: Policy) -> ReleaseView | None:
    """Return what the owner of an active session is told; None for what is not active."""
    if session.state is not AllocationState.ACTIVE:
        return None
    facts = facts_of(session, around)
    found = verdict(facts, policy, is_somebody_waiting=around.is_claimed) if session.devices else _unused(around)
    can_extend = extension(facts, policy) if session.devices and session.stop_cause is None else None
    return ReleaseView(
        action=found.action,
        deadline=_instant(found.deadline_seconds),
        why=found.why,
        is_if_somebody_waits=found.is_if_somebody_waits,
        is_somebody_waiting=around.is_claimed or around.is_wanted,
        extended_until=session.extended_until,
        can_extend_until=_instant(can_extend),
        idle_since=around.idle_since,
        guaranteed_until=datetime.fromtimestamp(facts.started_seconds + policy.guaranteed_seconds, UTC),
    )


def _unused(around: Surroundings) -> Verdict:
    """Return what the owner of a server without GPUs is told: what the culler recorded, unless it does not look any more."""
    until = around.unused_until
    if until is None or around.now > until + CULLER_AWAY:
        return Verdict(Action.KEEP, None, None)
    return Verdict(Action.WARN, until.timestamp(), Cause.INACTIVE)


def extension(facts: SessionFacts, policy: Policy) -> float | None:
    """Return until when one more period would keep a session, in seconds of the epoch; None if that gains nothing.

    A period counts from now, so nobody keeps GPUs for a whole day by clicking all at once, and then leaves them idle.
    """
    if not policy.is_releasing or facts.reclaimed_seconds is not None or facts.budget_ends_seconds is not None:
        return None
    ceiling = facts.started_seconds + policy.session_ceiling_seconds
    until = min(facts.now_seconds + policy.extension_seconds, ceiling, facts.must_end_seconds or ceiling)
    has_gained = until > max(facts.now_seconds, _extended(facts, policy))
    return until if has_gained else None


def is_unused_for_sure(found: Verdict, now_seconds: float) -> bool:
    """Whether a server may be stopped that nobody uses: also the hub would know by now of whoever came before the deadline."""
    return found.why is Cause.INACTIVE and found.deadline_seconds is not None and now_seconds >= found.deadline_seconds + HEARD_LATE_SECONDS


def is_of_use(session: Allocation, waiting: Allocation, blocked: AbstractSet[UUID]) -> bool:
    """Whether a queued request waits for such GPUs, and not for a limit of its own."""
    return waiting.is_queued and waiting.id not in blocked and waiting.request.gpus > 0 and waiting.request.gpu_type in {None, session.request.gpu_type}


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def verdict(facts: SessionFacts, policy: Policy, *, is_somebody_waiting: bool) -> Verdict:
    """Return what is done about a session.

    Its owner is warned before each deadline, also where nobody waits yet: the GPUs go as soon as somebody does.

    Parameters
    ----------
    facts
        The session now.
    policy
        Idle time, cap, ceiling and guaranteed minimum.
    is_somebody_waiting
        Whether somebody waits for the GPUs of this session.
    """
    found = [_at(deadline, why, facts, policy, is_somebody_waiting) for deadline, why in _deadlines(facts, policy)]
    strongest = min(found, key=_urgency, default=None)
    return strongest or Verdict(Action.KEEP, None, None)


def _at(deadline_seconds: float, why: Cause, facts: SessionFacts, policy: Policy, is_somebody_waiting: bool) -> Verdict:
    """Return what one deadline alone asks for."""
    is_conditional = why in {Cause.IDLE, Cause.CAP} and policy.acts_only_while_somebody_waits and not is_somebody_waiting
    if why is not Cause.BUDGET and facts.now_seconds < deadline_seconds - policy.idle_warning_seconds:  # of a budget they are told at once
        action = Action.KEEP
    elif facts.now_seconds < deadline_seconds or is_conditional:
        action = Action.WARN
    else:
        action = Action.RELEASE
    return Verdict(action, deadline_seconds, why, is_conditional)


def _urgency(each: Verdict) -> tuple[int, bool, float]:
    """Return what puts the strongest verdict first; of two releases the one that takes no work comes first."""
    is_idle_release = each.action is Action.RELEASE and each.why is Cause.IDLE
    return -_STRENGTH[each.action], not is_idle_release, each.deadline_seconds or 0.0


def _deadlines(facts: SessionFacts, policy: Policy) -> list[tuple[float, Cause]]:
    """Return each instant from which the session's GPUs may be taken, or a server without any be stopped, with its cause."""
    found = []
    if policy.is_releasing and facts.inactive_since_seconds is None:
        not_before = max(facts.started_seconds + policy.guaranteed_seconds, _extended(facts, policy))
        if policy.idle_after_seconds is not None and facts.idle_since_seconds is not None:
            found.append((max(not_before, facts.idle_since_seconds + policy.idle_after_seconds), Cause.IDLE))
        if policy.session_cap_seconds is not None:
            found.append((max(not_before, facts.started_seconds + policy.session_cap_seconds), Cause.CAP))
    if facts.must_end_seconds is not None:
        found.append((facts.must_end_seconds, Cause.CLASS))
    if facts.reclaimed_seconds is not None:  # what it was warned of before was something else
        told = facts.reclaimed_seconds + policy.idle_warning_seconds
        found.append((max(facts.started_seconds + policy.guaranteed_seconds, told), Cause.PREEMPTED))
    if facts.budget_ends_seconds is not None:
        found.append((facts.budget_ends_seconds, Cause.BUDGET))
    if facts.inactive_since_seconds is not None and facts.inactive_after_seconds is not None:
        found.append((facts.inactive_since_seconds + facts.inactive_after_seconds, Cause.INACTIVE))
    seen = facts.warned_seconds + policy.idle_warning_seconds
    return [(max(deadline, seen), why) for deadline, why in found]


def _extended(facts: SessionFacts, policy: Policy) -> float:
    """Return until when an extension protects a session, never beyond the ceiling."""
    if facts.extended_until_seconds is None:
        return facts.started_seconds
    return min(facts.extended_until_seconds, facts.started_seconds + policy.session_ceiling_seconds)
