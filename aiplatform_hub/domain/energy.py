"""What energy the GPUs of a session took, and the carbon behind it. Measured, never billed; what nobody measured is unknown, not zero."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from aiplatform_hub.domain.activity import LONGEST_GAP, GpuSample
from aiplatform_hub.domain.catalog import CarbonFactor
from aiplatform_hub.domain.rates import midnights, split
from aiplatform_hub.domain.units import to_microseconds

MILLIJOULES_PER_KWH = 3_600_000_000


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """What one GPU said of its energy at one instant. None is unknown."""

    at: datetime
    """Aware UTC."""
    counter_millijoules: int | None
    """What it took since its driver was loaded."""
    power_milliwatts: int | None
    """What it takes now."""


@dataclass(frozen=True, slots=True)
class EnergyOfDay:
    """What the GPUs of a session took on one UTC day, as far as it was measured."""

    day: datetime
    """Its begin."""
    millijoules: int
    known_microseconds: int
    """GPUs × time for which it is known."""


@dataclass(frozen=True, slots=True)
class Energy:
    """What the GPUs of one session or of several took, as far as it was measured. Exact."""

    kwh: Fraction
    known: timedelta
    """GPUs × time for which it is known."""
    carbon_grams: Fraction | None
    """CO2 equivalents; None where a day of it has no factor."""


def reading_of(sample: GpuSample) -> EnergyReading | None:
    """Return what a look at a GPU says of its energy; None if nothing."""
    if sample.energy_millijoules is None and sample.power_milliwatts is None:
        return None
    return EnergyReading(sample.at, sample.energy_millijoules, sample.power_milliwatts)


def used_between(before: EnergyReading, now: EnergyReading) -> int | None:
    """Return the millijoules that a GPU took between two looks; None if that is unknown.

    Its counter says it, however long nobody looked. Without one, or where it began anew, the mean of the two powers does, over no longer
    than what a sample may speak for.
    """
    if now.at <= before.at:
        return None
    if before.counter_millijoules is not None and now.counter_millijoules is not None and now.counter_millijoules >= before.counter_millijoules:
        return now.counter_millijoules - before.counter_millijoules
    if before.power_milliwatts is None or now.power_milliwatts is None or now.at - before.at > LONGEST_GAP:
        return None
    return (before.power_milliwatts + now.power_milliwatts) * ((now.at - before.at) // timedelta(microseconds=1)) // 2_000_000


def by_day(start: datetime, end: datetime, millijoules: int) -> Iterator[EnergyOfDay]:
    """Yield what a GPU took in ``[start, end)``, evenly over the time and whole by UTC days; the parts add up to the whole."""
    whole, first, given = to_microseconds(end) - to_microseconds(start), to_microseconds(start), 0
    for low, high in split(start, end, midnights(start, end)):
        until = millijoules * (to_microseconds(high) - first) // whole
        yield EnergyOfDay(low.replace(hour=0, minute=0, second=0, microsecond=0), until - given, to_microseconds(high) - to_microseconds(low))
        given = until


def energy(days: Iterable[EnergyOfDay], factors: Sequence[CarbonFactor]) -> Energy | None:
    """Return what days add up to; None where nothing was measured.

    Parameters
    ----------
    factors
        Every factor, in any order; each holds until the next begins, and before the first there is none.
    """
    found = tuple(days)
    if not any(each.known_microseconds for each in found):
        return None
    grams: Fraction | None = Fraction(0)
    for each in found:
        factor = factor_at(factors, each.day)
        grams = None if grams is None or factor is None else grams + kwh(each.millijoules) * Fraction(factor.grams_per_kwh)
    return Energy(kwh(sum(each.millijoules for each in found)), timedelta(microseconds=sum(each.known_microseconds for each in found)), grams)


def factor_at(factors: Sequence[CarbonFactor], day: datetime) -> CarbonFactor | None:
    """Return the factor in force on a day; None before the first."""
    begun = [factor for factor in factors if factor.effective_from <= day]
    return max(begun, key=lambda factor: factor.effective_from) if begun else None


def kwh(millijoules: int) -> Fraction:
    """Return millijoules as kilowatt-hours."""
    return Fraction(millijoules, MILLIJOULES_PER_KWH)
