"""Sums of used and idle time within usage intervals, computed by the database in whole microseconds."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, and_, func, select

from aiplatform_hub.domain.activity import Activity
from aiplatform_hub.domain.units import to_microseconds
from aiplatform_hub.storage.closed_sums import ClosedSums
from aiplatform_hub.storage.moved_sums import corrected
from aiplatform_hub.storage.numbers import greatest, least, number
from aiplatform_hub.storage.schema import activity_intervals as activities
from aiplatform_hub.storage.schema import usage_intervals as intervals
from aiplatform_hub.storage.usage_sums import COLUMNS, Span, Sum, SumQuery, closed_span, open_span, sum_statement, sums_of

ACTIVITY = "activity"
"""Key of a sum that says what the GPUs did: ``used`` or ``idle``. What is neither is not known."""

_COLUMNS = {**COLUMNS, ACTIVITY: activities.c.activity}
_ANY = select(activities.c.id).limit(1)
_KNOWN = activities.c.activity.in_([Activity.USED.value, Activity.IDLE.value])


class ActivitySums:
    """Grouped sums over the intervals of activity, clipped to the usage intervals of their sessions."""

    def __init__(self) -> None:
        self._closed = ClosedSums(_read_closed)

    def sums(self, connection: Connection, query: SumQuery) -> list[Sum]:
        """Return the sums of used and of idle time, in the groups of the query and apart by :data:`ACTIVITY`."""
        if connection.execute(_ANY).first() is None:
            return []  # as in every cluster; the join would read the whole ledger for nothing
        asked = replace(query, group_by=(*query.group_by, ACTIVITY))
        found = [*self._closed.sums(connection, asked), *_read(connection, asked, *open_span(), ())]
        return corrected(connection, asked, found, lambda wanted: _read_closed(connection, wanted, ()))


def _read_closed(connection: Connection, query: SumQuery, more: tuple[ColumnElement[bool], ...]) -> list[Sum]:
    return _read(connection, query, *closed_span(query.start), more)


def _read(connection: Connection, query: SumQuery, usage: Span, chosen: ColumnElement[bool], more: tuple[ColumnElement[bool], ...]) -> list[Sum]:
    ended = func.coalesce(number(activities.c.ended_at), number(activities.c.last_seen_at))
    both = Span(greatest(usage.start, number(activities.c.started_at)), least(usage.end, ended))
    chosen = and_(chosen, usage.start < to_microseconds(query.end))  # by the index alone: nothing is joined to what began later
    is_inside = (chosen, _KNOWN, activities.c.allocation_id == intervals.c.allocation_id, both.start < both.end)
    return sums_of(query, connection.execute(sum_statement(query, both, _COLUMNS).where(*is_inside, *more)).mappings())
