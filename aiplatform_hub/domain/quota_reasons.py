"""Words of a refusal: which limit, whose, what holds it and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.limits import MACHINE, PROJECT, USER, Capacity, Limit, LimitUsage, amount_of, is_owned, server_label
from aiplatform_hub.domain.node_shapes import Oversize
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB, format_bytes, format_number
from aiplatform_hub.errors import TRY_LATER, QuotaExceededError, Reason

_NOUNS = {
    "gpus": ("GPU", "GPUs"),
    "environments": ("environment", "environments"),
    "cpu_cores": ("CPU core", "CPU cores"),
    "gpu_hours": ("GPU-hour", "GPU-hours"),
}
_TAILS = {"memory_bytes": " of memory", "storage_bytes": " of storage"}


_NEEDS_LESS = "Choose an environment that needs less."


@dataclass(frozen=True, slots=True)
class Violation:
    """A limit that a request does not fit."""

    usage: LimitUsage
    requested: Decimal
    """In the dimension's unit."""
    code: str
    """``quota_exceeded``, ``quota_in_use`` or ``capacity``."""
    oversize: Oversize | None = None
    """What no node has, if it is about the largest node."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision saw."""

    request: LaunchRequest
    caller: Caller
    usages: tuple[LimitUsage, ...]
    """Every limit with what is used of it."""
    capacity: Capacity

    def fitting(self, dimension: str) -> int:
        """Return how much of a dimension the request could have now under every limit."""
        free = [u.free for u in self.usages if u.free is not None and u.limit.dimension == dimension and self._applies(u.limit)]
        on_one_node = [Decimal(self.capacity.most_free(self.request.gpu_type))] if dimension == "gpus" else []
        return int(min(free + on_one_node)) if free else 0

    def most(self, dimension: str) -> int:
        """Return how much of a dimension the request could ever have under every limit."""
        amounts = [u.limit.amount for u in self.usages if u.limit.dimension == dimension and self._applies(u.limit)]
        on_one_node = [Decimal(self.capacity.largest(self.request.gpu_type))] if dimension == "gpus" else []
        return int(min(amounts + on_one_node)) if amounts else 0

    def _applies(self, limit: Limit) -> bool:
        return limit.gpu_type in {None, self.request.gpu_type}


_TRY_AGAIN = "Try again later."


def reason_of(violation: Violation, situation: Situation) -> Reason:
    """Return the reason that a person reads and a program acts upon."""
    usage, limit = violation.usage, violation.usage.limit
    remedies = tuple(dict.fromkeys(_remedies(violation, situation)))
    return Reason(
        code=violation.code,
        message=_message(violation, situation),
        dimension=limit.dimension,
        scope=limit.owner,
        limit=plain(limit.amount),
        used=None if usage.used is None else plain(usage.used),
        requested=plain(violation.requested),
        held_by=usage.held_by,
        remedies=remedies,
        remedy_codes=tuple(TRY_LATER if words == _TRY_AGAIN else "" for words in remedies) if _TRY_AGAIN in remedies else (),
    )


def is_none_ready(limit: Limit) -> bool:
    """Return whether a cluster has nothing of it because no node takes sessions now, which passes; a machine always has some memory and cores."""
    return limit.scope == MACHINE and limit.dimension != "gpus" and not limit.amount


def plain(amount: Decimal) -> str:
    """Return an amount as a decimal string with at most six places and no exponent."""
    text = f"{amount.quantize(Decimal('0.000001'), rounding=ROUND_HALF_EVEN):f}"
    return text.rstrip("0").rstrip(".")


def quantity(dimension: str, amount: Decimal, gpu_type: str | None = None) -> str:
    """Return an amount with its noun, such as ``2 h100 GPUs`` or ``16 GiB of memory``."""
    if dimension in _TAILS:
        return f"{format_bytes(amount)}{_TAILS[dimension]}"
    one, many = _NOUNS[dimension]
    kind = f"{gpu_type} " if gpu_type else ""
    return f"{format_number(amount) if amount else 'no'} {kind}{one if amount == 1 else many}"


def _message(violation: Violation, situation: Situation) -> str:
    if violation.oversize is not None:
        return violation.oversize.sentence
    usage, limit = violation.usage, violation.usage.limit
    if is_none_ready(limit):
        return f"No node of {limit.source} takes sessions now; they can start again as soon as one does."
    if limit.dimension == "storage_bytes":
        used = format_bytes(usage.used or 0)
        return f"Your files take {used}, more than your {format_bytes(limit.amount)} of storage ({limit.source}); until you free some, you can only start without GPUs."
    if limit.dimension == "gpu_hours":
        return _windowed_message(violation)
    allowed = quantity(limit.dimension, limit.amount, limit.gpu_type)
    asked = quantity(limit.dimension, violation.requested, limit.gpu_type)
    if limit.scope == MACHINE and limit.dimension == "gpus":
        return _gpus_message(violation, situation)
    is_never = violation.code == QuotaExceededError.code
    wish = f"you ask for {asked}" if is_never else f"{_holding(usage, situation.caller)}, and you ask for {asked} more"
    return f"{_subject(limit)} {allowed}{_at_once(limit)}; {wish}."


def _gpus_message(violation: Violation, situation: Situation) -> str:
    """Say why the place does not give the GPUs."""
    usage, limit, capacity = violation.usage, violation.usage.limit, situation.capacity
    if not capacity.devices:
        return f"{limit.source.capitalize()} has no GPUs; you ask for {quantity('gpus', violation.requested)}."
    asked = f"you ask for {quantity('gpus', violation.requested, limit.gpu_type)}"
    allowed = f"{_subject(limit)} {quantity('gpus', limit.amount, limit.gpu_type)}"
    if violation.code == QuotaExceededError.code:
        return _too_many_for_a_node(violation, capacity) if limit.amount and capacity.is_cluster else f"{allowed}{_at_once(limit)}; {asked}."
    free, most = _free_gpus(capacity, limit), capacity.most_free(limit.gpu_type)
    if len(capacity.free_devices(limit.gpu_type)) >= violation.requested:
        free = f"{free}, but not on one node: the most on one is {most}"
    holding = f"; {_holding(usage, situation.caller)}" if usage.holders else ""
    return f"{allowed}, {free}{holding}; {asked}."


def _too_many_for_a_node(violation: Violation, capacity: Capacity) -> str:
    gpu_type = violation.usage.limit.gpu_type or ""
    label = capacity.gpu_labels.get(gpu_type, gpu_type)
    return f"No node has {format_number(violation.requested)} × {label}; the largest has {capacity.largest(gpu_type)}."


def _subject(limit: Limit) -> str:
    if limit.scope == USER:
        return "You may hold"
    return f"The members of project {limit.subject} may together hold" if limit.scope == PROJECT else f"{limit.source.capitalize()} can give"


def _at_once(limit: Limit) -> str:
    if limit.scope == MACHINE:
        return " in all"
    return f" at once ({limit.source})" if limit.scope == USER else " at once"


def _free_gpus(capacity: Capacity, limit: Limit) -> str:
    devices = capacity.free_devices(limit.gpu_type)
    free = sum(device.node_pool is None for device in devices)
    unhealthy = sum(not state.device.is_healthy for state in capacity.devices if state.device.gpu_type == limit.gpu_type)
    drained = sum(state.device.is_drained and state.held_by is None for state in capacity.devices if state.device.gpu_type == limit.gpu_type)
    text = "none is free now" if not free else f"{free} {'is' if free == 1 else 'are'} free now"
    if free < len(devices):
        text += f" and {len(devices) - free} may be started"
    if drained:
        text += f", {drained} {'is' if drained == 1 else 'are'} drained by an admin"
    return f"{text} and {unhealthy} {'is' if unhealthy == 1 else 'are'} out of order" if unhealthy else text


def _holding(usage: LimitUsage, caller: Caller) -> str:
    """Say who holds how much: the caller's own sessions by name, the others as one sum."""
    parts = [f"{server_label(a)} holds {_short(usage.limit, amount_of(a.request, usage.limit))}" for a in usage.holders if is_owned(a, caller)]
    others = sum((amount_of(a.request, usage.limit) for a in usage.holders if not is_owned(a, caller)), Decimal(0))
    if others:
        parts.append(f"{'other members hold' if usage.limit.scope == PROJECT else 'other users hold'} {_short(usage.limit, others)}")
    if usage.limit.dimension == "environments":
        return f"{len(usage.holders)} {'is' if len(usage.holders) == 1 else 'are'} open"
    return " and ".join(parts) if parts else "all of it is in use"


def _short(limit: Limit, amount: Decimal) -> str:
    return format_bytes(amount) if limit.dimension in _TAILS else format_number(amount)


def _windowed_message(violation: Violation) -> str:
    usage, limit = violation.usage, violation.usage.limit
    who = "You may use" if limit.scope == USER else f"The members of project {limit.subject} may together use"
    asked = f"; you ask for {quantity('gpu_hours', violation.requested)}" if violation.requested else ""
    allowed = quantity("gpu_hours", limit.amount)
    return f"{who} {allowed} in {limit.window_days} days ({limit.source}); {format_number(usage.used or 0)} are used{asked}."


def _remedies(violation: Violation, situation: Situation) -> Iterator[str]:
    limit = violation.usage.limit
    if violation.code != QuotaExceededError.code and limit.dimension in {"gpus", "memory_bytes", "cpu_cores", "environments"}:
        yield from (f"Stop {name}." for name in _own_names(violation.usage.holders, situation.caller))
    if not is_none_ready(limit):
        yield from _SMALLER.get(limit.dimension, _nothing)(violation, situation)
    if limit.scope == USER:
        yield "Ask an administrator for a higher tier."
    elif limit.scope == PROJECT:
        yield f"Ask an administrator for more for project {limit.subject}, or charge another project."
    elif violation.code != QuotaExceededError.code:
        yield _TRY_AGAIN


def _own_names(holders: tuple[Allocation, ...], caller: Caller) -> list[str]:
    return [server_label(allocation) for allocation in holders if is_owned(allocation, caller)]


def _nothing(_violation: Violation, _situation: Situation) -> Iterator[str]:
    return iter(())


def _fewer_gpus(violation: Violation, situation: Situation) -> Iterator[str]:
    fits = situation.fitting("gpus")
    possible = _possible(violation, situation)
    if fits:
        yield f"Choose {quantity('gpus', Decimal(fits))}."
    else:
        yield f"Choose at most {quantity('gpus', Decimal(possible))}." if possible else "Start without GPUs."
    if violation.usage.limit.gpu_type is None:
        return
    names = dict.fromkeys(state.device.gpu_type for state in situation.capacity.devices if state.is_free)
    for name in names:
        free = situation.capacity.most_free(name)
        if name != situation.request.gpu_type and free >= situation.request.gpus:
            yield f"Choose the GPU type {name}: {free} {'is' if free == 1 else 'are'} free."


def _less_memory(violation: Violation, situation: Situation) -> Iterator[str]:
    gib = _possible(violation, situation) // GIB
    yield f"Choose at most {gib} GiB of memory." if gib else _NEEDS_LESS


def _fewer_cores(violation: Violation, situation: Situation) -> Iterator[str]:
    cores = _possible(violation, situation)
    yield f"Choose at most {quantity('cpu_cores', Decimal(cores))}." if cores else _NEEDS_LESS


def _possible(violation: Violation, situation: Situation) -> int:
    """Return how much fits now, or ever where nothing fits now and the request never would."""
    dimension = violation.usage.limit.dimension
    if violation.oversize is not None:
        return min(violation.oversize.largest, situation.fitting(dimension) or situation.most(dimension))
    return situation.fitting(dimension) or (situation.most(dimension) if violation.code == QuotaExceededError.code else 0)


def _less_storage(_violation: Violation, _situation: Situation) -> Iterator[str]:
    yield "Start without GPUs and delete files you no longer need."


def _fewer_hours(violation: Violation, situation: Situation) -> Iterator[str]:
    free = violation.usage.free or Decimal(0)
    hours = int(free / situation.request.gpus)
    if violation.requested and hours:
        yield f"Plan at most {hours} {'hour' if hours == 1 else 'hours'}."
    if violation.code != QuotaExceededError.code:
        yield f"Wait until earlier use is more than {violation.usage.limit.window_days} days ago."
    yield "Start without GPUs."


_SMALLER: dict[str, Callable[[Violation, Situation], Iterator[str]]] = {
    "gpus": _fewer_gpus,
    "memory_bytes": _less_memory,
    "cpu_cores": _fewer_cores,
    "storage_bytes": _less_storage,
    "gpu_hours": _fewer_hours,
}
"""How to ask for less of each dimension."""
