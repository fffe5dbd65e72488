"""Whether somebody opened what started out of the queue. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState

SETTLING = timedelta(seconds=2)
"""The proxy notes activity itself when it takes up a server's route, just before the server counts as ready."""


class Opening(StrEnum):
    """What is known of a session that its owner waited for."""

    OPENED = "opened"
    NOT_YET = "not_yet"
    TOO_LATE = "too_late"
    UNKNOWN = "unknown"


def turn_key(allocation_id: UUID) -> str:
    """Return the key of the notice that tells an owner that their turn has come, and until when to open it."""
    return f"turn_came:{allocation_id}"


def is_watched(allocation: Allocation) -> bool:
    """Return whether it matters if a session was opened: it runs, its owner waited for it, and nobody has been seen in it."""
    return allocation.state is AllocationState.ACTIVE and None not in {allocation.queued_at, allocation.ready_at} and allocation.opened_at is None


def opening(allocation: Allocation, active_at: datetime | None, *, is_used: bool, now: datetime, until: datetime | None) -> Opening:
    """Judge one session.

    Parameters
    ----------
    active_at
        Last traffic to its server as the proxy says at this moment; None if it does not say.
    is_used
        Whether its GPUs have been busy: then somebody's program runs.
    until
        Until when its owner was told to open it; None if they were told of no such time.
    """
    ready_at = allocation.ready_at
    if ready_at is None or allocation.started_at is None:
        return Opening.UNKNOWN
    if is_used or (active_at is not None and active_at > ready_at + SETTLING):
        return Opening.OPENED
    if active_at is None or active_at < allocation.started_at:
        return Opening.UNKNOWN  # of an earlier server, if of any: unknown is not closed
    return Opening.TOO_LATE if until is not None and now >= until else Opening.NOT_YET
