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
        by_id = {line_id(a.id): a for a in self.view.queued}
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
        return frozenset(UUID(session.id) for session in self.line.running if session.node in nodes)

    def _hopeful(self) -> frozenset[str]:
        return frozenset(decision.request_id for decision in self.plan.decisions if decision.code in _HOPEFUL)

    def entries(self, gone: frozenset[UUID]) -> tuple[QueueEntry, ...]:
        """Return who still waits and why, in the planner's order; those without GPUs last.

        Parameters
        ----------
        gone
            Requests that have left the queue since.
        """
        decisions, left, rooms = {each.request_id: each for each in self.plan.decisions}, self._left(), Rooms(self.line)
        asked = {each.id: each for each in self.line.waiting} if rooms.is_any_bound else {}
        last = len(decisions)
        placed = sorted((d.position if (d := decisions.get(line_id(a.id))) else last, n) for n, a in enumerate(self.view.queued))
        entries: list[QueueEntry] = []
        for _, number in placed:
            allocation = self.view.queued[number]
            verdict = self.judged[allocation.id]
            if allocation.id not in gone and not isinstance(verdict, EndCause):
                decision = decisions.get(line_id(allocation.id))
                reason = verdict if isinstance(verdict, WaitReason) else _reason(allocation, decision, left)
                if asked and decision is not None and decision.code is ReasonCode.TAKEN and (room := rooms.of(asked[decision.request_id])) is not None:
                    reason = replace(reason, room_by_seconds=room.by_seconds, room_of=room.sessions)
                entries.append(QueueEntry(allocation.id, len(entries) + 1, reason))
        return tuple(entries)

    @property
    def free(self) -> dict[str, int]:
        """The most GPUs of each type that are free on one node, where nobody starts by this plan."""
        return self._most_after(())

    def _left(self) -> dict[str, int]:
        """Return the most GPUs of each type that are free on one node once the planned starts have theirs."""
        return self._most_after(self.plan.starts)

    def _most_after(self, starts: Iterable[Start]) -> dict[str, int]:
        gpus = {line_id(a.id): a.request.gpus for a in self.view.queued}
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


def _reason(allocation: Allocation, decision: Decision | None, left: Mapping[str, int]) -> WaitReason:
    request = allocation.request
    if decision is None:
        return WaitReason(WaitCode.CAPACITY, requested=str(request.gpus))
    return WaitReason(
        code=_CODES.get(decision.code) or WaitCode(decision.code.value),
        requested=str(request.gpus),
        free=str(left.get(request.gpu_type or "", 0)),
        until_seconds=decision.until_seconds,
        because_of=decision.because_of,
    )
