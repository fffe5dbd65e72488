"""Chargeback: what each cost centre owes for a span, with its share of what nobody used. Pure; rows add up to totals, digit by digit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from aiplatform_hub.domain.catalog import ANY_GPU_TYPE, RateCard, Share
from aiplatform_hub.domain.charge_report import PLACES
from aiplatform_hub.domain.charge_sums import Charged
from aiplatform_hub.domain.charges import MICROSECONDS_PER_HOUR, Sku
from aiplatform_hub.domain.credits import Payment
from aiplatform_hub.domain.rounding import apportion
from aiplatform_hub.domain.unallocated import parts, price_of

HOURS = ("used_gpu_hours", "idle_gpu_hours", "unallocated_gpu_hours")
"""GPU-hours that sessions used, held idle, and that nobody held. What is not known to be idle counts as used."""
COSTS = ("used_cost", "idle_cost", "other_cost", "discount", "unallocated_cost", "total", "credits", "net_total")
"""The first three are at the prices of the cards; ``total`` is their sum less ``discount``, and ``unallocated_cost``; ``net_total`` is what credits leave of it."""
NUMBERS = (*HOURS, *COSTS)
"""The numbers of a row, in the order in which they are written."""
TYPE_HOURS = ("total_gpu_hours", *HOURS)
"""The numbers of a GPU type; the first is the sum of the others."""

_GPU_SKUS = {Sku.GPU_HOUR: "used", Sku.IDLE_GPU_HOUR: "idle"}


@dataclass(frozen=True, slots=True)
class Spare:
    """GPUs of one type that nobody held while one rate card was in force."""

    gpu_type: str
    card: RateCard
    gpu_microseconds: int


@dataclass(frozen=True, slots=True)
class ChargebackRow:
    """One cost centre in one currency."""

    cost_centre: str | None
    """None is what nobody pays."""
    currency: str
    numbers: Mapping[str, Decimal]
    """By :data:`NUMBERS`."""
    rate_cards: tuple[str, ...]
    """Versions of the cards that priced it."""


@dataclass(frozen=True, slots=True)
class TypeRow:
    """What became of the GPUs of one type."""

    gpu_type: str
    hours: Mapping[str, Decimal]
    """By :data:`TYPE_HOURS`."""


@dataclass(frozen=True, slots=True)
class Chargeback:
    """What of ``[start, end)`` (aware UTC) each cost centre owes."""

    start: datetime
    end: datetime
    complete_until: datetime
    """Before this instant the ledger is closed; ``end`` where nothing can change any more."""
    capacity_known_from: datetime | None
    """Since when it is known what there was; None while nothing is."""
    shares: tuple[tuple[str, Share], ...]
    """Version of each card that was in force, and who pays by it for what nobody held."""
    rows: tuple[ChargebackRow, ...]
    """In order of currency and cost centre; what nobody pays is the last of its currency."""
    totals: tuple[ChargebackRow, ...]
    """One of each currency, without cost centre."""
    gpu_types: tuple[TypeRow, ...]


def with_idle_prices(cards: Iterable[RateCard]) -> tuple[RateCard, ...]:
    """Return cards that charge the same and part used from idle time everywhere: what has no price for idle GPUs gets that of used ones."""
    return tuple(card if ANY_GPU_TYPE in card.idle_gpu_hour else replace(card, idle_gpu_hour={**card.gpu_hour, **card.idle_gpu_hour}) for card in cards)


@dataclass(slots=True)
class _Row:
    time: dict[tuple[str, Decimal, Decimal, int], int] = field(default_factory=lambda: defaultdict(int))
    """Whole unit-microseconds by what it is, list price, price, and what the price is for."""
    unallocated_hours: Fraction = Fraction(0)
    unallocated_cost: Fraction = Fraction(0)
    credits: Fraction = Fraction(0)
    cards: set[str] = field(default_factory=set)

    def add(self, charge: Charged) -> None:
        self.time[_GPU_SKUS.get(charge.sku, "other"), charge.list_price, charge.price, charge.period_microseconds] += charge.unit_microseconds
        self.cards.add(charge.rate_card)

    def numbers(self) -> dict[str, Fraction]:
        found = dict.fromkeys(NUMBERS, Fraction(0))
        for (kind, list_price, price, period), time in self.time.items():
            quantity = Fraction(time, period)
            found[f"{kind}_cost"] += quantity * Fraction(list_price)
            found["discount"] += quantity * Fraction(list_price - price)
            if kind != "other":
                found[f"{kind}_gpu_hours"] += quantity
        found["unallocated_gpu_hours"], found["unallocated_cost"] = self.unallocated_hours, self.unallocated_cost
        found["credits"] = self.credits
        return found


class _Ledger:
    """What was read so far, by cost centre and currency, and by GPU type."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str | None, str], _Row] = defaultdict(_Row)
        self.types: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(HOURS, 0))
        self.held: dict[str, dict[str, dict[Decimal, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
        """GPU-microseconds by currency, cost centre and list price."""

    def add(self, charge: Charged) -> None:
        self.rows[charge.cost_centre, charge.currency].add(charge)
        held = self.held[charge.currency][charge.cost_centre]
        if charge.sku in _GPU_SKUS:
            held[charge.list_price] += charge.unit_microseconds
            self.types[charge.gpu_type or ANY_GPU_TYPE][f"{_GPU_SKUS[charge.sku]}_gpu_hours"] += charge.unit_microseconds

    def held_cost(self, currency: str) -> dict[str, Fraction]:
        """Return what the GPU time of each cost centre costs in the whole span, without discounts."""
        return {name: sum((time * Fraction(price) for price, time in times.items()), Fraction(0)) for name, times in self.held[currency].items()}

    def spread(self, spare: Spare) -> None:
        """Give each cost centre its part of what nobody held."""
        self.types[spare.gpu_type]["unallocated_gpu_hours"] += spare.gpu_microseconds
        hours = Fraction(spare.gpu_microseconds, MICROSECONDS_PER_HOUR)
        cost = hours * Fraction(price_of(spare.card, spare.gpu_type))
        for name, part in parts(spare.card.unallocated, self.held_cost(spare.card.currency)).items():
            row = self.rows[name, spare.card.currency]
            row.unallocated_hours += hours * part
            row.unallocated_cost += cost * part
            row.cards.add(spare.card.version)


def chargeback(  # noqa: PLR0913  what it is of, by name
    charges: Iterable[Charged],
    spare: Iterable[Spare],
    cards: Sequence[RateCard],
    payments: Iterable[Payment] = (),
    *,
    start: datetime,
    end: datetime,
    complete_until: datetime,
    capacity_known_from: datetime | None,
) -> Chargeback:
    """Return what each cost centre owes. Memory grows with cost centres, prices and GPU types, not with the charges.

    Parameters
    ----------
    charges
        Priced by :func:`with_idle_prices`, in any order, or sums of them.
    spare
        What nobody held, by GPU type and card; read after the charges.
    cards
        Those that were in force in the span, in order.
    payments
        What credits paid of the charges; read after them.
    """
    ledger = _Ledger()
    for charge in charges:
        ledger.add(charge)
    for each in spare:
        if each.gpu_microseconds:
            ledger.spread(each)
    for payment in payments:
        ledger.rows[payment.charge.cost_centre, payment.charge.currency].credits += payment.amount
    rows = _rows(ledger.rows)
    return Chargeback(
        start=start,
        end=end,
        complete_until=min(complete_until, end),
        capacity_known_from=capacity_known_from,
        shares=tuple((card.version, card.unallocated.share) for card in cards),
        rows=rows,
        totals=_totals(rows),
        gpu_types=_types(ledger.types),
    )


def _rows(found: Mapping[tuple[str | None, str], _Row]) -> tuple[ChargebackRow, ...]:
    """Round by the largest remainder, column by column and currency by currency, so that rows and totals agree."""
    order = sorted(found, key=lambda key: (key[1], key[0] is None, key[0] or ""))
    rows: list[ChargebackRow] = []
    for currency in dict.fromkeys(key[1] for key in order):
        mine = [key for key in order if key[1] == currency]
        exact = [found[key].numbers() for key in mine]
        columns = {name: apportion([numbers[name] for numbers in exact], PLACES) for name in NUMBERS}
        for place, key in enumerate(mine):
            numbers = {name: column[place] for name, column in columns.items()}
            used, idle, other, discount, unallocated = (numbers[name] for name in COSTS[:5])
            numbers["total"] = used + idle + other - discount + unallocated
            numbers["net_total"] = numbers["total"] - numbers["credits"]
            rows.append(ChargebackRow(key[0], currency, numbers, tuple(sorted(found[key].cards))))
    return tuple(rows)


def _totals(rows: Sequence[ChargebackRow]) -> tuple[ChargebackRow, ...]:
    found = []
    for currency in dict.fromkeys(row.currency for row in rows):
        mine = [row for row in rows if row.currency == currency]
        numbers = {name: sum((row.numbers[name] for row in mine), Decimal(0)) for name in NUMBERS}
        found.append(ChargebackRow(None, currency, numbers, tuple(sorted({card for row in mine for card in row.rate_cards}))))
    return tuple(found)


def _types(found: Mapping[str, Mapping[str, int]]) -> tuple[TypeRow, ...]:
    order = sorted(found)
    columns = {name: apportion([Fraction(found[each][name], MICROSECONDS_PER_HOUR) for each in order], PLACES) for name in HOURS}
    rows = []
    for place, gpu_type in enumerate(order):
        hours = {name: columns[name][place] for name in HOURS}
        rows.append(TypeRow(gpu_type, {"total_gpu_hours": sum(hours.values(), Decimal(0)), **hours}))
    return tuple(rows)
