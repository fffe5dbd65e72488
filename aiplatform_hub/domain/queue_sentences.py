"""Words of the queue: a request's place and what it waits for, as sentences with numbers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from aiplatform_hub.domain.dimensions import DIMENSIONS, Kind
from aiplatform_hub.domain.queue_moves import move_sentence
from aiplatform_hub.domain.queueing import QueueEntry, WaitCode, WaitReason
from aiplatform_hub.domain.quota_reasons import quantity
from aiplatform_hub.domain.units import format_bytes, format_number

_TEENS = range(10, 21)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_SOON_SECONDS = 120
_WITHOUT_PLACE = frozenset({WaitCode.NEW, WaitCode.UNKNOWN_OWNER})
_HOLDS = {Kind.CONCURRENT: ("hold", "holds"), Kind.WINDOWED: ("have used", "has used"), Kind.OBSERVED: ("keep files of", "keeps files of")}
"""How a limit is in use: by several or *you*, and by one person."""
_WHEN = {
    Kind.CONCURRENT: "when enough of that ends",
    Kind.WINDOWED: "when enough of that is long ago",
    Kind.OBSERVED: "when enough of them are deleted",
}


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a sentence is: what they may know, and when they read it."""

    now: datetime
    name: str = ""
    """Their user name: what is theirs is called *yours*."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What they may call others' sessions and requests, by id; those that are not named stay without names."""


def waiting_sentence(entry: QueueEntry, gpu_type: str | None, reader: Reader) -> str:
    """Return the place of a request and why it does not start yet; how long it will wait is told beside it, by its estimate.

    Parameters
    ----------
    entry
        The request as the last pass of the dispatcher saw it.
    gpu_type
        What GPUs it asks for; None for any, or for none.
    reader
        Who reads it, and when.
    """
    why = _WORDS[entry.reason.code](entry.reason, gpu_type, reader)
    moved = move_sentence(entry.move)
    return f"{why}{moved}" if entry.reason.code in _WITHOUT_PLACE else f"{place(entry.position)}. {why}{_with_others(entry)}{moved}"


def _with_others(entry: QueueEntry) -> str:
    """Say where it stands in Kueue's queue, if others of the cluster are before it."""
    ahead = entry.reason.ahead
    return "" if ahead is None or ahead < entry.position else f" With others of the cluster it is {ordinal(ahead + 1)} in Kueue's queue."


def place(position: int) -> str:
    """Return ``Next in line``, ``2nd in line`` and so on."""
    return "Next in line" if position == 1 else f"{ordinal(position)} in line"


def ordinal(number: int) -> str:
    """Return ``1st``, ``2nd``, ``3rd``, ``11th`` and so on."""
    ending = "th" if number % 100 in _TEENS else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def span(seconds: float) -> str:
    """Return a length of time as people say it, such as ``35 min``, ``2 h 10 min`` or ``3 days``."""
    if seconds < _HOUR - _MINUTE / 2:
        return f"{max(1, round(seconds / _MINUTE))} min"
    if seconds < _DAY:
        hours, minutes = divmod(round(seconds / (10 * _MINUTE)) * 10, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days = round(seconds / _DAY)
    return "1 day" if days == 1 else f"{days} days"


def _wanted(reason: WaitReason, gpu_type: str | None) -> str:
    return quantity(reason.dimension, Decimal(reason.requested), gpu_type if reason.dimension == "gpus" else None)


def _is_free(reason: WaitReason) -> str:
    """Say how much is free of what is asked for; nothing where it is not known."""
    free = reason.free
    if free is None and reason.limit is not None and reason.used is not None:
        free = str(max(Decimal(0), Decimal(reason.limit) - Decimal(reason.used)))
    if free is None:
        return ""
    amount = Decimal(free)
    if not amount:
        return "none is free"
    return f"{_short(reason.dimension, amount)} {'is' if amount == 1 else 'are'} free"


def _short(dimension: str, amount: Decimal) -> str:
    return format_bytes(amount) if DIMENSIONS[dimension].unit == "B" else format_number(amount)


def _expected(reason: WaitReason, reader: Reader, words: str) -> str:
    """Say when something of others is expected; nothing where nobody knows."""
    if reason.until_seconds is None:
        return ""
    left = reason.until_seconds - reader.now.timestamp()
    return f" {words} {'soon' if left < _SOON_SECONDS else f'in about {span(left)}'}."


def _capacity(reason: WaitReason, gpu_type: str | None, reader: Reader) -> str:
    free = _is_free(reason)
    return f"Waiting for {_wanted(reason, gpu_type)}{f': {free}' if free else ''}{_room(reason, reader)}."


def _room(reason: WaitReason, reader: Reader) -> str:
    """Say when the sessions in the way make room; nothing where nobody knows."""
    if reason.room_by_seconds is None:
        return ""
    left, number = reason.room_by_seconds - reader.now.timestamp(), len(reason.room_of)
    names = [reader.names.get(id_, "") for id_ in reason.room_of]
    who = " and ".join(names) if names and all(names) else "another session" if number == 1 else f"{number} sessions"
    when = "soon" if left < _SOON_SECONDS else f"within {span(left)}"
    return f"; {who} {'makes' if number == 1 else 'make'} room {when}, unless extended"


def _behind(reason: WaitReason, gpu_type: str | None, reader: Reader) -> str:
    whose = _named(reason, reader) or "a request that has waited longer"
    free = f", {_is_free(reason)}" if _is_free(reason) else ""
    return f"Waiting for {_wanted(reason, gpu_type)}{free}, but starting now would delay {whose}.{_expected(reason, reader, 'That one is expected to start')}"


def _reserved(reason: WaitReason, gpu_type: str | None, _reader: Reader) -> str:
    """Say what is kept, and from whom: the planner keeps nothing from those that it looks at first, new ones among them."""
    free = f" {_is_free(reason).capitalize()} now." if _is_free(reason) else ""
    kept = f"{_wanted(reason, gpu_type)} {_is(reason)} kept for it as {_they(reason)} free"
    return f"{kept}, from everybody behind it; who is put before it may still take some.{free}"


def _release(reason: WaitReason, gpu_type: str | None, reader: Reader) -> str:
    count = len(reason.because_of)
    others = _named(reason, reader) or ("another session" if count == 1 else f"{count} other sessions" if count else "other sessions")
    return f"Waiting for {_wanted(reason, gpu_type)}: GPUs of {others} are being taken back for it."


def _project_limit(reason: WaitReason, gpu_type: str | None, reader: Reader) -> str:
    project = next(iter(reason.because_of), "")
    who = f"The members of project {project} hold" if project else "The members of its project hold"
    ends = _expected(reason, reader, "The next is expected to end")
    return f"{who} as many GPUs as the queue's policy lets them; this one waits for {_wanted(reason, gpu_type)} more.{ends}"


def _class(reason: WaitReason, gpu_type: str | None, _reader: Reader) -> str:
    return f"Waiting for {_wanted(reason, gpu_type)}: the GPUs are kept for a class that runs or is about to begin."


def _too_large(reason: WaitReason, gpu_type: str | None, _reader: Reader) -> str:
    return f"No machine gives out {_wanted(reason, gpu_type)} now: GPUs are out of order, or drained by an admin. It waits until one does."


def _own_limit(reason: WaitReason, gpu_type: str | None, reader: Reader) -> str:
    scope, _, subject = reason.scope.partition(":")
    kind = DIMENSIONS[reason.dimension].kind
    if scope == "project":
        who, is_one = f"The members of project {subject}", False
    else:
        who, is_one = ("You", False) if subject == reader.name else (subject, True)
    verb = _HOLDS[kind][is_one]
    used = "all" if reason.used is None else _short(reason.dimension, Decimal(reason.used))
    limit = "what is allowed" if reason.limit is None else f"{quantity(reason.dimension, Decimal(reason.limit))} allowed"
    needs = f"; this one needs {_wanted(reason, gpu_type)}" if Decimal(reason.requested) else ""
    return f"{who} {verb} {used} of {limit}{needs}. It starts {_WHEN[kind]}, and holds nobody up."


def _unknown_owner(reason: WaitReason, _gpu_type: str | None, reader: Reader) -> str:
    subject = reason.scope.partition(":")[2]
    who = "you are" if subject == reader.name else f"{subject} is"
    return f"JupyterHub has not said yet who {who}; it waits until it does."


def _new(_reason: WaitReason, _gpu_type: str | None, _reader: Reader) -> str:
    return "It has just joined the queue; in a moment it has its place."


def _kueue(reason: WaitReason, gpu_type: str | None, _reader: Reader) -> str:
    return f"Waiting for {_wanted(reason, gpu_type)}: Kueue has not admitted it yet."


def _kueue_behind(reason: WaitReason, gpu_type: str | None, _reader: Reader) -> str:
    """Say who may not be passed; what is free is worth telling, as it is not for this one yet."""
    is_any_free = reason.free is not None and Decimal(reason.free) > 0
    free = f"{_is_free(reason)}, but " if is_any_free else ""
    before = {None: "others", 1: "the request before it"}.get(reason.ahead, f"the {reason.ahead} requests before it")
    return f"Waiting for {_wanted(reason, gpu_type)}: {free}Kueue serves {before} first, and lets nobody pass."


def _kueue_quota(reason: WaitReason, gpu_type: str | None, _reader: Reader) -> str:
    free = _is_free(reason)
    return f"Waiting for {_wanted(reason, gpu_type)} of Kueue's quota{f': {free}' if free else ''}."


def _kueue_limit(reason: WaitReason, gpu_type: str | None, _reader: Reader) -> str:
    return f"Kueue's whole quota is less than {_wanted(reason, gpu_type)}; it waits until an administrator raises it."


def _kueue_queue(_reason: WaitReason, _gpu_type: str | None, _reader: Reader) -> str:
    return "Its project's queue is missing or stopped in Kueue; it waits until an administrator sets that right."


def _kueue_flavour(reason: WaitReason, gpu_type: str | None, _reader: Reader) -> str:
    return f"Kueue has no quota for {_wanted(reason, gpu_type)}; it waits until an administrator adds some."


def _kueue_check(reason: WaitReason, gpu_type: str | None, _reader: Reader) -> str:
    return f"Kueue keeps {_wanted(reason, gpu_type)} for it, and still checks whether it may start."


def _kueue_node(reason: WaitReason, gpu_type: str | None, _reader: Reader) -> str:
    return f"Kueue has admitted it. Waiting for a node with {_wanted(reason, gpu_type)} free together."


def _kueue_away(reason: WaitReason, gpu_type: str | None, _reader: Reader) -> str:
    return f"Kueue does not answer. Running sessions go on; this one waits for {_wanted(reason, gpu_type)} until it does."


def _named(reason: WaitReason, reader: Reader) -> str:
    """Return what stands in the way by name, if the reader may know all of it."""
    names = [reader.names.get(id_, "") for id_ in reason.because_of]
    return " and ".join(names) if names and all(names) else ""


def _is(reason: WaitReason) -> str:
    return "is" if Decimal(reason.requested) == 1 else "are"


def _they(reason: WaitReason) -> str:
    return "it comes" if Decimal(reason.requested) == 1 else "they come"


_WORDS: dict[WaitCode, Callable[[WaitReason, str | None, Reader], str]] = {
    WaitCode.CAPACITY: _capacity,
    WaitCode.BEHIND: _behind,
    WaitCode.RESERVED: _reserved,
    WaitCode.RELEASE: _release,
    WaitCode.PROJECT_LIMIT: _project_limit,
    WaitCode.CLASS: _class,
    WaitCode.TOO_LARGE: _too_large,
    WaitCode.QUOTA_IN_USE: _own_limit,
    WaitCode.UNKNOWN_OWNER: _unknown_owner,
    WaitCode.NEW: _new,
    WaitCode.KUEUE: _kueue,
    WaitCode.KUEUE_BEHIND: _kueue_behind,
    WaitCode.KUEUE_QUOTA: _kueue_quota,
    WaitCode.KUEUE_LIMIT: _kueue_limit,
    WaitCode.KUEUE_QUEUE: _kueue_queue,
    WaitCode.KUEUE_FLAVOUR: _kueue_flavour,
    WaitCode.KUEUE_CHECK: _kueue_check,
    WaitCode.KUEUE_NODE: _kueue_node,
    WaitCode.KUEUE_AWAY: _kueue_away,
}
