"""Charges in groups: what was used, what of it was idle, and what it costs. Pure; the rows of a report add up to its totals, digit by digit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from aiplatform_hub.domain.charges import MICROSECONDS_PER_HOUR, Charge, Sku, period_microseconds
from aiplatform_hub.domain.report_spans import bucket_key
from aiplatform_hub.domain.rounding import apportion
from aiplatform_hub.domain.units import to_microseconds

PLACES = 6
"""Decimal places of every number of a report."""

KEYS: Mapping[str, Callable[[Charge], str | None]] = {
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
)
"""The numbers of a row, in the order in which they are written."""

_QUANTITIES = {
    Sku.GPU_HOUR: "gpu_hours",
    Sku.IDLE_GPU_HOUR: "gpu_hours",
    Sku.CPU_ONLY_HOUR: "cpu_only_hours",
    Sku.CPU_CORE_HOUR: "cpu_core_hours",
    Sku.MEMORY_GIB_HOUR: "memory_gib_hours",
    Sku.STORAGE_GIB_MONTH: "storage_gib_months",
}
_SESSION_SKUS = frozenset({Sku.GPU_HOUR, Sku.IDLE_GPU_HOUR, Sku.CPU_ONLY_HOUR})
"""Of these a session has one at any time, so that their time is its time."""

Keys = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Activity:
    """GPU time of one group of which it is known whether it was used."""

    keys: Keys
    currency: str
    used_gpu_microseconds: int
    idle_gpu_microseconds: int


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


@dataclass(slots=True)
class _Group:
    time: dict[tuple[Sku, Decimal, Decimal, int], int] = field(default_factory=lambda: defaultdict(int))
    """Whole unit-microseconds by SKU, list price, price, and what the price is for."""
    estimated: int = 0
    used: int = 0
    idle: int = 0
    cards: set[str] = field(default_factory=set)

    def add(self, charge: Charge) -> None:
        self.time[charge.sku, charge.list_price, charge.price, period_microseconds(charge.sku, charge.start)] += charge.unit_microseconds
        self.cards.add(charge.rate_card)
        if charge.is_estimated and charge.sku in _SESSION_SKUS:
            length = to_microseconds(charge.end) - to_microseconds(charge.start)
            self.estimated += length if charge.units > 0 else -length

    def numbers(self) -> dict[str, Fraction]:
        found = dict.fromkeys(NUMBERS, Fraction(0))
        for (sku, list_price, price, period), time in self.time.items():
            quantity = Fraction(time, period)
            found[_QUANTITIES[sku]] += quantity
            found["list_cost"] += quantity * Fraction(list_price)
            found["cost"] += quantity * Fraction(price)
        used = min(Fraction(self.used, MICROSECONDS_PER_HOUR), found["gpu_hours"])
        idle = min(Fraction(self.idle, MICROSECONDS_PER_HOUR), found["gpu_hours"] - used)
        found |= {"used_gpu_hours": used, "idle_gpu_hours": idle}
        found["estimated_seconds"] = Fraction(self.estimated, 1_000_000)
        return found


def charge_report(  # noqa: PLR0913 - what it is of, by name
    charges: Iterable[Charge], activity: Iterable[Activity], *, start: datetime, end: datetime, complete_until: datetime, group_by: Sequence[str]
) -> ChargeReport:
    """Return charges in groups. Memory grows with the groups, not with the charges.

    Parameters
    ----------
    charges
        In any order.
    activity
        What is known of the GPU time of the same groups.
    group_by
        Names among :data:`KEYS`.
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
        for place, found in enumerate(mine):
            numbers = {name: column[place] for name, column in columns.items()}
            numbers["unknown_gpu_hours"] = numbers["gpu_hours"] - numbers["used_gpu_hours"] - numbers["idle_gpu_hours"]
            numbers["discount"] = numbers["list_cost"] - numbers["cost"]
            rows.append(ChargeRow(found[0], currency, numbers, tuple(sorted(groups[found].cards))))
    return tuple(rows)


def _totals(rows: Sequence[ChargeRow]) -> tuple[ChargeRow, ...]:
    found = []
    for currency in dict.fromkeys(row.currency for row in rows):
        mine = [row for row in rows if row.currency == currency]
        numbers = {name: sum((row.numbers[name] for row in mine), Decimal(0)) for name in NUMBERS}
        found.append(ChargeRow((), currency, numbers, tuple(sorted({card for row in mine for card in row.rate_cards}))))
    return tuple(found)
