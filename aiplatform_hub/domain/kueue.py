"""The queue where Kueue gives out the GPUs: what it is told of each allocation, and what its answers mean. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.catalog import NodePool
from aiplatform_hub.domain.queueing import WaitCode, WaitReason

SPAN = 1_000_000
"""How many priorities those who wait share among themselves."""
STEP = 1000
"""Room left between two of them, so that somebody may come between without a change to the others."""
SETTLED_AFTER = timedelta(seconds=30)
"""Age from which an eviction for another Workload is taken back where nobody waits: Kueue counts who waits a little later than it evicts."""
_NOT_IN_NAMES = re.compile(r"[^a-z0-9.-]+")
_MISSING = re.compile(r"(\d+) more needed")
_PENDING_PREEMPTION = re.compile(r"Pending the preemption|WaitingForPreempted")
_TOO_LARGE = re.compile(r"> maximum capacity|ExceedsMaxQuota")
_NO_QUEUE = re.compile(r"(LocalQueue|ClusterQueue) \S+ (doesn't exist|is inactive|is stopped|not found)")
_NO_FLAVOUR = re.compile(r"node affinity|untolerated taint|NoMatchingFlavor|unavailable in ClusterQueue|flavor \S+ not found")


class Phase(StrEnum):
    """What Kueue has decided about one Workload."""

    PENDING = "pending"
    """It holds no quota."""
    RESERVED = "reserved"
    """Its quota is kept for it, but an admission check is not done yet."""
    ADMITTED = "admitted"
    """It has its quota and may start."""
    EVICTED = "evicted"
    """It has its quota and is told to give it back; Kueue waits for us to delete it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a Workload asks for."""

    queue: str
    """Name of the LocalQueue."""
    resource: str
    """For example ``nvidia.com/gpu``."""
    gpus: int
    product_label: str
    """The nodes' label that names the product."""
    products: tuple[str, ...] = ()
    """Products of the GPU type, as the nodes' label says them; empty where no node says one."""


@dataclass(frozen=True, slots=True)
class Work:
    """A Workload as Kueue has it."""

    id: UUID
    """Of its allocation."""
    uid: str
    asked: Asked
    priority: int
    phase: Phase
    is_active: bool = True
    is_going: bool = False
    """Whether it is being deleted."""
    flavour: str = ""
    """Name of the ResourceFlavor that it was admitted with."""
    is_preempted: bool = False
    """Whether it is evicted for another Workload, not because its queue is drained or the like."""
    why: str = ""
    """Kueue's reason and message why it has no quota."""


@dataclass(frozen=True, slots=True)
class Flavour:
    """A ResourceFlavor: which nodes its quota is of."""

    labels: Mapping[str, str] = field(default_factory=dict)
    nodes: frozenset[str] = frozenset()
    """Names of the nodes that have these labels."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Kueue says at one instant."""

    works: Mapping[UUID, Work] = field(default_factory=dict)
    """Our Workloads by allocation."""
    positions: Mapping[UUID, int] = field(default_factory=dict)
    """Places of those that wait in their ClusterQueue, others' included, from 0; empty where Kueue does not tell."""
    flavours: Mapping[str, Flavour] = field(default_factory=dict)
    is_anybody_waiting: bool = True
    """Whether any ClusterQueue has Workloads that wait, anybody's; true where that is not known."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What should be there for an allocation."""

    id: UUID
    asked: Asked
    is_waiting: bool
    """False for a session that holds its GPUs already."""
    is_active: bool = True
    """False for a request that waits for a limit of its owner's: it must not hold quota."""
    is_renewed: bool = False
    """Whether a session whose Workload is evicted goes on, so that it needs another one: Kueue never takes an eviction back."""


class ChangeKind(StrEnum):
    """What is done to a Workload."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do."""

    kind: ChangeKind
    id: UUID
    wish: Wish | None = None
    """None for a deletion."""
    priority: int = 0
    uid: str = ""
    """Of the Workload that is meant; empty for one that is made."""


def queue_name(pattern: str, project: str) -> str:
    """Return the name of a project's LocalQueue, as Kubernetes allows names."""
    return _NOT_IN_NAMES.sub("-", pattern.replace("{project}", project).lower()).strip("-.")


def changes(wishes: Sequence[Wish], answer: Answer, floor: int) -> tuple[Change, ...]:
    """Return what makes Kueue's Workloads what they should be: deletions first, then in order of the wishes.

    Where a running session has none, it gets it before anybody who waits is told to Kueue: who comes first is admitted first.

    A Workload that holds quota is left as it is, or deleted and made anew: its pods cannot be changed.

    Parameters
    ----------
    wishes
        Every open and queued allocation with GPUs; those that wait in the order in which they should be served.
    answer
        What is there.
    floor
        The priority below those of all who wait.
    """
    wanted = {wish.id: wish for wish in wishes}
    waiting = [wish.id for wish in wishes if wish.is_waiting and not _has_quota(answer.works.get(wish.id))]
    placed = priorities(waiting, {id_: answer.works[id_].priority for id_ in waiting if id_ in answer.works}, floor)
    gone = [Change(ChangeKind.DELETE, w.id, uid=w.uid) for w in answer.works.values() if not w.is_going and _is_to_go(w, wanted.get(w.id))]
    going = {change.id for change in gone}
    found = [_change(wish, answer.works.get(wish.id), placed.get(wish.id, floor + SPAN + 1)) for wish in wishes if wish.id not in going]
    wanting = [change for change in found if change is not None]
    of_running = [change for change in wanting if change.wish is not None and not change.wish.is_waiting]
    return (*gone, *(of_running or wanting))


def priorities(order: Sequence[UUID], known: Mapping[UUID, int], floor: int) -> dict[UUID, int]:
    """Return falling priorities for those who wait, keeping as many of the known ones as the order allows.

    Kueue orders by priority, then by times of whole seconds: equal ones would be served in any order.

    Parameters
    ----------
    order
        Who is served first comes first.
    known
        Priorities that they have.
    floor
        The priority below all of them; the highest is ``floor + SPAN``.
    """
    usable = {id_: value for id_, value in known.items() if floor < value <= floor + SPAN}
    kept = _longest_falling([(id_, usable[id_]) for id_ in order if id_ in usable])
    steps_to_kept: list[int | None] = []
    for id_ in reversed(order):
        later = steps_to_kept[-1] if steps_to_kept else None
        steps_to_kept.append(0 if id_ in kept else None if later is None else later + 1)
    result, above = dict(kept), floor + SPAN + 1
    for number, (id_, steps) in enumerate(zip(order, reversed(steps_to_kept), strict=True)):
        below, places = (floor, len(order) - number) if steps is None else (kept[order[number + steps]], steps)
        gap = min(STEP if steps is None else SPAN, (above - below) // (places + 1))
        if not gap:
            spread = max(1, SPAN // (len(order) + 1))
            return {each: floor + SPAN - place * spread for place, each in enumerate(order)}
        above = result.setdefault(id_, above - gap)
    return result


def is_ready_for(work: Work | None, wish: Wish) -> bool:
    """Return whether a request may take its GPUs: admitted, and for what it asks for now."""
    return work is not None and work.phase is Phase.ADMITTED and not work.is_going and _size(work.asked) == _size(wish.asked)


def is_settled(work: Work | None, answer: Answer, since: datetime, now: datetime) -> bool:
    """Return whether nobody needs the quota any more for which a Workload was evicted: whom it was for has gone, and nobody else waits.

    Parameters
    ----------
    since
        When it was seen that it is evicted.
    """
    return work is not None and work.is_preempted and not answer.is_anybody_waiting and now - since >= SETTLED_AFTER


def is_of_flavour(device: GpuDevice, flavour: Flavour, node_pools: Mapping[str, NodePool]) -> bool:
    """Return whether a GPU is on a node of a flavour, or on one that an autoscaler would start and whose labels do not speak against it."""
    if device.node is not None:
        return device.node in flavour.nodes
    pool = node_pools.get(device.node_pool or "")
    return pool is not None and all(pool.node_selector.get(key, value) == value for key, value in flavour.labels.items())


def reason_of(work: Work | None, asked: Asked, position: int | None, free: int) -> WaitReason:
    """Return why a request waits, by Kueue's word.

    Parameters
    ----------
    work
        Its Workload; None before it is made.
    position
        Its place in Kueue's queue, from 0; None if that is not known.
    free
        The most GPUs of its type that are free on one node; told to who is behind others, as Kueue says it only of its quota.
    """
    requested = str(asked.gpus)
    if work is None or work.is_going or (work.phase is Phase.PENDING and not work.why and position is None):
        return WaitReason(WaitCode.NEW, requested=requested)
    if work.phase is not Phase.PENDING:
        return WaitReason(WaitCode.KUEUE_NODE if work.phase is Phase.ADMITTED else WaitCode.KUEUE_CHECK, requested=requested)
    if not work.why and position:  # a strict queue: Kueue looks at its first alone, and has a place but no reason for all behind
        return WaitReason(WaitCode.KUEUE_BEHIND, requested=requested, free=str(free), ahead=position)
    code = next((code for pattern, code in _CODES if pattern.search(work.why)), WaitCode.KUEUE)
    missing = _MISSING.search(work.why)
    of_quota = str(max(0, asked.gpus - int(missing[1]))) if missing and code is WaitCode.KUEUE_QUOTA else None
    return WaitReason(code, requested=requested, free=of_quota, ahead=position)


def warnings(cluster_queue: str, spec: Mapping[str, object]) -> tuple[str, ...]:
    """Return what of a ClusterQueue's spec works against the people who wait in it."""
    found: list[str] = []
    if spec.get("queueingStrategy", "BestEffortFIFO") == "BestEffortFIFO":
        found.append(
            f"ClusterQueue {cluster_queue} is served BestEffortFIFO: requests for few GPUs pass those for many for ever. "
            "Set spec.queueingStrategy to StrictFIFO."
        )
    preemption = spec.get("preemption")
    within = preemption.get("withinClusterQueue", "Never") if isinstance(preemption, Mapping) else "Never"
    if within != "Never":
        found.append(
            f"ClusterQueue {cluster_queue} preempts {within} within itself: the priority of who waits is their fair share, so each more entitled "
            "request would stop somebody's session. Set spec.preemption.withinClusterQueue to Never."
        )
    return tuple(found)


_CODES = (
    (_PENDING_PREEMPTION, WaitCode.RELEASE),
    (_TOO_LARGE, WaitCode.KUEUE_LIMIT),
    (_MISSING, WaitCode.KUEUE_QUOTA),
    (re.compile("WaitingForQuota"), WaitCode.KUEUE_QUOTA),
    (_NO_QUEUE, WaitCode.KUEUE_QUEUE),
    (_NO_FLAVOUR, WaitCode.KUEUE_FLAVOUR),
)
"""What Kueue's reasons and messages are called here; the first that fits counts."""


def _has_quota(work: Work | None) -> bool:
    return work is not None and work.phase is not Phase.PENDING


def _size(asked: Asked) -> tuple[str, int]:
    return asked.resource, asked.gpus


def _is_to_go(work: Work, wish: Wish | None) -> bool:
    """Return whether a Workload has nothing to stand for, or holds quota that its request may not have or does not ask for any more."""
    if wish is None:
        return True
    if wish.is_renewed:
        return work.phase is Phase.EVICTED
    if not wish.is_waiting or not _has_quota(work):
        return False
    return work.phase is Phase.EVICTED or not wish.is_active or _size(work.asked) != _size(wish.asked)


def _change(wish: Wish, work: Work | None, priority: int) -> Change | None:
    if work is None:
        return Change(ChangeKind.CREATE, wish.id, wish, priority)
    if work.is_going or _has_quota(work):
        return None
    is_right = (work.asked, work.is_active, work.priority) == (wish.asked, wish.is_active, priority)
    return None if is_right else Change(ChangeKind.UPDATE, wish.id, wish, priority, work.uid)


def _longest_falling(pairs: Sequence[tuple[UUID, int]]) -> dict[UUID, int]:
    """Return the longest part of a sequence whose values fall, as a mapping."""
    tails: list[int] = []  # negated last values of the best part of each length, rising
    ends: list[int] = []
    before: list[int] = []
    for number, (_, value) in enumerate(pairs):
        place = bisect_left(tails, -value)
        tails[place : place + 1] = [-value]
        ends[place : place + 1] = [number]
        before.append(ends[place - 1] if place else -1)
    found: dict[UUID, int] = {}
    at = ends[-1] if ends else -1
    while at >= 0:
        id_, value = pairs[at]
        found[id_] = value
        at = before[at]
    return found
