"""Requests by their owners: what the order needs of all who wait, found once for as long as the same wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.queue_values import PlannerInput, Waiting

Rest = tuple[float | str, ...]
"""What orders requests of one place whose owners' turns are equal; it ends with the id, so that no two are equal."""
Lane = Sequence[tuple[Rest, Waiting]]
"""Requests of one person in their order. Nobody changes it: it is shared."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """Everybody who waits, sorted by owner; a thousand are sorted once, not at each decision."""

    waiting: tuple[Waiting, ...]
    """Those who stand in the lanes."""
    by_owner: Mapping[Person, Lane]
    """Of each person what probably uses least comes first, then by submit time."""
    asked_gpus: int
    """GPUs that all together ask for who do not wait for something of their own."""
    oldest_seconds: float
    """The first submit time; infinite where nobody waits."""
    singled_out: tuple[Waiting, ...]
    """Those for whom sessions are being stopped, or whom an admin has moved."""
    by_gpus: Mapping[int, tuple[Waiting, ...]]
    """All of more than one GPU by their number."""
    by_type: Mapping[str | None, int]
    """How many ask for each type of GPU, or for any, who do not wait for something of their own."""

    def special(self, whole: Iterable[int]) -> Iterator[Waiting]:
        """Yield those who may have a place before the others though they have not waited long: moved, promised, or of so many GPUs."""
        yield from self.singled_out
        for gpus in whole:
            for request in self.by_gpus.get(gpus, ()):
                if not request.is_promised and request.moved_seconds is None:
                    yield request

    def with_last(self, request: Waiting) -> Lanes:
        """Return them with one more who waits, the last."""
        mine = sorted((*self.by_owner.get(request.person, ()), (by_use(request), request)), key=first_of)
        same = (*self.by_gpus.get(request.gpus, ()), request)
        return Lanes(
            waiting=(*self.waiting, request),
            by_owner={**self.by_owner, request.person: mine},
            asked_gpus=self.asked_gpus + (0 if request.blocked_by else request.gpus),
            oldest_seconds=min(self.oldest_seconds, request.requested_seconds),
            singled_out=(*self.singled_out, request) if _is_singled_out(request) else self.singled_out,
            by_gpus={**self.by_gpus, request.gpus: same} if request.gpus > 1 else self.by_gpus,
            by_type=self.by_type if request.blocked_by else {**self.by_type, request.gpu_type: self.by_type.get(request.gpu_type, 0) + 1},
        )


def lanes_for(line: PlannerInput) -> Lanes:
    """Return the lanes of a line: those that somebody brought, if they are of these very requests."""
    return line.lanes if line.lanes is not None and line.lanes.waiting is line.waiting else lanes_of(line.waiting)


def lanes_of(waiting: tuple[Waiting, ...]) -> Lanes:
    """Return requests by their owners."""
    by_gpus: dict[int, list[Waiting]] = {}
    for request in waiting:
        if request.gpus > 1:
            by_gpus.setdefault(request.gpus, []).append(request)
    return Lanes(
        waiting=waiting,
        by_owner=by_owner([(by_use(request), request) for request in waiting]),
        asked_gpus=sum([request.gpus for request in waiting if not request.blocked_by]),
        oldest_seconds=min([request.requested_seconds for request in waiting], default=float("inf")),
        singled_out=tuple([request for request in waiting if _is_singled_out(request)]),
        by_gpus={gpus: tuple(requests) for gpus, requests in by_gpus.items()},
        by_type=Counter([request.gpu_type for request in waiting if not request.blocked_by]),
    )


def by_owner(rows: Iterable[tuple[Rest, Waiting]]) -> dict[Person, Lane]:
    """Return rows of requests by owner, each owner's in their order."""
    by_id: dict[int, list[tuple[Rest, Waiting]]] = {}
    owners: dict[Person, list[tuple[Rest, Waiting]]] = {}
    for row in rows:
        person = row[1].person
        mine = by_id.get(id(person))
        if mine is None:  # hashing a person takes most of the time that sorting takes
            mine = by_id[id(person)] = owners.setdefault(person, [])
        mine.append(row)
    for mine in owners.values():
        mine.sort(key=first_of)
    return dict(owners)


def by_use(request: Waiting) -> Rest:
    """Return what orders requests of one owner: what they probably use, then their submit time."""
    return (request.gpus * request.expected_seconds, request.requested_seconds, request.id)


def first_of(row: tuple[Rest, Waiting]) -> Rest:
    """Return what a row is sorted by."""
    return row[0]


def _is_singled_out(request: Waiting) -> bool:
    return request.is_promised or request.moved_seconds is not None
