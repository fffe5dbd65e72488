"""Time of sessions that are priced alike, added up by the database in whole microseconds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, and_, case, func, literal, select

from aiplatform_hub.domain.activity import Activity
from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.charges import Spans
from aiplatform_hub.domain.session_time import NO_HOURS, HourlyTime, SessionTime, TimeGroup
from aiplatform_hub.domain.units import GIB, from_microseconds, to_microseconds
from aiplatform_hub.storage.charged_use import FILTERS
from aiplatform_hub.storage.numbers import greatest, least, number, whole
from aiplatform_hub.storage.schema import activity_intervals as activities
from aiplatform_hub.storage.schema import allocations
from aiplatform_hub.storage.schema import usage_intervals as intervals
from aiplatform_hub.storage.usage_sums import Span, closed_span, open_span

_HAS_GPUS, _IS_FREE = 1, 2
_STATES = case((intervals.c.gpus > 0, _HAS_GPUS), else_=0) + case((intervals.c.end_cause == EndCause.START_FAILED.value, _IS_FREE), else_=0)
"""One number, because what is grouped by fewer columns is grouped sooner."""
_ANY_IDLE = select(activities.c.id).where(activities.c.activity == Activity.IDLE.value).limit(1)

_FIRST = select(func.min(number(intervals.c.started_at)))
_LAST = select(func.max(number(intervals.c.ended_at)))
_SEEN = select(func.max(func.coalesce(number(intervals.c.last_seen_at), number(intervals.c.started_at)))).where(intervals.c.ended_at.is_(None))

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class TimeQuery:
    """A half-open span in aware UTC that lies within one rate card, with grouping, filters and what its prices depend on."""

    start: datetime
    end: datetime
    columns: Collection[str] = ()
    """Names among ``cost_centre``, ``project``, ``user``, ``environment_template``; the others are left empty. GPU types are kept apart in any case."""
    filters: Mapping[str, Any] = field(default_factory=dict)
    off_peak: Spans = ()
    """Disjoint spans within the span, in order."""
    has_idle: bool = False
    """Whether idle time matters; without it nobody looks for it."""
    has_tiers: bool = False
    """The same of tiers."""
    has_hardware: bool = False
    """The same of CPU cores and memory."""


class SessionTimeStore:
    """Adds up time. Idle spans of one session must not overlap."""

    def reach(self, connection: Connection) -> tuple[datetime, datetime] | None:
        """Return from when until when there are intervals, open ones up to their last proof of life; None where there are none."""
        first, last = connection.execute(_FIRST).scalar(), connection.execute(_LAST).scalar()
        seen = connection.execute(_SEEN).scalar()
        ends = [int(each) for each in (last, seen) if each is not None]
        return None if first is None else (from_microseconds(int(first)), from_microseconds(max(ends)))

    def groups(self, connection: Connection, query: TimeQuery) -> Iterator[TimeGroup]:
        """Yield the time of all intervals in groups; that of open ones, which count up to their last proof of life, apart."""
        has_idle = query.has_idle and connection.execute(_ANY_IDLE).first() is not None
        for span, chosen in (closed_span(query.start), open_span()):
            begun = span.start < to_microseconds(query.end)  # by the index alone: nothing is joined to what began later
            idle = dict(_read(connection, query, *_idle_part(span), chosen, begun)) if has_idle else {}
            for key, time in _read(connection, query, span, chosen):
                named = dict(zip(_keys(query), key, strict=True))
                states = named.pop("states")
                yield TimeGroup(has_gpus=bool(states & _HAS_GPUS), is_free=bool(states & _IS_FREE), time=time, idle=idle.get(key, NO_HOURS), **named)


def _idle_part(span: Span) -> tuple[Span, ColumnElement[bool]]:
    """Return what of the intervals of a span was idle, with the condition that joins the two."""
    ended = func.coalesce(number(activities.c.ended_at), number(activities.c.last_seen_at))
    part = Span(greatest(span.start, number(activities.c.started_at)), least(span.end, ended))
    is_idle = and_(activities.c.activity == Activity.IDLE.value, activities.c.allocation_id == intervals.c.allocation_id)
    return part, and_(is_idle, intervals.c.gpus > 0, part.start < part.end)


def _read(connection: Connection, query: TimeQuery, span: Span, *chosen: ColumnElement[bool]) -> Iterator[tuple[Key, HourlyTime]]:
    """Yield the sums of what lies inside the span of a query, by key."""
    pieces = _pieces(query, span).where(*chosen)
    found = (pieces.offset(0) if query.off_peak else pieces).subquery()  # a fence: what is costly is computed once for each row
    keys = [found.c[name] for name in _keys(query)]
    sums = [func.sum(amount) for part in _parts(query) for amount in _amounts(query, found.c, found.c[part])]
    for row in connection.execute(select(*keys, *sums).group_by(*keys)):
        values = tuple(row)
        amounts = [whole(value) for value in values[len(keys) :]]
        one = len(amounts) // len(_parts(query))
        yield values[: len(keys)], HourlyTime(*(SessionTime(*amounts[first : first + one]) for first in range(0, len(amounts), one)))


def _pieces(query: TimeQuery, span: Span) -> Select[Any]:
    start, end = to_microseconds(query.start), to_microseconds(query.end)
    low, high = greatest(span.start, start), least(span.end, end)
    parts = {"whole": high - low}
    if query.off_peak:
        parts["off_peak"] = _time_before(high, query.off_peak) - _time_before(low, query.off_peak)
    hardware = (intervals.c.cpu_cores, ((intervals.c.memory_bytes + (GIB - 1)) // GIB).label("memory_gib")) if query.has_hardware else ()
    columns = [column.label(name) for name, column in {**_keys(query), **parts}.items()]
    found = select(*columns, intervals.c.gpus, intervals.c.estimated, *hardware).where(span.start < end, span.end > start)
    if query.has_tiers:
        found = found.where(allocations.c.id == intervals.c.allocation_id)
    for name, value in query.filters.items():
        found = found.where(FILTERS[name].in_(value) if isinstance(value, frozenset) else FILTERS[name] == value)
    return found


def _keys(query: TimeQuery) -> dict[str, ColumnElement[Any]]:
    """Return what time is kept apart by, under the names that a group has for it."""
    groups = {"user_name" if name == "user" else name: FILTERS[name] for name in query.columns}
    tiers = {"tier": allocations.c.tier} if query.has_tiers else {}
    return {"states": _STATES, "gpu_type": intervals.c.gpu_type, **tiers, **groups}


def _parts(query: TimeQuery) -> tuple[str, ...]:
    return ("whole", "off_peak") if query.off_peak else ("whole",)


def _amounts(query: TimeQuery, columns: Any, time: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    """Return what is added up, in the order of the fields of :class:`SessionTime`."""
    hardware = (columns.cpu_cores * time, columns.memory_gib * time) if query.has_hardware else ()
    return (columns.gpus * time, time, case((columns.estimated, time), else_=0), *hardware)


def _time_before(instant: ColumnElement[Any], spans: Spans) -> ColumnElement[Any]:
    """Return how much of some spans lies before an instant: a search by halves, written as nested conditions."""
    steps: list[tuple[int, ColumnElement[Any]]] = [(0, literal(0, BigInteger))]
    passed = 0
    for start, end in ((to_microseconds(low), to_microseconds(high)) for low, high in spans):
        steps.append((start, instant - literal(start - passed, BigInteger)))
        passed += end - start
        steps.append((end, literal(passed, BigInteger)))
    return _searched(instant, steps)


def _searched(instant: ColumnElement[Any], steps: Sequence[tuple[int, ColumnElement[Any]]]) -> ColumnElement[Any]:
    if len(steps) == 1:
        return steps[0][1]
    middle = len(steps) // 2
    return case((instant < literal(steps[middle][0], BigInteger), _searched(instant, steps[:middle])), else_=_searched(instant, steps[middle:]))
