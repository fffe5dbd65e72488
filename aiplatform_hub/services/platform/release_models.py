"""Body about what becomes of a session's GPUs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aiplatform_hub.domain.release_sentences import Told, reason
from aiplatform_hub.services.platform.wire import Instant, Output


class ReleaseOut(Output):
    """What the platform does about a running session, and when its GPUs may be taken."""

    action: Literal["keep", "warn", "release"]
    message: str = Field(description="Why its owner is warned, in a sentence without the deadline; empty while it is kept")
    deadline: Instant | None = Field(
        description="First instant at which its GPUs may be taken, or at which one without GPUs that nobody uses may be stopped; null if nothing does either"
    )
    why: Literal["idle", "session_cap", "class_begins", "inactive", "preempted", "budget_exhausted"] | None = Field(description="What sets the deadline")
    is_if_somebody_waits: bool = Field(description="Whether the deadline passes without effect until somebody waits for these GPUs and is entitled to them")
    is_somebody_waiting: bool = Field(description="Whether somebody waits to whom these GPUs would be of use")
    extended_until: Instant | None
    can_extend_until: Instant | None = Field(description="Until when extending it now would keep it; null if that would gain nothing")
    idle_since: Instant | None = Field(description="Since when all its GPUs have been idle; null while one is busy, and when that is not known")
    guaranteed_until: Instant = Field(description="Until when nothing takes its GPUs, but for a class of which it was told at its start")


def release_of(told: Told) -> ReleaseOut:
    """Return what becomes of a session as it is sent."""
    values = {name: getattr(told.view, name) for name in ReleaseOut.model_fields if name != "message"}
    return ReleaseOut.model_validate({**values, "message": reason(told)})
