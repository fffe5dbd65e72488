"""Who waits, for what and until when, in words: for the cards of their owners and for the admin's list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.interest import asking_period
from aiplatform_hub.domain.queue_sentences import Reader, place, waiting_sentence
from aiplatform_hub.domain.queueing import QueueEntry, WaitCode, WaitReason
from aiplatform_hub.domain.wait_estimates import WaitEstimate
from aiplatform_hub.domain.wait_words import about, fewer_gpus_advice, how_long
from aiplatform_hub.web.view_models.formats import Stamp, count, stamp

if TYPE_CHECKING:
    from aiplatform_hub.operations.prospects import Prospect

_OWN = frozenset({WaitCode.QUOTA_IN_USE, WaitCode.UNKNOWN_OWNER})
"""What no estimate can tell anything about."""
_WITHOUT_PLACE = frozenset({WaitCode.NEW, WaitCode.QUOTA_IN_USE, WaitCode.UNKNOWN_OWNER})
"""What is waited for regardless of who is before."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is known of a queued request besides its row."""

    entry: QueueEntry | None
    interest: timedelta
    """How long a request is kept after its owner last said that they want it."""
    fewer: Mapping[int, Prospect] = field(default_factory=dict)
    """What would happen with fewer GPUs, by their count; empty where the reader may not change it."""
    reader: str = ""
    """User name of whoever reads."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What the reader may call others' sessions and requests, by id."""
    wait: WaitEstimate | None = None
    """How long it will wait from now; None where nobody can tell."""


@dataclass(frozen=True, slots=True)
class FewerGpus:
    """A smaller GPU count to choose."""

    value: int
    label: str


@dataclass(frozen=True, slots=True)
class Wait:
    """A queued request in words."""

    position: str
    """``Next in line``, ``2nd in line``, or ``Waiting`` where no place is known or none counts."""
    why: str
    since: Stamp | None
    kept_until: Stamp | None
    is_soon_over: bool
    """Whether its owner is asked now whether they still want it."""
    can_change: bool
    fewer: tuple[FewerGpus, ...]
    start_now: FewerGpus | None
    """The most GPUs with which it would start at once; None if there are none."""
    how_long: str = ""
    """How long it will wait; empty where that depends on its owner alone."""
    advice: str = ""
    """What would be quicker; empty if nothing is known to be."""


def wait(allocation: Allocation, line: Line, now: datetime) -> Wait:
    """Return a queued request in words."""
    said = allocation.confirmed_at or allocation.requested_at
    kept_until = said + line.interest
    at_once = [number for number, prospect in line.fewer.items() if prospect.decision.is_admitted]
    fewer = {number: _note(prospect) for number, prospect in line.fewer.items()}
    entry = line.entry and line.entry.as_known(has_estimate=line.wait is not None)
    is_own = entry is not None and entry.reason.code in _OWN
    return Wait(
        position=position(entry),
        why=why(entry, allocation, Reader(now, line.reader, line.names)),
        since=stamp(since_when(allocation)),
        kept_until=stamp(kept_until),
        is_soon_over=kept_until - now <= asking_period(line.interest),
        can_change=line.reader == allocation.user_name,
        fewer=tuple(FewerGpus(number, f"{_gpus(number)}{fewer[number]}") for number in sorted(line.fewer, reverse=True)),
        start_now=FewerGpus(max(at_once), _start_now(max(at_once))) if at_once else None,
        how_long="" if is_own else how_long(line.wait),
        advice=fewer_gpus_advice({number: prospect.chance for number, prospect in line.fewer.items() if number}, line.wait),
    )


def since_when(allocation: Allocation) -> datetime:
    """Return the submit time that its place in the queue counts from."""
    return allocation.queued_at or allocation.requested_at


def position(entry: QueueEntry | None) -> str:
    """Return the place in the queue in words."""
    return "Waiting" if entry is None or entry.reason.code in _WITHOUT_PLACE else place(entry.position)


def why(entry: QueueEntry | None, allocation: Allocation, reader: Reader) -> str:
    """Return why a queued request does not start yet, without its place."""
    known = entry or QueueEntry(allocation.id, 0, WaitReason(WaitCode.NEW))
    return waiting_sentence(known, allocation.request.gpu_type, reader).removeprefix(f"{place(known.position)}. ")


def _gpus(number: int) -> str:
    return "No GPU" if number == 0 else count(number, "GPU")


def _note(prospect: Prospect) -> str:
    if prospect.decision.is_admitted:
        return ", starts now"
    return f", {about(prospect.wait)}" if prospect.wait else ""


def _start_now(number: int) -> str:
    return "Start without GPUs now" if number == 0 else f"Start with {count(number, 'GPU')} now"
