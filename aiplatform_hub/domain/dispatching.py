"""One pass over the queue: who starts, who is over, and why the others wait. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, EndCause
from aiplatform_hub.domain.eligibility import Eligible, Judgement
from aiplatform_hub.domain.queue_room import Rooms
from aiplatform_hub.domain.queue_values import Decision, Plan, PlannerInput, ReasonCode, Start
from aiplatform_hub.domain.queueing import QueueEntry, View, WaitCode, WaitReason, line_id


@dataclass(frozen=True, slots=True)
class Survey:
    """The queue at one instant, judged and planned."""

    view: View
    judged: Mapping[UUID, Judgement]
    line: PlannerInput
    plan: Plan

    @property
    def over(self) -> tuple[tuple[Allocation, EndCause], ...]:
        """Requests that can never start."""
        return tuple((a, verdict) for a in self.view.queued if isinstance(verdict := self.judged[a.id], EndCause))

    @property
    def starts(self) -> tuple[tuple[Allocation, Eligible], ...]:
        """Requests that start now: those without GPUs, then those of the plan in its order."""
        by_id = {line_id(a.id): a for a in self.view.queued} if self.plan.starts else {}
        free_of_gpus = [a for a in self.view.queued if not a.request.gpus]
        planned = [by_id[start.request_id] for start in self.plan.starts if start.request_id in by_id]
        return tuple((a, verdict) for a in (*free_of_gpus, *planned) if isinstance(verdict := self.judged[a.id], Eligible))

    @property
    def claims(self) -> Mapping[UUID, frozenset[UUID]]:
        """Sessions whose GPUs the plan asks for, each with the requests for which it is, by the sessions' ids."""
        found: dict[UUID, set[UUID]] = {UUID(id_): set() for id_ in self.plan.claims}
        for decision in self.plan.decisions:
            if decision.code is ReasonCode.RELEASE:
                for id_ in decision.because_of:
                    found.setdefault(UUID(id_), set()).add(UUID(decision.request_id))
        hopeful = frozenset() if all(found.values()) else frozenset(map(UUID, self._hopeful()))
        return {id_: frozenset(requests) or hopeful for id_, requests in found.items()}

    @property
    def promises(self) -> dict[UUID, frozenset[UUID]]:
        """Requests that start as soon as claimed sessions have ended, each with those."""
        return {UUID(d.request_id): frozenset(map(UUID, d.because_of)) for d in self.plan.decisions if d.code is ReasonCode.RELEASE and d.because_of}

    @property
    def wanted(self) -> frozenset[UUID]:
        """Sessions on nodes that somebody who waits could use, whether they may be taken now or not."""
        hopeful = self._hopeful()
        kinds = {(request.gpus, request.gpu_type) for request in self.line.waiting if request.id in hopeful}
        nodes = {node.name for node in self.line.nodes if any(node.gpus >= gpus and kind in {None, node.gpu_type} for gpus, kind in kinds)}
        return frozenset(UUID(session.id) for session in self.line.running if session.gpus and session.node in nodes)

    def _hopeful(self) -> frozenset[str]:
        return frozenset(decision.request_id for decision in self.plan.decisions if decision.code in _HOPEFUL)

    def entries(self, gone: frozenset[UUID]) -> tuple[QueueEntry, ...]:
        """Return who still waits and why, in the planner's order; those without GPUs last.

        Parameters
        ----------
        gone
            Requests that have left the queue since.
        """
        told, rooms = _Reasons(self._left()), Rooms(self.line)
        asked = {each.id: each for each in self.line.waiting} if rooms.is_any_bound else {}
        entries: list[QueueEntry] = []
        for allocation, decision in self._in_order():
            verdict = self.judged[allocation.id]
            if (gone and allocation.id in gone) or isinstance(verdict, EndCause):
                continue
            reason = verdict if isinstance(verdict, WaitReason) else told.of(allocation, decision)
            if asked and decision is not None and decision.code is ReasonCode.TAKEN and (room := rooms.of(asked[decision.request_id])) is not None:
                reason = replace(reason, room_by_seconds=room.by_seconds, room_of=room.sessions)
            entries.append(QueueEntry(allocation.id, len(entries) + 1, reason))
        return tuple(entries)

    def _in_order(self) -> list[tuple[Allocation, Decision | None]]:
        """Return who waits with what the plan says, in the planner's order."""
        decisions = {each.request_id: each for each in self.plan.decisions}
        last = len(decisions)
        rows = [(allocation, decisions.get(line_id(allocation.id))) for allocation in self.view.queued]
        places = [last if decision is None else decision.position for _, decision in rows]
        return [rows[number] for number in sorted(range(len(rows)), key=places.__getitem__)]

    @property
    def free(self) -> dict[str, int]:
        """The most GPUs of each type that are free on one node, where nobody starts by this plan."""
        return self._most_after(())

    def _left(self) -> dict[str, int]:
        """Return the most GPUs of each type that are free on one node once the planned starts have theirs."""
        return self._most_after(self.plan.starts)

    def _most_after(self, starts: Iterable[Start]) -> dict[str, int]:
        gpus = {request.id: request.gpus for request in self.line.waiting} if starts else {}
        free = {node.name: node.gpus for node in self.line.nodes}
        for running in self.line.running:
            free[running.node] -= running.gpus
        for start in starts:
            free[start.node] -= gpus.get(start.request_id, 0)
        most: dict[str, int] = {}
        for node in self.line.nodes:
            most[node.gpu_type] = max(most.get(node.gpu_type, 0), free[node.name])
        return most


_HOPEFUL = frozenset({ReasonCode.RELEASE, ReasonCode.RESERVED, ReasonCode.BEHIND_RESERVATION, ReasonCode.TAKEN, ReasonCode.CLASS})
"""What the planner says of those who could use GPUs that come free."""

_CODES = {
    ReasonCode.STARTS: WaitCode.CAPACITY,
    ReasonCode.TAKEN: WaitCode.CAPACITY,
    ReasonCode.BLOCKED: WaitCode.QUOTA_IN_USE,
}
"""What the planner's codes are called here; the others have the same names."""


class _Reasons:
    """Says why requests wait; what is the same for several is said once."""

    def __init__(self, left: Mapping[str, int]) -> None:
        self._left = left
        self._known: dict[tuple[object, ...], WaitReason] = {}

    def of(self, allocation: Allocation, decision: Decision | None) -> WaitReason:
        request = allocation.request
        if decision is None:
            return WaitReason(WaitCode.CAPACITY, requested=str(request.gpus))
        code = decision.code
        # looked up by the code's identity: an enum is hashed in Python, and there may be thousands
        key = (id(code), request.gpus, request.gpu_type, decision.until_seconds, decision.because_of)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = WaitReason(
                code=_CODES.get(code) or WaitCode(code.value),
                requested=str(request.gpus),
                free=str(self._left.get(request.gpu_type or "", 0)),
                until_seconds=decision.until_seconds,
                because_of=decision.because_of,
            )
        return known
