"""What the planner is told about the queue, and what it answers. Instants are seconds of one epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.policy import Policy

if TYPE_CHECKING:
    from aiplatform_hub.domain.queue_lanes import Lanes


@dataclass(frozen=True, slots=True)
class Node:
    """A machine whose GPUs one session can have together."""

    name: str
    gpu_type: str
    gpus: int
    """The healthy ones that are not drained."""
    is_yet_to_start: bool = False
    """Whether an autoscaler has to start it first, which takes minutes."""


@dataclass(frozen=True, slots=True)
class Running:
    """A session that holds GPUs, from the hold of its allocation on."""

    id: str
    person: Person
    gpus: int
    """Those that come free with its end."""
    node: str
    expected_end_seconds: float
    """When it probably ends by itself or goes idle; not before now."""
    takeable_from_seconds: float | None = None
    """From when its GPUs may be taken for somebody who waits, idle or over its cap; None if nothing may take them."""
    is_idle: bool = False
    """Whether it may be taken now because it is idle: nobody's work is lost."""
    must_end_seconds: float | None = None
    """When a class begins for which it was told at its launch to make room."""
    is_ending: bool = False
    """Whether it is being stopped: its GPUs come free, and need not be asked for twice."""
    drained_gpus: int = 0
    """GPUs that it holds besides, and that nobody is given after it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request in the queue."""

    id: str
    person: Person
    gpus: int
    gpu_type: str | None
    """None: of any type."""
    requested_seconds: float
    expected_seconds: float
    """How long its session probably lasts, in seconds."""
    safe_seconds: float
    """How long it lasts at most as far as a reservation is concerned, in seconds: the backfill quantile."""
    blocked_by: str = ""
    """Why it may not start whatever is free, in words of the caller's; empty if it may."""
    is_promised: bool = False
    """Whether sessions are being stopped, or were, for this very request: it comes before all others."""
    moved_seconds: float | None = None
    """When an admin moved it before the others; None if nobody did."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Those who wait, too, and on whom nothing depends that is asked of a line but how many they are."""

    like_it: int = 0
    """How many might have had GPUs of the type that is asked for."""
    gpus: int = 0
    """GPUs that all of them ask for who do not wait for something of their own."""


@dataclass(frozen=True, slots=True)
class PlannerInput:
    """Everything that a plan depends on."""

    now_seconds: float
    nodes: tuple[Node, ...]
    running: tuple[Running, ...]
    waiting: tuple[Waiting, ...]
    ranks: Mapping[Person, int]
    """Places of the Fair Tree of everybody who runs or waits; all equal orders by submit time."""
    policy: Policy
    left_out: LeftOut = LeftOut()
    """Whom :attr:`waiting` does not name, where only the verdict on one request is of interest."""
    lanes: Lanes | None = field(default=None, compare=False, repr=False)
    """:attr:`waiting` sorted by owner already, by somebody who looks often; it decides nothing."""


class ReasonCode(StrEnum):
    """Why a request starts or waits."""

    STARTS = "starts"
    RELEASE = "waits_for_release"
    """GPUs of others are being taken back for it."""
    RESERVED = "reserved"
    """GPUs are kept for it as they come free."""
    BEHIND_RESERVATION = "behind_reservation"
    """It would fit, and would delay the request that reserves."""
    TAKEN = "gpus_taken"
    PROJECT_LIMIT = "project_limit"
    CLASS = "class_reservation"
    """The GPUs are kept for a class that runs or is about to begin."""
    NEVER_FITS = "never_fits"
    """No node has so many GPUs of the type."""
    BLOCKED = "blocked"
    """For the reason that the caller gave."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one request."""

    request_id: str
    position: int
    """Place in the order, from 1."""
    code: ReasonCode
    node: str = ""
    """Where it starts or reserves."""
    until_seconds: float | None = None
    """When its GPUs are expected, or when what it waits behind is over; None if nobody knows."""
    because_of: tuple[str, ...] = ()
    """Ids of the sessions taken for it, of the request that reserves, or the name of the project."""


@dataclass(frozen=True, slots=True)
class Start:
    """A request that starts now."""

    request_id: str
    node: str
    must_end_seconds: float | None = None
    """When a class begins for which it has to make room; its owner is told now."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """GPUs of a node that are kept for a request as they come free."""

    request_id: str
    node: str
    gpus: int
    from_seconds: float
    """When they are expected to be free."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a plan says of one request."""

    start: Start | None = None
    """Where it starts now; None if it does not."""
    code: ReasonCode | None = None
    """None of a request that is not in the line."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now."""

    starts: tuple[Start, ...]
    claims: frozenset[str]
    """Ids of the running sessions whose GPUs somebody waits for and may have now."""
    reservations: tuple[Reservation, ...]
    decisions: tuple[Decision, ...]
    """One for each request, in order."""

    def verdict_on(self, request_id: str) -> Verdict:
        """Return what it says of one request."""
        start = next((start for start in self.starts if start.request_id == request_id), None)
        return Verdict(start, next((each.code for each in self.decisions if each.request_id == request_id), None))

    def waiting_before(self, request_id: str) -> tuple[str, ...]:
        """Return who still waits after it and is looked at before a request, in order."""
        starts = {start.request_id for start in self.starts}
        order = [each.request_id for each in sorted(self.decisions, key=lambda each: each.position)]
        return tuple(id_ for id_ in order[: order.index(request_id)] if id_ not in starts)
