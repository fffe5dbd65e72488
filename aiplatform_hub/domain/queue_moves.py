"""Requests that an admin moved to the front of the queue, and what those who wait are told of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Move:
    """One request that an admin moved to the front."""

    id: int
    allocation_id: UUID
    at: datetime
    """Aware UTC."""
    by: str
    reason: str
    """For its owner and for those whom it overtook."""
    overtaken: frozenset[UUID]
    """Requests that stood before it at that instant."""


@dataclass(frozen=True, slots=True)
class MoveNote:
    """What somebody who waits is told of the moves of admins."""

    moved_by: str = ""
    """Who moved this very request; empty if nobody did."""
    reason: str = ""
    """Why."""
    overtaken_for: tuple[str, ...] = ()
    """The reason of each move with which another request that still waits came before this one."""


def note_on(request_id: UUID, moves: Iterable[Move]) -> MoveNote | None:
    """Return what the owner of a request is told of the moves that stand; None if none concerns it.

    A request that was moved itself later came before those that had overtaken it: they are not told of any more.

    Parameters
    ----------
    moves
        Those of requests that still wait.
    """
    standing = sorted(moves, key=lambda move: (move.at, move.id))
    own = next((move for move in standing if move.allocation_id == request_id), None)
    since = [move for move in standing if own is None or (move.at, move.id) > (own.at, own.id)]
    others = tuple(move.reason for move in since if request_id in move.overtaken)
    if own is None and not others:
        return None
    return MoveNote(own.by if own else "", own.reason if own else "", others)


def overtaken_by(request_id: UUID, order: Iterable[UUID]) -> frozenset[UUID]:
    """Return who stands before a request in the queue's order; everybody, if it has no place yet."""
    found = []
    for other in order:
        if other == request_id:
            break
        found.append(other)
    return frozenset(found)


def move_sentence(note: MoveNote | None) -> str:
    """Return what is told of moves, as sentences that follow others; empty where there is nothing to tell."""
    if note is None:
        return ""
    own = f" {note.moved_by} moved it to the front of the queue: {_ended(note.reason)}" if note.moved_by else ""
    if not note.overtaken_for:
        return own
    reasons = list(dict.fromkeys(note.overtaken_for))
    number = len(note.overtaken_for)
    what = "another request" if number == 1 else f"{number} other requests"
    return f"{own} An admin moved {what} before it: {_ended('; '.join(reasons))}"


def _ended(reason: str) -> str:
    return reason if reason.endswith((".", "!", "?")) else f"{reason}."
