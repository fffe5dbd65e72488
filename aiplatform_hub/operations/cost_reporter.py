"""Usage and costs of a span: sums by the database, prices by the domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from aiplatform_hub.domain.activity import Activity
from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.costs import price_of_time, round_amount
from aiplatform_hub.domain.rates import boundaries, card_at, split
from aiplatform_hub.domain.report_spans import BucketSize, bucket_key
from aiplatform_hub.errors import InvalidOptionError, Reason
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
    """Cost, rounded half-even to 6 places; None in a usage report."""
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
    numerator: Decimal = Decimal(0)

    def add(self, one: Sum, numerator: Decimal) -> None:
        self.gpu += one.gpu_microseconds
        self.session += one.session_microseconds
        self.estimated += one.estimated_microseconds
        self.intervals += one.intervals
        self.numerator += numerator

    def add_activity(self, one: Sum) -> None:
        """Add used or idle time. Where statements see different moments, as on PostgreSQL, it is never more than the whole."""
        time = min(one.gpu_microseconds, self.gpu - self.used - self.idle)
        if one.keys[ACTIVITY] == Activity.USED.value:
            self.used += time
        else:
            self.idle += time


_Key = tuple[tuple[tuple[str, Any], ...], str | None]


class CostReporter:
    """Answers *who used what, and what does it cost*. Reads only."""

    def __init__(
        self, *, database: Database, cards: Callable[[], Sequence[RateCard]], sums: UsageSums, activity: ActivitySums, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._cards = cards
        self._sums = sums
        self._activity = activity
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
        with self._database.read() as connection:
            for one in self._sums.sums(connection, _sum_query(query, is_priced=False)):
                groups.setdefault((_keys(query, one), None), _Group()).add(one, Decimal(0))
            self._add_activity(connection, query, None, groups)
            complete_until = self._sums.complete_until(connection, self._clock())
        return _report(query, groups, complete_until, ())

    def costs(self, query: UsageQuery) -> Report:
        """Return metered time with its price by the rate cards in force; split where the card changes.

        Raises
        ------
        InvalidOptionError, ServiceUnavailableError
            As :meth:`usage`.
        """
        _check(query)
        groups: dict[_Key, _Group] = {}
        cards: dict[str, RateCard] = {}
        known = self._cards()
        with self._database.read() as connection:
            for start, end in split(query.start, query.end, boundaries(known, query.start, query.end)):
                card = card_at(known, start)
                cards[card.version] = card
                segment = replace(query, start=start, end=end)
                for one in self._sums.sums(connection, _sum_query(segment, is_priced=True)):
                    key = (_keys(query, one), card.currency)
                    groups.setdefault(key, _Group()).add(one, _numerator(one, card))
                self._add_activity(connection, segment, card.currency, groups)
            complete_until = self._sums.complete_until(connection, self._clock())
        return _report(query, groups, complete_until, tuple(cards))

    def _add_activity(self, connection: Connection, query: UsageQuery, currency: str | None, groups: dict[_Key, _Group]) -> None:
        for one in self._activity.sums(connection, _sum_query(query, is_priced=False)):
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


def _sum_query(query: UsageQuery, *, is_priced: bool) -> SumQuery:
    columns = tuple(name for name in query.group_by if name in COLUMNS)
    by_day = any(name in _TIMES for name in query.group_by)
    return SumQuery(query.start, query.end, columns, query.filters, by_day, is_priced)


def _keys(query: UsageQuery, one: Sum) -> tuple[tuple[str, Any], ...]:
    return tuple((name, _key(name, one)) for name in query.group_by)


def _key(name: str, one: Sum) -> Any:
    size = _TIMES.get(name)
    return one.keys[name] if size is None else bucket_key(one.keys["day"].date(), size)


def _numerator(one: Sum, card: RateCard) -> Decimal:
    """Return price × microseconds: exact, divided only when a report is written."""
    if one.is_free:
        return Decimal(0)
    if one.gpu_type is None:
        return card.cpu_only_hour * one.session_microseconds
    return price_of_time(card, one.gpu_type) * one.gpu_microseconds


def _report(query: UsageQuery, groups: Mapping[_Key, _Group], complete_until: datetime, versions: tuple[str, ...]) -> Report:
    totals: dict[str | None, _Group] = {}
    rows = []
    for (keys, currency), group in sorted(groups.items(), key=lambda item: [str(value) for _, value in item[0][0]] + [item[0][1] or ""]):
        rows.append(_row(dict(keys), currency, group))
        total = totals.setdefault(currency, _Group())
        for name in ("gpu", "session", "estimated", "intervals", "used", "idle", "numerator"):
            setattr(total, name, getattr(total, name) + getattr(group, name))
    return Report(
        start=query.start,
        end=query.end,
        complete_until=complete_until,
        rows=tuple(rows),
        totals=tuple(_row({}, currency, total) for currency, total in totals.items()),
        rate_card_versions=versions,
    )


def _row(keys: Mapping[str, Any], currency: str | None, group: _Group) -> ReportRow:
    return ReportRow(
        keys=keys,
        gpu_seconds=Decimal(group.gpu) / 1_000_000,
        session_seconds=Decimal(group.session) / 1_000_000,
        estimated_seconds=Decimal(group.estimated) / 1_000_000,
        intervals=group.intervals,
        used_gpu_seconds=Decimal(group.used) / 1_000_000,
        idle_gpu_seconds=Decimal(group.idle) / 1_000_000,
        unknown_gpu_seconds=Decimal(group.gpu - group.used - group.idle) / 1_000_000,
        amount=None if currency is None else round_amount(group.numerator),
        currency=currency,
    )
