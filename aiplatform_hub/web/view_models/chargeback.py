"""Chargeback: what each cost centre owes for a month, and what one of them was charged for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from urllib.parse import urlencode

from aiplatform_hub.domain.catalog import Catalog, Share
from aiplatform_hub.domain.chargeback import Chargeback, ChargebackRow, TypeRow
from aiplatform_hub.domain.rates import next_month
from aiplatform_hub.web.view_models.formats import Stamp, money, stamp
from aiplatform_hub.web.view_models.labels import gpu_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import Problem
from aiplatform_hub.web.view_models.usage import Link, UsageRow

_SHARES = {
    Share.NONE: "Nobody pays for GPUs that no session held: they are a line of their own.",
    Share.EVENLY: "What no session held is shared evenly among the cost centres.",
    Share.PROPORTIONALLY: "What no session held is shared in proportion to what each cost centre's GPU time costs without discounts.",
}
_TENTH = Decimal("0.1")
ADMIN, BILLING = "admin", "billing"
"""Pages that it stands below."""


@dataclass(frozen=True, slots=True)
class CentreRow:
    """One cost centre, or a total."""

    title: str
    note: str
    """How it is named in files, where that is another word."""
    used: str
    idle: str
    other: str
    discount: str
    unallocated: str
    total: str
    credits: str
    net: str
    """What credits leave to pay."""
    hours: str
    """GPU-hours used, idle and unallocated, in words."""
    url: str
    """What it was charged for; empty for a total, and for what nobody pays."""


@dataclass(frozen=True, slots=True)
class TypeHours:
    """What became of the GPUs of one type."""

    title: str
    total: str
    used: str
    idle: str
    unallocated: str


@dataclass(frozen=True, slots=True)
class ChargebackPage:
    """What the page shows."""

    month: str
    heading: str
    previous_url: str
    next_url: str
    """Empty where the next month has not begun."""
    csv_url: str
    rows: tuple[CentreRow, ...] = ()
    totals: tuple[CentreRow, ...] = ()
    gpu_types: tuple[TypeHours, ...] = ()
    notes: tuple[str, ...] = ()
    complete_until: Stamp | None = None
    """None where the month is complete."""
    known_from: Stamp | None = None
    """Where what there was is not known for the whole month: since when it is."""
    is_capacity_known: bool = True
    rate_cards: str = ""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class CentrePart:
    """What a cost centre was charged for, by one thing."""

    name: str
    label: str
    rows: tuple[UsageRow, ...]


@dataclass(frozen=True, slots=True)
class CentrePage:
    """One cost centre in one month."""

    title: str
    heading: str
    back_url: str
    parts: tuple[CentrePart, ...]
    documents: tuple[Link, ...]
    complete_until: Stamp | None
    """None where the month is complete."""


def refused_page(month: str, problem: Problem, paths: Paths, *, place: str = ADMIN) -> ChargebackPage:
    """Return the page for a month that is none, or has not begun."""
    return ChargebackPage(month=month, heading="", previous_url="", next_url="", csv_url=_url(paths, "", place), problem=problem)


def chargeback_page(found: Chargeback, catalog: Catalog, paths: Paths, *, is_latest: bool, place: str = ADMIN) -> ChargebackPage:
    """Return a month, worded.

    Parameters
    ----------
    is_latest
        Whether no later month has begun.
    place
        Below which page it stands.
    """
    month = f"{found.start:%Y-%m}"
    cards = [version for version, _ in found.shares]
    return ChargebackPage(
        month=month,
        heading=f"{found.start:%B %Y}",
        previous_url=_url(paths, f"{found.start - timedelta(days=1):%Y-%m}", place),
        next_url="" if is_latest else _url(paths, f"{next_month(found.start):%Y-%m}", place),
        csv_url=f"{paths.platform}{place}/chargeback.csv?{urlencode({'month': month})}",
        rows=tuple(_row(row, catalog, url=centre_url(paths, month, row.cost_centre)) for row in found.rows),
        totals=tuple(_row(row, catalog, title="Total") for row in found.totals),
        gpu_types=tuple(_hours(row, catalog) for row in found.gpu_types),
        notes=_notes(found),
        complete_until=stamp(found.complete_until) if found.complete_until < found.end else None,
        known_from=stamp(found.capacity_known_from) if found.capacity_known_from is not None and found.start < found.capacity_known_from else None,
        is_capacity_known=found.capacity_known_from is not None and found.capacity_known_from < found.end,
        rate_cards=", ".join(dict.fromkeys(cards)),
    )


def centre_url(paths: Paths, month: str, cost_centre: str | None) -> str:
    """Return where it stands what a cost centre was charged for; empty for none."""
    return f"{paths.platform}{BILLING}/chargeback/centre?{urlencode({'month': month, 'name': cost_centre})}" if cost_centre else ""


def _url(paths: Paths, month: str, place: str) -> str:
    return f"{paths.platform}{place}/chargeback" + (f"?{urlencode({'month': month})}" if month else "")


def _notes(found: Chargeback) -> tuple[str, ...]:
    """Return who pays for what nobody held; card by card where the cards differ."""
    if len({share for _, share in found.shares}) < 2:  # noqa: PLR2004  all the same
        return tuple(dict.fromkeys(_SHARES[share] for _, share in found.shares))
    return tuple(f"By the rate card {version}: {_SHARES[share]}" for version, share in found.shares)


def _row(row: ChargebackRow, catalog: Catalog, *, title: str = "", url: str = "") -> CentreRow:
    numbers, currency = row.numbers, row.currency
    centre = catalog.cost_centres.get(row.cost_centre or "")
    name = row.cost_centre or ("" if title else "Nobody pays it")
    label = title or (centre.display_name if centre else name)
    hours = (
        f"{_number(numbers['used_gpu_hours'])} h used, {_number(numbers['idle_gpu_hours'])} h idle, {_number(numbers['unallocated_gpu_hours'])} h unallocated"
    )
    return CentreRow(
        title=label,
        note=name if name not in {"", label} else "",
        used=money(numbers["used_cost"], currency),
        idle=money(numbers["idle_cost"], currency),
        other=money(numbers["other_cost"], currency),
        discount=money(-numbers["discount"], currency) if numbers["discount"] else money(Decimal(0), currency),
        unallocated=money(numbers["unallocated_cost"], currency),
        total=money(numbers["total"], currency),
        credits=money(-numbers["credits"], currency) if numbers["credits"] else money(Decimal(0), currency),
        net=money(numbers["net_total"], currency),
        hours=hours,
        url=url,
    )


def _hours(row: TypeRow, catalog: Catalog) -> TypeHours:
    names = ("total_gpu_hours", "used_gpu_hours", "idle_gpu_hours", "unallocated_gpu_hours")
    total, used, idle, unallocated = (_number(row.hours[name]) for name in names)
    return TypeHours(gpu_label(catalog, row.gpu_type) or row.gpu_type, total, used, idle, unallocated)


def _number(hours: Decimal) -> str:
    return f"{hours.quantize(_TENTH, ROUND_HALF_EVEN):,}"
