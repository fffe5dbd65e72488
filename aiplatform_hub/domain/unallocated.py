"""GPUs that could be used and that no session held: total = held + unallocated, per GPU type, in whole GPU-microseconds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from heapq import merge

from aiplatform_hub.domain.catalog import ANY_GPU_TYPE, RateCard, Share, Unallocated
from aiplatform_hub.domain.rates import unit_price
from aiplatform_hub.domain.units import to_microseconds


@dataclass(frozen=True, slots=True)
class CapacityChange:
    """From an instant on (aware UTC) a place has so many usable GPUs of a type: there, healthy and not drained."""

    at: datetime
    gpu_type: str
    gpus: int


@dataclass(frozen=True, slots=True)
class HeldChange:
    """At an instant (aware UTC) sessions begin to hold so many GPUs more, or fewer where it is negative."""

    at: datetime
    gpus: int


@dataclass(frozen=True, slots=True)
class GpuTime:
    """What became of the GPUs of one type, in GPU-microseconds."""

    held: int
    unallocated: int

    @property
    def total(self) -> int:
        """All that could be used. A GPU that is held though it does not count any more, as a drained one, is part of it."""
        return self.held + self.unallocated


def gpu_times(capacity: Iterable[CapacityChange], held: Iterable[HeldChange], pieces: Sequence[tuple[datetime, datetime]]) -> tuple[GpuTime, ...]:
    """Return what became of the GPUs of one type in each piece of a span. Memory does not grow with the changes.

    Parameters
    ----------
    capacity
        Of that type, in order of time; before the first of them nothing is known, so nothing is unallocated.
    held
        Of that type, in order of time.
    pieces
        Half-open and touching, in order of time.
    """
    changes = merge(((each.at, True, each.gpus) for each in capacity), ((each.at, False, each.gpus) for each in held), key=lambda change: change[0])
    found: list[GpuTime] = []
    usable = in_use = 0
    change = next(changes, None)
    for start, end in pieces:
        at, held_time, spare_time = start, 0, 0
        while at < end:
            while change is not None and change[0] <= at:
                usable, in_use = (change[2], in_use) if change[1] else (usable, in_use + change[2])
                change = next(changes, None)
            until = end if change is None else min(end, change[0])
            length = to_microseconds(until) - to_microseconds(at)
            held_time += in_use * length
            spare_time += max(0, usable - in_use) * length
            at = until
        found.append(GpuTime(held_time, spare_time))
    return tuple(found)


def price_of(card: RateCard, gpu_type: str) -> Decimal:
    """Return what a GPU that nobody held costs for an hour.

    Raises
    ------
    ConfigurationError
        If the card prices neither the type nor every other type.
    """
    own = card.unallocated.gpu_hour
    price = own.get(gpu_type, own.get(ANY_GPU_TYPE))
    return unit_price(card, gpu_type) if price is None else price


def parts(rule: Unallocated, held_cost: Mapping[str, Fraction]) -> dict[str | None, Fraction]:
    """Return which part of what nobody held each cost centre pays; None is nobody, and all parts add up to 1.

    Parameters
    ----------
    held_cost
        What the GPU time of each cost centre that was charged something costs without discounts.
    """
    weights: Mapping[str, Fraction] = {}
    if rule.share is Share.EVENLY:
        weights = dict.fromkeys(rule.cost_centres or held_cost, Fraction(1))
    elif rule.share is Share.PROPORTIONALLY:
        weights = {name: cost for name, cost in held_cost.items() if cost > 0}
    whole = sum(weights.values(), Fraction(0))
    return {name: weight / whole for name, weight in weights.items()} if whole else {None: Fraction(1)}
