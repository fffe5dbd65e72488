"""Usage and costs of a span: time as the database sums it, money as it is charged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from aiplatform_hub.domain.activity import Activity
from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charge_report import KEYS, PLACES
from aiplatform_hub.domain.charge_sums import Charged, ChargeSum
from aiplatform_hub.domain.charges import GPU_SKUS
from aiplatform_hub.domain.rates import boundaries, card_at, split
from aiplatform_hub.domain.report_spans import BucketSize, bucket_key
from aiplatform_hub.domain.rounding import apportion
from aiplatform_hub.errors import InvalidOptionError, Reason
from aiplatform_hub.operations.charge_sums import ChargedSpan, ChargeSumReader
from aiplatform_hub.storage.activity_sums import ACTIVITY, ActivitySums
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.usage_sums import COLUMNS, Sum, SumQuery, UsageSums

GROUPS = (*(name for name in COLUMNS if name != "allocation"), "allocation", "day", "week", "month")
"""What a report can be grouped by."""

_TIMES: Mapping[str, BucketSize] = {"day": "day", "week": "week", "month": "month"}


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """A report's question: a half-open span ``[start, end)`` in aware UTC, grouping and filters."""

    start: datetime
    end: datetime
    group_by: tuple[str, ...] = ()
    filters: Mapping[str, Any] = field(default_factory=dict)
    """Value by group name, ``day``, ``week`` and ``month`` excepted; a frozen set means any of its values."""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One group. Seconds are exact to the microsecond."""

    keys: Mapping[str, Any]
    gpu_seconds: Decimal
    session_seconds: Decimal
    estimated_seconds: Decimal
    """The part of ``session_seconds`` whose end nobody saw."""
    intervals: int
    amount: Decimal | None = None
    """Cost, rounded to 6 places so that rows add up; None in a usage report."""
    currency: str | None = None
    used_gpu_seconds: Decimal = Decimal(0)
    """The part of ``gpu_seconds`` in which the session's GPUs were used, …"""
    idle_gpu_seconds: Decimal = Decimal(0)
    """… in which all of them were idle, …"""
    unknown_gpu_seconds: Decimal = Decimal(0)
    """… and of which neither is known. The three are the whole."""


@dataclass(frozen=True, slots=True)
class Report:
    """Rows in order of their keys, with the total of each currency as a row without keys."""

    start: datetime
    end: datetime
    complete_until: datetime
    """Before this instant the ledger is closed; later seconds may still grow."""
    rows: tuple[ReportRow, ...]
    totals: tuple[ReportRow, ...]
    rate_card_versions: tuple[str, ...] = ()


@dataclass(slots=True)
class _Group:
    gpu: int = 0
    session: int = 0
    estimated: int = 0
    intervals: int = 0
    used: int = 0
    idle: int = 0
    cost: Fraction = Fraction(0)

    def add_time(self, one: Sum) -> None:
        self.gpu += one.gpu_microseconds
        self.session += one.session_microseconds
        self.estimated += one.estimated_microseconds

    def charge(self, one: Charged) -> None:
        """Add what was charged, and the time that it was charged for."""
        if one.sku in GPU_SKUS:
            self.gpu += one.unit_microseconds
        self.session += one.session_microseconds
        self.estimated += one.estimated_microseconds
        self.cost += Fraction(one.unit_microseconds, one.period_microseconds) * Fraction(one.price)

    def add_activity(self, one: Sum) -> None:
        """Add used or idle time. Where the time itself was moved elsewhere, it is never more than the whole."""
        time = max(0, min(one.gpu_microseconds, self.gpu - self.used - self.idle))
        if one.keys[ACTIVITY] == Activity.USED.value:
            self.used += time
        else:
            self.idle += time


_Key = tuple[tuple[tuple[str, Any], ...], str | None]


class CostReporter:
    """Answers *who used what, and what does it cost*. Reads only."""

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        *,
        database: Database,
        cards: Callable[[], Sequence[RateCard]],
        sums: UsageSums,
        activity: ActivitySums,
        charge_sums: ChargeSumReader,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._cards = cards
        self._sums = sums
        self._activity = activity
        self._charge_sums = charge_sums
        self._clock = clock

    def usage(self, query: UsageQuery) -> Report:
        """Return metered time, failed starts included.

        Raises
        ------
        InvalidOptionError
            If the span is empty or a group or filter is unknown.
        ServiceUnavailableError
            If the database does not answer.
        """
        _check(query)
        groups: dict[_Key, _Group] = {}
        with self._database.snapshot() as connection:
            for one in self._sums.sums(connection, _sum_query(query)):
                group = groups.setdefault((_keys(query, one), None), _Group())
                group.add_time(one)
                group.intervals += one.intervals
            self._add_activity(connection, query, None, groups)
            complete_until = self._sums.complete_until(connection, self._clock())
        return _report(query, groups, complete_until, ())

    def costs(self, query: UsageQuery) -> Report:
        """Return what was charged, with the time that it was charged for: the same money as in every report and on invoices.

        Raises
        ------
        InvalidOptionError, ServiceUnavailableError
            As :meth:`usage`.
        """
        return self.costs_together((query,))[0]

    def costs_together(self, queries: Sequence[UsageQuery]) -> tuple[Report, ...]:
        """As :meth:`costs` for several, all of the same moment.

        Raises
        ------
        InvalidOptionError, ServiceUnavailableError
            As :meth:`usage`.
        """
        for query in queries:
            _check(query)
        known = self._cards()
        with self._database.snapshot() as connection:
            return tuple(self._costs(connection, query, known) for query in queries)

    def _costs(self, connection: Connection, query: UsageQuery, known: Sequence[RateCard]) -> Report:
        groups: dict[_Key, _Group] = {}
        cards: dict[str, RateCard] = {}
        for charged in self._charge_sums.charged(connection, ChargedSpan(query.start, query.end, query.group_by, query.filters)):
            groups.setdefault((_charged_keys(query, charged), charged.currency), _Group()).charge(charged)
        for start, end in split(query.start, query.end, boundaries(known, query.start, query.end)):
            card = card_at(known, start)
            cards[card.version] = card
            segment = replace(query, start=start, end=end)
            for one in self._sums.sums(connection, _sum_query(segment)):
                groups.setdefault((_keys(query, one), card.currency), _Group()).intervals += one.intervals
            self._add_activity(connection, segment, card.currency, groups)
        complete_until = self._sums.complete_until(connection, self._clock())
        left = {key: group for key, group in groups.items() if group.intervals or group.session or group.cost}  # not what was moved away
        return _report(query, left, complete_until, tuple(cards))

    def _add_activity(self, connection: Connection, query: UsageQuery, currency: str | None, groups: dict[_Key, _Group]) -> None:
        for one in self._activity.sums(connection, _sum_query(query)):
            groups.setdefault((_keys(query, one), currency), _Group()).add_activity(one)


def _check(query: UsageQuery) -> None:
    if query.start >= query.end:
        raise _invalid("from", f"The span is empty: it begins at {query.start:%Y-%m-%dT%H:%M:%SZ} and ends at {query.end:%Y-%m-%dT%H:%M:%SZ}.", ())
    for name in query.group_by:
        if name not in GROUPS:
            raise _invalid("group_by", f"There is no group {name!r}; use one of {', '.join(GROUPS)}.", GROUPS)
    for name in query.filters:
        if name not in COLUMNS:
            raise _invalid(name, f"There is no filter {name!r}; use one of {', '.join(COLUMNS)}.", tuple(COLUMNS))


def _invalid(option: str, message: str, allowed: Sequence[str]) -> InvalidOptionError:
    return InvalidOptionError(message, (Reason("invalid_option", message, field=option, allowed=tuple(allowed)),))


def _sum_query(query: UsageQuery) -> SumQuery:
    columns = tuple(name for name in query.group_by if name in COLUMNS)
    return SumQuery(query.start, query.end, columns, query.filters, by_day=any(name in _TIMES for name in query.group_by))


def _keys(query: UsageQuery, one: Sum) -> tuple[tuple[str, Any], ...]:
    return tuple((name, _key(name, one)) for name in query.group_by)


def _key(name: str, one: Sum) -> Any:
    size = _TIMES.get(name)
    return one.keys[name] if size is None else bucket_key(one.keys["day"].date(), size)


def _charged_keys(query: UsageQuery, charged: Charged) -> tuple[tuple[str, Any], ...]:
    return tuple((name, _charged_key(name, charged)) for name in query.group_by)


def _charged_key(name: str, charged: Charged) -> Any:
    if name in KEYS:
        return KEYS[name](charged)
    return None if isinstance(charged, ChargeSum) else charged.allocation_id


def _report(query: UsageQuery, groups: Mapping[_Key, _Group], complete_until: datetime, versions: tuple[str, ...]) -> Report:
    totals: dict[str | None, _Group] = {}
    order = sorted(groups, key=lambda key: [str(value) for _, value in key[0]] + [key[1] or ""])
    amounts = _amounts(groups)
    rows = []
    for key in order:
        rows.append(_row(dict(key[0]), key[1], groups[key], amounts[key]))
        total = totals.setdefault(key[1], _Group())
        for name in ("gpu", "session", "estimated", "intervals", "used", "idle", "cost"):
            setattr(total, name, getattr(total, name) + getattr(groups[key], name))
    return Report(
        start=query.start,
        end=query.end,
        complete_until=complete_until,
        rows=tuple(rows),
        totals=tuple(_row({}, currency, total, apportion([total.cost], PLACES)[0]) for currency, total in totals.items()),
        rate_card_versions=versions,
    )


def _amounts(groups: Mapping[_Key, _Group]) -> dict[_Key, Decimal]:
    """Round as reports do: rows add up to the total of their currency, digit by digit."""
    order = sorted(groups, key=lambda key: (key[1] or "", [str(value or "") for _, value in key[0]]))
    found: dict[_Key, Decimal] = {}
    for currency in dict.fromkeys(key[1] for key in order):
        mine = [key for key in order if key[1] == currency]
        found |= zip(mine, apportion([groups[key].cost for key in mine], PLACES), strict=True)
    return found


def _row(keys: Mapping[str, Any], currency: str | None, group: _Group, amount: Decimal) -> ReportRow:
    return ReportRow(
        keys=keys,
        gpu_seconds=Decimal(group.gpu) / 1_000_000,
        session_seconds=Decimal(group.session) / 1_000_000,
        estimated_seconds=Decimal(group.estimated) / 1_000_000,
        intervals=group.intervals,
        used_gpu_seconds=Decimal(group.used) / 1_000_000,
        idle_gpu_seconds=Decimal(group.idle) / 1_000_000,
        unknown_gpu_seconds=Decimal(group.gpu - group.used - group.idle) / 1_000_000,
        amount=None if currency is None else amount,
        currency=currency,
    )
