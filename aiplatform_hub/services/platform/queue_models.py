"""Bodies about a place in the queue."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from aiplatform_hub.services.platform.wire import Input, Instant, Money, Output

MAX_GPUS = 1024
"""More than any node has; what an environment template allows is checked by the catalogue."""


class QueuedChange(Input):
    """What is to change of a request in the queue."""

    gpus: Annotated[int, Field(ge=0, le=MAX_GPUS, description="Fewer keep its place's submit time, more go to the back")]


class WaitNumbers(Output):
    """What a request waits for in numbers: decimal strings in the dimension's unit."""

    dimension: str
    scope: str = Field(description="Whose limit: `user:alice`, `project:vision` or `machine`")
    requested: Money
    free: Money | None = Field(description="For GPUs: the most that one session could have now; who is before it may be entitled to them")
    limit: Money | None
    used: Money | None
    room_by: Instant | None = Field(
        description="When the sessions in its way make room at the latest unless they are extended, to the minute; null if nothing bounds them"
    )
    until: Instant | None = Field(description="When it is expected to go on, to the minute; null if nobody knows")


class WaitReasonOut(Output):
    """Why a queued request does not start yet."""

    code: str
    message: str = Field(description="Place and reason as a sentence")
    numbers: WaitNumbers


class WaitOut(Output):
    """How long something will probably wait."""

    p10_seconds: int = Field(description="One in ten waits is shorter; counted from `as_of`, as the others")
    p50_seconds: int = Field(description="Every second wait is shorter")
    p90_seconds: int = Field(description="Nine in ten waits are shorter")
    as_of: Instant


class AlternativeOut(Output):
    """Something else that could be asked for, and what would become of it."""

    kind: Literal["fewer_gpus", "gpu_type", "evening"]
    options: dict[str, Any] = Field(description="The whole request")
    asked_at: Instant | None = Field(description="When it would be asked for; null for now")
    outcome: Literal["admit", "queue", "ask", "deny"]
    wait: WaitOut | None = Field(description="How long it would wait, counted from when it would be asked for; null where it would not, or nobody can tell")
    message: str = Field(description="The same as a sentence")


class AlternativesOut(Output):
    """What else could be asked for."""

    items: tuple[AlternativeOut, ...]


class QueueOut(Output):
    """A request's place in the queue."""

    position: int = Field(description="1 is next")
    reason: WaitReasonOut
    requested_at: Instant = Field(description="Submit time that its place counts from; later than the allocation's where more GPUs were asked for since")
    expires_at: Instant = Field(description="When it leaves the queue unless its owner confirms it")
    moved_up_at: Instant | None = Field(None, description="When an admin moved it to the front; null if nobody did. `reason` says why")
    wait: WaitOut | None = Field(None, description="Estimate; null where nobody can tell: too little has run yet, or it waits for a limit of its owner's")
