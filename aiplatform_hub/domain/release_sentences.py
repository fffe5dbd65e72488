"""Words of release: why a session's GPUs go, and what keeps them, as sentences. Pure.

A sentence with an instant in it is a row of texts and instants, so that a page can show the instant in its reader's zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.queue_sentences import span
from aiplatform_hub.domain.release import Action, Cause, ReleaseView

_MINUTE_SECONDS = 60

Words = tuple[str | datetime, ...]
"""A sentence: texts, and instants between them."""


@dataclass(frozen=True, slots=True)
class Told:
    """A session, its release and when somebody reads about it."""

    session: Allocation
    view: ReleaseView
    policy: Policy
    now: datetime
    open_by: datetime | None = None
    """Until when its owner, who waited for it, was told to open it; None if they have, or were told of no such time."""

    @property
    def started_at(self) -> datetime:
        """When it began to run."""
        return self.session.started_at or self.now

    @property
    def is_looming(self) -> bool:
        """Whether its GPUs go at an instant: nothing else has to happen, or somebody waits who could use them."""
        view = self.view
        is_ahead = view.deadline is not None and view.deadline > self.now
        return not view.is_if_somebody_waits or (view.is_somebody_waiting and is_ahead)

    @property
    def is_reclaimed(self) -> bool:
        """Whether what ends it is Kueue, which no extension and no policy keeps from it."""
        return self.view.why is Cause.PREEMPTED

    @property
    def gpus(self) -> str:
        """What it would lose, as the beginning of a sentence."""
        return "Your GPU has" if self.session.request.gpus == 1 else "Your GPUs have"

    @property
    def them(self) -> str:
        """The same as an object."""
        return "it" if self.session.request.gpus == 1 else "them"

    @property
    def they(self) -> str:
        """The same as a subject."""
        return "It is" if self.session.request.gpus == 1 else "They are"


def reason(told: Told) -> str:
    """Return why the owner of a session is warned, or why it is released; empty where it is kept."""
    view = told.view
    if view.action is Action.KEEP or view.why is None:
        return ""
    is_needed = view.is_somebody_waiting and told.is_looming
    waits = f", and somebody waits for {told.them}." if is_needed else "."
    if view.why is Cause.IDLE:
        return f"{told.gpus} been idle for {_since(view.idle_since, told.now)}{waits}"
    if view.why is Cause.CAP:
        whose = "GPU" if told.session.request.gpus == 1 else "GPUs"
        return f"This session has run for {_since(told.started_at, told.now)}" + (f", and somebody waits for its {whose}." if is_needed else ".")
    if view.why is Cause.CLASS:
        return f"A class that has reserved {'this GPU' if told.session.request.gpus == 1 else 'these GPUs'} begins."
    if told.is_reclaimed:
        return f"The cluster's queue, Kueue, wants {'this GPU' if told.session.request.gpus == 1 else 'these GPUs'} back for others."
    return "A budget that pays for this session is spent." if view.why is Cause.BUDGET else "Nobody has used this environment for a long time."


def outcome(told: Told) -> Words:
    """Return what happens to a session of which its owner is warned, and when."""
    view = told.view
    if view.action is Action.KEEP or view.deadline is None:
        return ()
    if view.why is Cause.INACTIVE:
        return ("It is stopped after ", view.deadline, ". Open it before, and it stays.")
    if view.action is Action.RELEASE:
        return (f"{told.they} being given back now.",)
    if told.is_looming:
        is_sure = not view.is_if_somebody_waits or view.why is Cause.IDLE  # over its cap only for who is more entitled
        return (f"{told.they} given back at " if is_sure else f"{told.they.split()[0]} may be given back at ", view.deadline, ".")
    goes = "it goes" if told.session.request.gpus == 1 else "they go"
    now, then = (
        ("Somebody waits, but does not need yours yet", "that changes") if view.is_somebody_waiting else (f"Nobody waits for {told.them} now", "somebody does")
    )
    if view.deadline > told.now:
        return (f"{now}; from ", view.deadline, f" on {goes} as soon as {then}.")
    return (f"{now}; {goes} as soon as {then}.",)


def extension_length(told: Told) -> str:
    """Return how much longer one extension keeps a session, for example ``1 h``; empty where it gains nothing."""
    until = told.view.can_extend_until
    return "" if until is None else span((until - told.now).total_seconds())


def why_not_longer(told: Told) -> str:
    """Return why a session of which its owner is warned cannot be kept; empty where it can, or where using it keeps it."""
    view = told.view
    if view.action is Action.KEEP or view.can_extend_until is not None or view.why is Cause.INACTIVE:
        return ""
    if view.why is Cause.CLASS:
        return "It cannot be kept longer: when it started, it was told to make room for the class."
    if view.why is Cause.BUDGET:
        return "It cannot be kept longer, unless an admin sets a larger budget. Files that were saved stay."
    if told.is_reclaimed:
        return "It cannot be kept longer. It goes back into the line, to its place, and starts again by itself."
    if view.action is Action.RELEASE:
        return "It is too late to keep it."
    return f"It cannot be kept longer: {length(told.policy.session_ceiling_seconds)} is the most."


def grace(told: Told) -> Words:
    """Return until when a session has to be opened, and what becomes of it otherwise; empty where that is no question."""
    if told.open_by is None:
        return ()
    if told.open_by <= told.now:
        return ("Nobody opened it by ", told.open_by, ": it goes to whoever is next in line.")
    return ("Open it by ", told.open_by, ", or it goes to whoever is next in line.")


def promise(told: Told) -> Words:
    """Return, for a session that is kept, until when it runs at least and what may end it later; empty without GPUs."""
    session, policy = told.session, told.policy
    if not session.request.gpus:
        return ()
    sentences = [_at_least(told), *([_later(told)] if policy.is_releasing or told.is_reclaimed else [])]
    if session.must_end_at is not None:
        sentences.append(("At ", session.must_end_at, " a class begins that has reserved its GPUs: then it ends."))
    said = [sentence for sentence in sentences if sentence]
    return tuple(part for number, sentence in enumerate(said) for part in ((" ",) if number else ()) + sentence)


def _at_least(told: Told) -> Words:
    kept = told.view.extended_until
    if kept is not None and kept > told.now and not told.is_reclaimed:
        return ("You keep it until ", kept, ".")
    is_guaranteed = told.view.guaranteed_until > told.now and (told.policy.is_releasing or told.is_reclaimed)
    runs = "Runs" if told.open_by is None else "Then it runs"
    return (f"{runs} at least until ", told.view.guaranteed_until, ".") if is_guaranteed else ()


def _later(told: Told) -> Words:
    policy = told.policy
    if told.is_reclaimed:
        return ("Then the cluster's queue, Kueue, takes its GPUs back for others; it waits in line again and starts by itself.",)
    words: Words = ()
    if policy.idle_after_seconds is not None:
        words += (f" after {length(policy.idle_after_seconds)} idle",)
    if policy.session_cap_seconds is not None:
        words += (", or from " if words else " from ", _cap_at(told, policy.session_cap_seconds), " on")
    if not words:
        return ()
    who = "go to who waits" if policy.acts_only_while_somebody_waits else "are given back"
    return (f"Its GPUs {who}", *words, "; you can keep it until ", told.started_at + timedelta(seconds=policy.session_ceiling_seconds), ".")


def _cap_at(told: Told, cap_seconds: float) -> datetime:
    return max(told.started_at + timedelta(seconds=cap_seconds), told.view.guaranteed_until, told.view.extended_until or told.started_at)


def length(seconds: float) -> str:
    """Return a number of the policy as it was chosen, for example ``10 min``, ``24 h`` or ``1 h 30 min``."""
    hours, minutes = divmod(round(seconds / _MINUTE_SECONDS), 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _since(instant: datetime | None, now: datetime) -> str:
    return span(max(timedelta(minutes=1), now - (instant or now)).total_seconds())
