"""How long an owner's word that they still want a queued request holds. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

ASKED_BEFORE = timedelta(hours=6)
"""How long before a request leaves the queue its owner is asked, at most."""
LONGEST_STEP = timedelta(minutes=1)
"""Two looks at the queue that are further apart leave a time in which nobody looked."""
TOLERANCE = timedelta(seconds=5)
"""Less is no jump: clocks are corrected all the time."""
NOTHING = timedelta(0)


def asking_period(interest: timedelta) -> timedelta:
    """Return how long before the end an owner is asked whether they still want it."""
    return min(ASKED_BEFORE, interest / 4)


def unseen(wall: timedelta, passed: timedelta | None, longest_step: timedelta = LONGEST_STEP) -> timedelta:
    """Return how much of the time between two looks at the queue does not count; negative where the clock went back.

    Parameters
    ----------
    wall
        What the clock says has passed.
    passed
        What a clock that never jumps says; None where the looks are those of two processes.
    longest_step
        More than this is not counted of one step.
    """
    seen = min(longest_step, wall if passed is None else passed)
    lost = wall - max(NOTHING, seen)
    return lost if abs(lost) >= TOLERANCE else NOTHING


def moved(confirmed_at: datetime, now: datetime, lost: timedelta, interest: timedelta) -> datetime:
    """Return from when an owner's word counts if a time does not: at least one asking period is left then.

    Parameters
    ----------
    lost
        What :func:`unseen` found; where the clock went back, a word in the future counts from now.
    """
    if lost <= NOTHING:
        return min(confirmed_at, now) if lost else confirmed_at
    least = now + asking_period(interest) - interest
    kept = max(min(confirmed_at + lost, now), least)
    return kept if kept - confirmed_at >= TOLERANCE else confirmed_at
