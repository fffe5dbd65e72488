"""Remembers sums over intervals that have closed: those never change, so a question that comes again reads only what closed since."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, select

from aiplatform_hub.storage.schema import usage_intervals as intervals

if TYPE_CHECKING:
    from aiplatform_hub.storage.usage_sums import Sum, SumQuery

MOST_KEPT = 64
"""So many questions are remembered, those asked last."""
VERSIONS = 3
"""So many states of each: a transaction that began earlier sees fewer rows than another has remembered."""
EVER = datetime(9999, 1, 1, tzinfo=UTC)
"""The end of a span that cuts nothing off."""

_LATEST_END = select(func.max(intervals.c.ended_at)).scalar_subquery()
_HEAD = (
    select(intervals.c.sequence, intervals.c.hash, _LATEST_END.label("latest_end"))
    .where(intervals.c.sequence.is_not(None))
    .order_by(intervals.c.sequence.desc())
    .limit(1)
)
_HASH = select(intervals.c.hash).where(intervals.c.sequence == bindparam("of"))

Read = Callable[[Connection, "SumQuery", tuple[ColumnElement[bool], ...]], "list[Sum]"]
"""Reads the sums of the closed intervals that meet some more conditions."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Sums over every row of the chain up to one."""

    sequence: int
    hash: str
    """Of that row: in another database, or one put back from a backup, it is another."""
    sums: tuple[Sum, ...]


class ClosedSums:
    """Gives the sums of closed intervals. May be asked from several threads.

    Rows close in the order of the chain and never change afterwards, so that sums up to one row of it stay right for ever.
    Questions about one person or one session read few rows and are not remembered.

    Parameters
    ----------
    read
        Asks the database.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._known: OrderedDict[object, tuple[_Known, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def sums(self, connection: Connection, query: SumQuery) -> list[Sum]:
        """Return them as the transaction sees them."""
        if _is_narrow(query):
            return self._read(connection, query, ())
        head = connection.execute(_HEAD).one_or_none()
        if head is None:
            return self._read(connection, query, ())
        if head.latest_end <= query.end:
            query = replace(query, end=EVER)  # "until now" is the same question each time
        key, upto = _key(query), intervals.c.sequence + 0 <= head.sequence  # no reason to read by this column
        before = self._before(connection, key, head.sequence, head.hash)
        if before is None:
            found = tuple(self._read(connection, query, (upto,)))
        elif before.sequence == head.sequence:
            return list(before.sums)
        else:
            found = merged((*before.sums, *self._read(connection, query, (_between(before.sequence, head.sequence),))))
        self._remember(key, _Known(head.sequence, head.hash, found))
        return list(found)

    def _before(self, connection: Connection, key: object, sequence: int, hash_: str) -> _Known | None:
        """Return the newest that is remembered and within what the transaction sees."""
        with self._lock:
            known = next((each for each in self._known.get(key, ()) if each.sequence <= sequence), None)
        if known is None:
            return None
        hash_then = hash_ if known.sequence == sequence else connection.execute(_HASH, {"of": known.sequence}).scalar_one_or_none()
        return known if known.hash == hash_then else None

    def _remember(self, key: object, known: _Known) -> None:
        with self._lock:
            others = [each for each in self._known.pop(key, ()) if each.sequence != known.sequence]
            newest_first = sorted((known, *others), key=lambda each: each.sequence, reverse=True)
            self._known[key] = tuple(newest_first[:VERSIONS])
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)


def merged(sums: Iterable[Sum]) -> tuple[Sum, ...]:
    """Return one sum for each group."""
    found: dict[object, Sum] = {}
    for one in sums:
        key = tuple(one.keys.values())
        other = found.get(key)
        found[key] = one if other is None else _added(one, other)
    return tuple(found.values())


def _added(one: Sum, other: Sum) -> Sum:
    return replace(
        one,
        gpu_microseconds=one.gpu_microseconds + other.gpu_microseconds,
        session_microseconds=one.session_microseconds + other.session_microseconds,
        estimated_microseconds=one.estimated_microseconds + other.estimated_microseconds,
        intervals=one.intervals + other.intervals,
    )


def _is_narrow(query: SumQuery) -> bool:
    return not {"user", "allocation"}.isdisjoint(query.filters) or "allocation" in query.group_by


def _between(after: int, upto: int) -> ColumnElement[bool]:
    """Return the condition of few rows of the chain; as a list of ids, because by the chain alone no planner reads when a span of time is given, too."""
    return intervals.c.id.in_(select(intervals.c.id).where(intervals.c.sequence > after, intervals.c.sequence <= upto))


def _key(query: SumQuery) -> Any:
    return query.start, query.end, tuple(query.group_by), tuple(sorted(query.filters.items())), query.by_day
