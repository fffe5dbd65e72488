"""The queue where Kueue gives out the GPUs: each allocation has a Workload, and whom Kueue admits is held and started."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.catalog import GpuType
from aiplatform_hub.domain.dispatching import Survey
from aiplatform_hub.domain.eligibility import Eligible
from aiplatform_hub.domain.kueue import Answer, Asked, Change, Phase, Wish, changes, is_of_flavour, is_ready_for, is_settled, reason_of
from aiplatform_hub.domain.limits import Capacity
from aiplatform_hub.domain.queueing import QueueEntry, Standing, WaitCode, WaitReason, line_id
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.operations.decision_reader import Scene
from aiplatform_hub.operations.dispatcher import ACTOR, ENDS_AT_ONCE, Dispatched, Dispatcher
from aiplatform_hub.operations.releases import RECLAIM_OVER, RECLAIMED

CHANGES_AT_ONCE = 100
"""Workloads that one pass makes, changes or deletes."""
_ITS_OWN = frozenset({WaitCode.QUOTA_IN_USE})
"""What a request waits for while it must not keep quota from others."""
_LOG = logging.getLogger(__name__)


class Kueue(Protocol):
    """What the dispatcher asks of Kueue; every method may raise :class:`ServiceUnavailableError`."""

    def look(self) -> Answer:
        """Return what Kueue says now."""

    def carry_out(self, wanted: Sequence[Change]) -> None:
        """Create, change and delete Workloads."""


@dataclass(frozen=True, slots=True)
class KueueTerms:
    """How this installation uses Kueue."""

    queue_of: Callable[[str], str]
    """Name of the LocalQueue of a project."""
    floor: int = 0
    """The priority below those of all our Workloads that wait."""


class KueueDispatcher(Dispatcher):
    """Moves requests out of the queue as Kueue admits them.

    Requests without GPUs are none of Kueue's matter. What Kueue says is read before our rows: a
    Workload whose allocation is not among them has nothing to stand for.
    """

    looks_when_empty = True

    def __init__(self, *, kueue: Kueue, terms: KueueTerms, **rest: Any) -> None:
        super().__init__(**rest)
        self._kueue = kueue
        self._terms = terms
        self._answer = Answer()
        self._products: Mapping[str, tuple[str, ...]] = {}
        self._evicted: Mapping[UUID, datetime] | None = None
        self._is_away = False

    def dispatch(self, people: Mapping[str, Caller | None]) -> Dispatched:
        """Make one pass; see :meth:`Dispatcher.dispatch`. While Kueue is away, requests for GPUs wait."""
        self._interest.tick()
        is_known = self._look()
        survey, outlook = self._survey(people)
        self._memory.note(survey)
        self._products = _products_of(survey.view.capacity)
        ended = self._end(survey.over[:ENDS_AT_ONCE])
        held, _ = self._start([(a, e) for a, e in survey.starts if not a.request.gpus], survey)
        claims = survey.claims if is_known else {}  # while Kueue is away nobody could start, so nothing is taken back
        reclaimed: Mapping[UUID, datetime] = {}
        goes_on = False
        if is_known:
            reclaimed = self._note_evicted(survey)
            wishes = self._wishes(survey, frozenset(ended), reclaimed)
            self._give_back_evicted(survey)
            goes_on = self._make_so(wishes)
            held += self._start(self._admitted(survey, wishes), survey)[0]
        gone = frozenset({*ended, *(allocation.id for allocation in held)})
        entries = self._entries(survey, gone, is_known=is_known)
        self._promised = {id_: sessions for id_, sessions in survey.promises.items() if id_ not in gone}
        self._publish(replace(outlook, promised=self._promised, claims=frozenset(claims), wanted=survey.wanted), entries)
        return Dispatched(tuple(held), ended, entries, {**dict.fromkeys(reclaimed, frozenset[UUID]()), **claims}, goes_on=goes_on)

    def _look(self) -> bool:
        """Ask Kueue; return whether it answers."""
        try:
            self._answer = self._kueue.look()
        except ServiceUnavailableError as error:
            if not self._is_away:
                _LOG.warning("Requests for GPUs wait. %s", error)
            self._is_away = True
            return False
        if self._is_away:
            _LOG.warning("Kueue answers again")
        self._is_away = False
        return True

    def _wishes(self, survey: Survey, ended: frozenset[UUID], reclaimed: Mapping[UUID, datetime]) -> list[Wish]:
        """Return what should be there: running sessions, then those who wait in the planner's order."""
        now = self._clock()
        renewed = {a.id for a in survey.view.open if a.stop_cause is None and a.id in reclaimed and self._is_settled(a.id, reclaimed[a.id], now)}
        holding = [Wish(a.id, self._asked(a.request), is_waiting=False, is_renewed=a.id in renewed) for a in survey.view.open if a.request.gpus]
        places = {each.request_id: each.position for each in survey.plan.decisions}
        waiting = [a for a in survey.view.queued if a.request.gpus and a.id not in ended]
        ordered = sorted(waiting, key=lambda a: places.get(line_id(a.id), len(places)))
        return [*holding, *(self._wish(a, survey) for a in ordered)]

    def _wish(self, allocation: Allocation, survey: Survey) -> Wish:
        verdict = survey.judged[allocation.id]
        is_active = not (isinstance(verdict, WaitReason) and verdict.code in _ITS_OWN)
        return Wish(allocation.id, self._asked(allocation.request), is_waiting=True, is_active=is_active)

    def _asked(self, request: LaunchRequest) -> Asked:
        kind = self._reader.catalog.gpu_types.get(request.gpu_type or "") or GpuType(request.gpu_type or "", request.gpu_type or "")
        products = self._products.get(kind.name, ())
        return Asked(self._terms.queue_of(request.project), kind.resource, request.gpus, kind.product_label if products else "", products)

    def _make_so(self, wishes: Sequence[Wish]) -> bool:
        """Make Kueue's Workloads what they should be; return whether anything was done."""
        wanted = changes(wishes, self._answer, self._terms.floor)[:CHANGES_AT_ONCE]
        if not wanted:
            return False
        try:
            self._kueue.carry_out(wanted)
        except ServiceUnavailableError as error:
            _LOG.warning("Workloads are not what they should be; trying again: %s", error)
        return True

    def _admitted(self, survey: Survey, wishes: Sequence[Wish]) -> list[tuple[Allocation, Eligible]]:
        """Return the requests that have their quota, in order."""
        queued = {a.id: a for a in survey.view.queued}
        ready = [queued[w.id] for w in wishes if w.is_waiting and w.is_active and is_ready_for(self._answer.works.get(w.id), w)]
        return [(a, verdict) for a in ready if isinstance(verdict := survey.judged[a.id], Eligible)]

    def _standing(self, seen: Allocation, survey: Survey) -> Standing:
        if not seen.request.gpus:
            return super()._standing(seen, survey)
        return Standing(line_id(seen.id), may_wait=True, is_queued=True, is_kueue=True, is_admitted=True)

    def _around(self, seen: Allocation, scene: Scene) -> Scene:
        """Return the place with the GPUs of the request's flavour alone, and all of other types."""
        work = self._answer.works.get(seen.id)
        flavour = self._answer.flavours.get(work.flavour) if work is not None else None
        if not seen.request.gpus or flavour is None:
            return scene
        pools, gpu_type = self._reader.catalog.node_pools, seen.request.gpu_type
        devices = tuple(d for d in scene.pool.devices if d.gpu_type != gpu_type or is_of_flavour(d, flavour, pools))
        return replace(scene, pool=replace(scene.pool, devices=devices))

    def _give_back_evicted(self, survey: Survey) -> None:
        """Put holds that no start has taken up back into the queue if Kueue takes their quota away."""
        for allocation in survey.view.open:
            if allocation.state is AllocationState.HELD and allocation.starting_at is None and self._is_evicted(allocation):
                self.give_back(allocation.id)

    def _is_settled(self, id_: UUID, since: datetime, now: datetime) -> bool:
        return is_settled(self._answer.works.get(id_), self._answer, since, now)

    def _note_evicted(self, survey: Survey) -> Mapping[UUID, datetime]:
        """Record of which running sessions Kueue wants the quota back, and of which it does not any more; return the former, each with since when.

        The releaser warns their owners and has them stopped; a keeper that comes after this one reads it from the rows.
        """
        evicted = frozenset(a.id for a in survey.view.open if a.state is AllocationState.ACTIVE and self._is_evicted(a))
        if self._evicted is not None and evicted == self._evicted.keys():
            return self._evicted
        with self._database.write() as connection:
            self._reader.lock(connection)
            now = self._clock()
            sessions = [a for a in self._allocations.open(connection) if a.state is AllocationState.ACTIVE]
            around = self._releases.around(connection, sessions, now)
            for session in sessions:
                is_wanted = session.id in evicted
                if (around[session.id].reclaimed_at is not None) != is_wanted:
                    cause = RECLAIMED if is_wanted else RECLAIM_OVER
                    self._allocations.change(connection, session, to=session.state, at=now, cause=cause, actor=ACTOR)
        self._evicted = {session.id: around[session.id].reclaimed_at or now for session in sessions if session.id in evicted}
        return self._evicted

    def _is_evicted(self, allocation: Allocation) -> bool:
        work = self._answer.works.get(allocation.id)
        return work is not None and work.phase is Phase.EVICTED and not work.is_going

    def _entries(self, survey: Survey, gone: frozenset[UUID], *, is_known: bool) -> tuple[QueueEntry, ...]:
        """Return who still waits and why by Kueue's word, in Kueue's order; those who wait for something of their own, or for no GPUs, last."""
        ours, free = survey.entries(gone), survey.free
        queued = {a.id: a for a in survey.view.queued}
        rows = [(self._place(entry, queued[entry.id]), self._reason(entry, queued[entry.id], free, is_known=is_known)) for entry in ours]
        order = sorted(range(len(ours)), key=lambda number: (rows[number][0], number))
        return tuple(QueueEntry(ours[number].id, position, rows[number][1]) for position, number in enumerate(order, 1))

    def _place(self, entry: QueueEntry, allocation: Allocation) -> int:
        """Return where an entry stands: admitted first, then by Kueue's place, then as we ordered it."""
        last = len(self._answer.positions) + len(self._answer.works)
        work = self._answer.works.get(entry.id)
        if not allocation.request.gpus or entry.reason.code in _ITS_OWN:
            return last + 1
        if work is not None and work.phase is not Phase.PENDING:
            return -1
        return self._answer.positions.get(entry.id, last)

    def _reason(self, entry: QueueEntry, allocation: Allocation, free: Mapping[str, int], *, is_known: bool) -> WaitReason:
        if not allocation.request.gpus or entry.reason.code in {*_ITS_OWN, WaitCode.UNKNOWN_OWNER}:
            return entry.reason
        if not is_known:
            return WaitReason(WaitCode.KUEUE_AWAY, requested=str(allocation.request.gpus))
        return reason_of(
            self._answer.works.get(entry.id),
            self._asked(allocation.request),
            self._answer.positions.get(entry.id),
            free.get(allocation.request.gpu_type or "", 0),
        )


def _products_of(capacity: Capacity) -> dict[str, tuple[str, ...]]:
    """Return the products of each GPU type, as the nodes' labels say them."""
    found: dict[str, set[str]] = {}
    for state in capacity.devices:
        if state.device.product_name:
            found.setdefault(state.device.gpu_type, set()).add(state.device.product_name)
    return {name: tuple(sorted(products)) for name, products in found.items()}
