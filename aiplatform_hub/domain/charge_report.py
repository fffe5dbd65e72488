"""Charges in groups: what was used, what of it was idle, and what it costs. Pure; the rows of a report add up to its totals, digit by digit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from aiplatform_hub.domain.charge_sums import ActivitySum, Charged
from aiplatform_hub.domain.charges import MICROSECONDS_PER_HOUR, Sku
from aiplatform_hub.domain.credits import Payment
from aiplatform_hub.domain.report_spans import bucket_key
from aiplatform_hub.domain.rounding import apportion

PLACES = 6
"""Decimal places of every number of a report."""

KEYS: Mapping[str, Callable[[Charged | ActivitySum], str | None]] = {
    "day": lambda charge: bucket_key(charge.start.date(), "day"),
    "week": lambda charge: bucket_key(charge.start.date(), "week"),
    "month": lambda charge: bucket_key(charge.start.date(), "month"),
    "cost_centre": lambda charge: charge.cost_centre,
    "project": lambda charge: charge.project,
    "user": lambda charge: charge.user_name,
    "environment_template": lambda charge: charge.environment_template or None,
    "gpu_type": lambda charge: charge.gpu_type,
}
"""What a report can be grouped by."""

NUMBERS = (
    "gpu_hours",
    "used_gpu_hours",
    "idle_gpu_hours",
    "unknown_gpu_hours",
    "cpu_only_hours",
    "cpu_core_hours",
    "memory_gib_hours",
    "storage_gib_months",
    "estimated_seconds",
    "list_cost",
    "discount",
    "cost",
    "credits",
    "net_cost",
)
"""The numbers of a row, in the order in which they are written."""

MEASURED = ("energy_kwh", "carbon_kg")
"""What was measured of a row and is not billed, written behind its numbers. None is unknown."""

_QUANTITIES = {
    Sku.GPU_HOUR: "gpu_hours",
    Sku.IDLE_GPU_HOUR: "gpu_hours",
    Sku.CPU_ONLY_HOUR: "cpu_only_hours",
    Sku.CPU_CORE_HOUR: "cpu_core_hours",
    Sku.MEMORY_GIB_HOUR: "memory_gib_hours",
    Sku.STORAGE_GIB_MONTH: "storage_gib_months",
}

Keys = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Activity:
    """GPU time of one group of which it is known whether it was used."""

    keys: Keys
    currency: str
    used_gpu_microseconds: int
    idle_gpu_microseconds: int


@dataclass(frozen=True, slots=True)
class EnergyUse:
    """What the GPUs of one group took, as far as it was measured."""

    keys: Keys
    currency: str
    kwh: Fraction
    carbon_grams: Fraction | None
    """CO2 equivalents; None where nobody knows the factor."""


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """One group in one currency."""

    keys: Keys
    """In the order in which the report is grouped."""
    currency: str
    numbers: Mapping[str, Decimal]
    """By :data:`NUMBERS`."""
    rate_cards: tuple[str, ...]
    """Versions of the cards that priced it."""
    measured: Mapping[str, Decimal | None] = field(default_factory=lambda: dict.fromkeys(MEASURED))
    """By :data:`MEASURED`."""


@dataclass(frozen=True, slots=True)
class ChargeReport:
    """What of ``[start, end)`` (aware UTC) is charged."""

    start: datetime
    end: datetime
    complete_until: datetime
    """Before this instant the ledger is closed; ``end`` where nothing can change any more."""
    group_by: tuple[str, ...]
    rows: tuple[ChargeRow, ...]
    """In order of their keys."""
    totals: tuple[ChargeRow, ...]
    """One of each currency, without keys."""


_ZERO = Fraction(0)


@lru_cache(maxsize=1_000)
def _ratio(price: Decimal) -> tuple[int, int]:
    return price.as_integer_ratio()


@dataclass(slots=True)
class _Group:
    time: dict[tuple[Sku, Decimal, Decimal, int], int] = field(default_factory=lambda: defaultdict(int))
    """Whole unit-microseconds by SKU, list price, price, and what the price is for."""
    estimated: int = 0
    used: int = 0
    idle: int = 0
    credits: Fraction = Fraction(0)
    cards: set[str] = field(default_factory=set)
    energies: list[EnergyUse] = field(default_factory=list)

    def add(self, charge: Charged) -> None:
        self.time[charge.sku, charge.list_price, charge.price, charge.period_microseconds] += charge.unit_microseconds
        self.cards.add(charge.rate_card)
        self.estimated += charge.estimated_microseconds

    def measured(self) -> dict[str, Fraction | None]:
        if not self.energies:
            return dict.fromkeys(MEASURED)
        grams = [each.carbon_grams for each in self.energies if each.carbon_grams is not None]
        is_whole = len(grams) == len(self.energies)
        return {"energy_kwh": sum((each.kwh for each in self.energies), Fraction(0)), "carbon_kg": sum(grams, Fraction(0)) / 1000 if is_whole else None}

    def numbers(self) -> dict[str, Fraction]:
        sums: dict[tuple[str, int], int] = defaultdict(int)  # numerators by name and denominator: whole numbers are quicker than fractions, and as exact
        for (sku, list_price, price, period), time in self.time.items():
            sums[_QUANTITIES[sku], period] += time
            for name, each in (("list_cost", list_price), ("cost", price)):
                numerator, denominator = _ratio(each)
                sums[name, denominator * period] += numerator * time
        found: dict[str, Fraction] = {}
        for (name, denominator), numerator in sums.items():
            amount = Fraction(numerator, denominator)
            found[name] = found[name] + amount if name in found else amount
        found = dict.fromkeys(NUMBERS, _ZERO) | found
        if self.used or self.idle or found["gpu_hours"] < 0:
            used = min(Fraction(self.used, MICROSECONDS_PER_HOUR), found["gpu_hours"])
            idle = min(Fraction(self.idle, MICROSECONDS_PER_HOUR), found["gpu_hours"] - used)
            found |= {"used_gpu_hours": used, "idle_gpu_hours": idle}
        found["credits"] = self.credits
        found["estimated_seconds"] = Fraction(self.estimated, 1_000_000)
        return found


def charge_report(  # noqa: PLR0913 - what it is of, by name
    charges: Iterable[Charged],
    activity: Iterable[Activity],
    payments: Iterable[Payment] = (),
    *,
    start: datetime,
    end: datetime,
    complete_until: datetime,
    group_by: Sequence[str],
    energy: Iterable[EnergyUse] = (),
) -> ChargeReport:
    """Return charges in groups. Memory grows with the groups, not with the charges.

    Parameters
    ----------
    charges
        In any order, or sums of them.
    activity
        What is known of the GPU time of the same groups.
    payments
        What credits pay of the charges. They are taken after the charges.
    group_by
        Names among :data:`KEYS`.
    energy
        What is known of the energy of the same groups.
    """
    keys = [KEYS[name] for name in group_by]
    groups: dict[tuple[Keys, str], _Group] = defaultdict(_Group)
    for charge in charges:
        groups[tuple(key(charge) for key in keys), charge.currency].add(charge)
    for known in activity:
        group = groups.get((known.keys, known.currency))
        if group is not None:
            group.used += known.used_gpu_microseconds
            group.idle += known.idle_gpu_microseconds
    for payment in payments:
        charge = payment.charge
        groups[tuple(key(charge) for key in keys), charge.currency].credits += payment.amount
    for use in energy:
        if (use.keys, use.currency) in groups:
            groups[use.keys, use.currency].energies.append(use)
    rows = _rows(groups)
    return ChargeReport(start, end, min(complete_until, end), tuple(group_by), rows, _totals(rows))


def _rows(groups: Mapping[tuple[Keys, str], _Group]) -> tuple[ChargeRow, ...]:
    """Round by the largest remainder, column by column and currency by currency, so that rows and totals agree."""
    order = sorted(groups, key=lambda found: (found[1], tuple(key or "" for key in found[0])))
    rows: list[ChargeRow] = []
    for currency in dict.fromkeys(found[1] for found in order):
        mine = [found for found in order if found[1] == currency]
        exact = [groups[found].numbers() for found in mine]
        columns = {name: apportion([numbers[name] for numbers in exact], PLACES) for name in NUMBERS}
        measured = [groups[found].measured() for found in mine]
        more = {name: _apportioned([each[name] for each in measured]) for name in MEASURED}
        for place, found in enumerate(mine):
            numbers = {name: column[place] for name, column in columns.items()}
            numbers["unknown_gpu_hours"] = numbers["gpu_hours"] - numbers["used_gpu_hours"] - numbers["idle_gpu_hours"]
            numbers["discount"] = numbers["list_cost"] - numbers["cost"]
            numbers["net_cost"] = numbers["cost"] - numbers["credits"]
            known = {name: column[place] for name, column in more.items()}
            rows.append(ChargeRow(found[0], currency, numbers, tuple(sorted(groups[found].cards)), known))
    return tuple(rows)


def _apportioned(amounts: Sequence[Fraction | None]) -> tuple[Decimal | None, ...]:
    """Round what is known of a column, so that it adds up."""
    known = iter(apportion([amount for amount in amounts if amount is not None], PLACES))
    return tuple(None if amount is None else next(known) for amount in amounts)


def _sum_of_known(rows: Sequence[ChargeRow], name: str) -> Decimal | None:
    """Return a measured total; None where nothing is known, and carbon also where it is not known of all the energy."""
    found = [row.measured[name] for row in rows if row.measured["energy_kwh"] is not None]
    known = [amount for amount in found if amount is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(found) else None


def _totals(rows: Sequence[ChargeRow]) -> tuple[ChargeRow, ...]:
    found = []
    for currency in dict.fromkeys(row.currency for row in rows):
        mine = [row for row in rows if row.currency == currency]
        numbers = {name: sum((row.numbers[name] for row in mine), Decimal(0)) for name in NUMBERS}
        measured = {name: _sum_of_known(mine, name) for name in MEASURED}
        found.append(ChargeRow((), currency, numbers, tuple(sorted({card for row in mine for card in row.rate_cards})), measured))
    return tuple(found)
