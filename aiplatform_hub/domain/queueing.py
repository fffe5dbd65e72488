"""The queue as values: who waits for what and why, and what the planner is told of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from operator import is_
from typing import NamedTuple
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.fairshare import DecayedUsage, Person, ranks_of
from aiplatform_hub.domain.limits import Capacity
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.queue_lanes import Lanes, lanes_of
from aiplatform_hub.domain.queue_moves import MoveNote
from aiplatform_hub.domain.queue_values import Node, Plan, PlannerInput, Running, Waiting
from aiplatform_hub.domain.session_lengths import DEFAULT_SECONDS

DEFAULT_MAX_QUEUED = 10
"""How many requests one person may have in the queue unless configured otherwise."""
BLOCKED = "own"
"""What the planner is told of a request that waits for something of its own."""
MOST_NEW = 10
"""So many who came behind all others are added to what is known of these; of more everything is made anew."""
FRONT_SECONDS = 0.0
"""Submit time of a request that a failed start put back to the front: the planner serves who waits longest first of all."""


class WaitCode(StrEnum):
    """What a queued request waits for."""

    CAPACITY = "capacity"
    """Not enough is free."""
    BEHIND = "behind_reservation"
    """It would fit, and would delay who reserves."""
    RESERVED = "reserved"
    """GPUs are kept for it as they come free."""
    RELEASE = "waits_for_release"
    """GPUs of others are being taken back for it."""
    PROJECT_LIMIT = "project_limit"
    """Its project holds as many GPUs as the policy lets it."""
    CLASS = "class_reservation"
    """The GPUs are kept for a class that runs or is about to begin."""
    TOO_LARGE = "never_fits"
    """No node has so many GPUs of the type now."""
    QUOTA_IN_USE = "quota_in_use"
    """Its owner's or project's limit is in use; it holds nobody up."""
    UNKNOWN_OWNER = "unknown_owner"
    """The hub has not told yet who its owner is."""
    NEW = "new"
    """The dispatcher has not looked at it yet."""
    KUEUE = "kueue"
    """Kueue gives out the GPUs, and has not admitted it for a reason of its own."""
    KUEUE_BEHIND = "kueue_behind"
    """Kueue serves others before it, and lets nobody pass them."""
    KUEUE_QUOTA = "kueue_quota"
    """Kueue's quota is in use."""
    KUEUE_LIMIT = "kueue_limit"
    """It asks for more than Kueue's whole quota."""
    KUEUE_QUEUE = "kueue_queue"
    """Its project's queue is missing or stopped in Kueue."""
    KUEUE_FLAVOUR = "kueue_flavour"
    """Kueue has no quota for its kind of GPU."""
    KUEUE_CHECK = "kueue_check"
    """Kueue keeps quota for it, and waits for an admission check."""
    KUEUE_NODE = "kueue_node"
    """Kueue has admitted it, and no node has so many GPUs free together."""
    KUEUE_AWAY = "kueue_away"
    """Kueue does not answer."""


@dataclass(frozen=True, slots=True)
class WaitReason:
    """Why a request does not start yet: a code and its numbers, as decimal strings in the dimension's unit."""

    code: WaitCode
    dimension: str = "gpus"
    scope: str = "machine"
    """Whose limit: ``user:alice``, ``project:vision`` or ``machine``."""
    requested: str = "0"
    free: str | None = None
    """For GPUs: the most that one session could have now; who is before it may be entitled to them."""
    limit: str | None = None
    used: str | None = None
    until_seconds: float | None = None
    """When its GPUs are expected, or when what it waits behind is over, in seconds of the epoch; None if nobody knows."""
    because_of: tuple[str, ...] = ()
    """Ids of the sessions taken for it or of the request that reserves, or the name of its project."""
    room_by_seconds: float | None = None
    """When the sessions in its way make room at the latest, in seconds of the epoch, unless they are extended; None if nothing bounds them."""
    room_of: tuple[str, ...] = ()
    """The ids of those sessions."""
    ahead: int | None = None
    """How many stand before it in Kueue's queue, others of the cluster included; None if Kueue does not say."""


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One queued request as the last pass of the dispatcher saw it."""

    id: UUID
    position: int
    """1 is next."""
    reason: WaitReason
    move: MoveNote | None = None
    """What admins have changed of the order; None where nothing."""

    def as_known(self, *, has_estimate: bool) -> QueueEntry:
        """Return what may be told of it: where no finished session tells how long others last, no instant reckoned from such lengths.

        Parameters
        ----------
        has_estimate
            Whether its wait is estimated: those two say the same, or nothing.
        """
        if has_estimate or self.reason.until_seconds is None or self.reason.code is WaitCode.CLASS:
            return self
        return replace(self, reason=replace(self.reason, until_seconds=None))


LengthKey = tuple[str, str, int]
"""Owner, environment template and GPUs; owner and template are empty where GPUs alone count."""


@dataclass(frozen=True, slots=True)
class ExpectedLength:
    """How long a session that has not begun may last, in seconds."""

    expected_seconds: float
    """Half of its kind are over by then."""
    safe_seconds: float
    """Most of its kind are over by then."""


@dataclass(frozen=True, slots=True)
class Takeable:
    """From when a session's GPUs may be taken, in seconds of the epoch, and whether it is idle now."""

    from_seconds: float
    is_idle: bool = False
    is_ending: bool = False
    """Whether it is being stopped already."""


_UNKNOWN_LENGTH = ExpectedLength(DEFAULT_SECONDS, DEFAULT_SECONDS)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the dispatcher knows beside the rows, as of its last pass."""

    at_seconds: float = 0.0
    usage: Mapping[Person, float] = field(default_factory=dict)
    """Weighted, decayed GPU-seconds of sessions that have ended."""
    ends: Mapping[UUID, float] = field(default_factory=dict)
    """When each running session is expected to end, in seconds of the epoch."""
    lengths: Mapping[LengthKey, ExpectedLength] = field(default_factory=dict)
    """Of sessions by owner, environment template and GPUs, as far as such requests wait; by GPUs alone for others."""
    blocked: frozenset[UUID] = frozenset()
    """Queued requests that wait for a limit of their own: they hold nobody up."""
    takeable: Mapping[UUID, Takeable] = field(default_factory=dict)
    """Running sessions whose GPUs may be taken for somebody who waits, or that are being stopped."""
    promised: Mapping[UUID, frozenset[UUID]] = field(default_factory=dict)
    """Queued requests for which sessions are being stopped or were, with those sessions: nobody comes before them."""
    claims: frozenset[UUID] = frozenset()
    """Running sessions whose GPUs the last pass asked for."""
    wanted: frozenset[UUID] = frozenset()
    """Running sessions whose GPUs somebody who waits could use, whether they may be taken or not."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request stands to the queue."""

    request_id: str = ""
    """Its id among those who wait in :attr:`line`."""
    may_wait: bool = False
    """Whether whoever asks wants to wait."""
    is_queued: bool = False
    """Whether it has a place in the queue already."""
    owner_queued: int = 0
    """How many requests its owner has in the queue."""
    max_queued: int = DEFAULT_MAX_QUEUED
    line: PlannerInput | None = None
    """Everybody who waits for GPUs, this request among them; None if nobody else does."""
    plan: Plan | None = None
    """The plan of that line, where it is made already."""
    is_kueue: bool = False
    """Whether Kueue gives out the GPUs."""
    is_admitted: bool = False
    """Whether Kueue has given it its share."""


@dataclass(frozen=True, slots=True)
class View:
    """The rows and the place at one instant."""

    now_seconds: float
    open: Sequence[Allocation]
    queued: Sequence[Allocation]
    capacity: Capacity


@lru_cache(maxsize=8192)
def line_id(id_: UUID) -> str:
    """Return an allocation's id as the planner knows it."""
    return str(id_)


class RequestMemory:
    """Requests as the planner was told of them, and the last places of the Fair Tree; what is as it was is not made anew: there may be thousands."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Allocation, Waiting]] = {}
        self._queued: Sequence[Allocation] = ()
        self._outlook = Outlook()
        self._lanes = lanes_of(())
        self._used: tuple[_Used, Mapping[Person, float]] | None = None
        self._places: tuple[Mapping[Person, float], tuple[Person, ...], Mapping[Person, int]] | None = None

    def told(self, queued: Sequence[Allocation], outlook: Outlook) -> Lanes:
        """Return those for GPUs, by owner."""
        count = len(self._queued)
        is_longer = len(queued) - count in range(MOST_NEW) and all(map(is_, self._queued, queued))
        if not is_longer or not _tells_the_same(self._outlook, outlook):
            count = max(0, len(queued) - 1)  # the last one is often whoever asks just now
            self._remember(queued[:count], outlook)
        lanes = self._lanes
        for allocation in queued[count:]:
            if allocation.request.gpus:
                lanes = lanes.with_last(_waiting(allocation, outlook, None))
        return lanes

    def _remember(self, queued: Sequence[Allocation], outlook: Outlook) -> None:
        known, found = self._known, dict[int, tuple[Allocation, Waiting]]()
        for allocation in queued:
            if allocation.request.gpus:
                before = known.get(id(allocation))
                before = None if before is None or before[0] is not allocation else before
                found[id(allocation)] = (allocation, _waiting(allocation, outlook, None if before is None else before[1]))
        self._known, self._queued, self._outlook = found, queued, outlook
        self._lanes = lanes_of(tuple([waiting for _, waiting in found.values()]))

    def ranks(self, view: View, outlook: Outlook, policy: Policy, people: Iterable[Person]) -> Mapping[Person, int]:
        """Return the place of the Fair Tree of everybody who used GPUs, or runs or waits now: found once for all that is asked of one instant."""
        usage = self._usage(view, outlook, policy)
        others = tuple({person: None for person in people if person not in usage})
        if self._places is None or self._places[0] is not usage or self._places[1] != others:
            everybody = {**usage, **dict.fromkeys(others, 0.0)}
            ranks = ranks_of(everybody, policy) if policy.is_fair else dict.fromkeys(everybody, 0)
            self._places = (usage, others, ranks)
            return ranks
        return self._places[2]

    def _usage(self, view: View, outlook: Outlook, policy: Policy) -> Mapping[Person, float]:
        asked = _Used(view.now_seconds, view.open, outlook, policy)
        if self._used is None or not self._used[0].is_same(asked):
            self._used = (asked, _usage(view, outlook, policy))
        return self._used[1]


class _Used(NamedTuple):
    """What everybody's use follows from."""

    now_seconds: float
    open: Sequence[Allocation]
    outlook: Outlook
    policy: Policy

    def is_same(self, other: _Used) -> bool:
        is_then = self.now_seconds == other.now_seconds
        return is_then and self.outlook is other.outlook and self.policy is other.policy and self.open is other.open


def _tells_the_same(one: Outlook, other: Outlook) -> bool:
    """Whether two outlooks say the same of those who wait."""
    is_same = one.blocked == other.blocked and one.promised.keys() == other.promised.keys()
    return one is other or (is_same and one.lengths == other.lengths)


def line_of(view: View, outlook: Outlook, policy: Policy, memory: RequestMemory | None = None) -> PlannerInput:
    """Return what the planner is told: nodes, sessions, and the requests for GPUs, those that wait for something of their own as blocked.

    Parameters
    ----------
    view
        What there is.
    outlook
        What the dispatcher knows.
    policy
        Whose order it is.
    memory
        Of whoever looks often.
    """
    nodes, node_of_device = _nodes(view.capacity)
    drained = frozenset(state.device.uuid for state in view.capacity.devices if state.device.is_drained)
    holding = [a for a in view.open if a.devices and a.devices[0] in node_of_device]
    running = tuple(_running(a, node_of_device[a.devices[0]], view, outlook, drained) for a in holding)
    memory = memory or RequestMemory()
    lanes = memory.told(view.queued, outlook)
    people = (*[each.person for each in running], *lanes.by_owner)
    return PlannerInput(
        now_seconds=view.now_seconds,
        nodes=nodes,
        running=running,
        waiting=lanes.waiting,
        ranks=memory.ranks(view, outlook, policy, people),
        policy=policy,
        lanes=lanes,
    )


def _person(allocation: Allocation) -> Person:
    return _person_of(allocation.request.project, allocation.user_name)


@lru_cache(maxsize=8192)
def _person_of(project: str, user: str) -> Person:
    """Return the same object for the same person: it is found by that, as hashing one takes long."""
    return Person(project, user)


def _usage(view: View, outlook: Outlook, policy: Policy) -> dict[Person, float]:
    """Return the weighted, decayed GPU-seconds of everybody, those of running sessions included."""
    now, half_life = view.now_seconds, policy.half_life_seconds
    left = DecayedUsage(1.0, outlook.at_seconds).at(now, half_life)
    usage = {person: used * left for person, used in outlook.usage.items()}
    for allocation in view.open:
        request, since = allocation.request, allocation.started_at or allocation.held_at
        if request.gpus and since is not None:
            rate = request.gpus * policy.gpu_type_weights.get(request.gpu_type or "", 1.0)
            held = DecayedUsage(0.0, since.timestamp(), rate).at(now, half_life)
            usage[_person(allocation)] = usage.get(_person(allocation), 0.0) + held
    return usage


def _nodes(capacity: Capacity) -> tuple[tuple[Node, ...], dict[str, str]]:
    """Return the nodes with what sessions have or could have of each, and the node's name of each device."""
    sizes: dict[tuple[str, str], int] = {}
    names: dict[str, str] = {}
    yet_to_start = {capacity.node_of(state.device) for state in capacity.devices if state.device.node_pool is not None}
    for state in capacity.devices:
        key = (capacity.node_of(state.device), state.device.gpu_type)
        names[state.device.uuid] = key[0]
        sizes[key] = sizes.get(key, 0) + int(not state.device.is_drained and (state.is_free or state.held_by is not None))
    return tuple(Node(name, gpu_type, gpus, name in yet_to_start) for (name, gpu_type), gpus in sizes.items()), names


def _running(allocation: Allocation, node: str, view: View, outlook: Outlook, drained: frozenset[str]) -> Running:
    since = _seconds(allocation.started_at or allocation.held_at or allocation.requested_at)
    kept_back = sum(device in drained for device in allocation.devices) if drained else 0
    gpus = len(allocation.devices) - kept_back
    takeable = outlook.takeable.get(allocation.id) if gpus else None
    return Running(
        id=line_id(allocation.id),
        person=_person(allocation),
        gpus=gpus,
        node=node,
        expected_end_seconds=max(view.now_seconds, outlook.ends.get(allocation.id, since + DEFAULT_SECONDS)),
        takeable_from_seconds=None if takeable is None else takeable.from_seconds,
        is_idle=takeable is not None and takeable.is_idle,
        must_end_seconds=None if allocation.must_end_at is None else _seconds(allocation.must_end_at),
        is_ending=takeable is not None and takeable.is_ending,
        drained_gpus=kept_back,
    )


def _waiting(allocation: Allocation, outlook: Outlook, before: Waiting | None) -> Waiting:
    """Return a request as the planner sees it; the value of before, if nothing has changed."""
    request = allocation.request
    key = (allocation.user_name, request.environment_template, request.gpus)
    length = outlook.lengths.get(key) or outlook.lengths.get(("", "", request.gpus), _UNKNOWN_LENGTH)
    blocked_by = BLOCKED if outlook.blocked and allocation.id in outlook.blocked else ""
    moved_up_at = allocation.moved_up_at
    is_promised = bool(outlook.promised) and allocation.id in outlook.promised
    if before is not None and (before.expected_seconds, before.safe_seconds, before.blocked_by, before.is_promised) == (
        length.expected_seconds,
        length.safe_seconds,
        blocked_by,
        is_promised,
    ):
        return before
    return Waiting(
        id=line_id(allocation.id),
        person=_person(allocation),
        gpus=request.gpus,
        gpu_type=request.gpu_type,
        requested_seconds=FRONT_SECONDS if allocation.requeued else _seconds(allocation.queued_at or allocation.requested_at),
        expected_seconds=length.expected_seconds,
        safe_seconds=length.safe_seconds,
        blocked_by=blocked_by,
        is_promised=is_promised,
        moved_seconds=None if moved_up_at is None else _seconds(moved_up_at),
    )


def _seconds(at: datetime) -> float:
    return at.timestamp()
