"""When sessions make room for a request at the latest, as far as that is known. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiplatform_hub.domain.queue_values import Node, PlannerInput, Running, Waiting


@dataclass(frozen=True, slots=True)
class Room:
    """Sessions that together make room for a request on one node."""

    by_seconds: float
    """When the last of them does, in seconds of the epoch, unless it is extended."""
    sessions: tuple[str, ...]
    """Their ids, the first to end first."""


class Rooms:
    """Finds them for many requests of one line; what is the same for several is found once."""

    def __init__(self, line: PlannerInput) -> None:
        self._line = line
        self.is_any_bound = any(session.takeable_from_seconds is not None or session.must_end_seconds is not None for session in line.running)
        """Whether anything bounds any session; otherwise nobody has to be asked about."""
        self._known: dict[tuple[int, str | None, int], Room | None] = {}
        self._on_node: dict[str, list[Running]] = {node.name: [] for node in line.nodes}
        for session in line.running:
            self._on_node.setdefault(session.node, []).append(session)

    def of(self, request: Waiting) -> Room | None:
        """Return the sessions whose ends are bound and that make room first; None where nothing bounds enough of them.

        A session is bound by a class that it was told of, and by its cap for those who are more entitled.
        """
        rank = self._line.ranks[request.person]
        key = request.gpus, request.gpu_type, rank
        if key not in self._known:
            nodes = [node for node in self._line.nodes if node.gpus >= request.gpus and request.gpu_type in {None, node.gpu_type}]
            found = [room for node in nodes if (room := self._on(node, request.gpus, rank)) is not None]
            self._known[key] = min(found, key=lambda room: (room.by_seconds, room.sessions), default=None)
        return self._known[key]

    def _on(self, node: Node, gpus: int, rank: int) -> Room | None:
        sessions = self._on_node[node.name]
        free, chosen, by = node.gpus - sum(session.gpus for session in sessions), [], 0.0
        for at, session in sorted(self._bound(sessions, rank), key=lambda pair: (pair[0], pair[1].id)):
            if free >= gpus:
                break
            free, by = free + session.gpus, at
            chosen.append(session.id)
        return Room(by, tuple(chosen)) if chosen and free >= gpus else None

    def _bound(self, sessions: Iterable[Running], rank: int) -> Iterable[tuple[float, Running]]:
        for session in sessions:
            may_take = session.is_idle or self._line.policy.takes_from_equals or rank < self._line.ranks[session.person]
            bounds = [session.takeable_from_seconds if may_take else None, session.must_end_seconds]
            at = min((bound for bound in bounds if bound is not None), default=None)
            if at is not None:
                yield max(at, self._line.now_seconds), session
