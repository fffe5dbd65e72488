"""The one verdict on a running session: keep it, warn its owner, or give its GPUs back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aiplatform_hub.domain.policy import Policy


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
    is_conditional = why is not Cause.CLASS and policy.acts_only_while_somebody_waits and not is_somebody_waiting
    if facts.now_seconds < deadline_seconds - policy.idle_warning_seconds:
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
    """Return each instant from which the session's GPUs may be taken, with its cause."""
    found = []
    if policy.is_releasing:
        not_before = max(facts.started_seconds + policy.guaranteed_seconds, _extended(facts, policy))
        if policy.idle_after_seconds is not None and facts.idle_since_seconds is not None:
            found.append((max(not_before, facts.idle_since_seconds + policy.idle_after_seconds), Cause.IDLE))
        if policy.session_cap_seconds is not None:
            found.append((max(not_before, facts.started_seconds + policy.session_cap_seconds), Cause.CAP))
    if facts.must_end_seconds is not None:
        found.append((facts.must_end_seconds, Cause.CLASS))
    return found


def _extended(facts: SessionFacts, policy: Policy) -> float:
    """Return until when an extension protects a session, never beyond the ceiling."""
    if facts.extended_until_seconds is None:
        return facts.started_seconds
    return min(facts.extended_until_seconds, facts.started_seconds + policy.session_ceiling_seconds)
