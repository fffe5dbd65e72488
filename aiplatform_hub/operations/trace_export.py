"""An installation's own history as a demand trace for the policy twin. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from uuid import UUID

from aiplatform_hub.domain.activity import Activity
from aiplatform_hub.domain.allocations import Allocation, EndCause
from aiplatform_hub.domain.session_history import Demand, PastSession, days_between, demand, midnight
from aiplatform_hub.storage.activity_sums import ACTIVITY, ActivitySums
from aiplatform_hub.storage.allocations import AllocationFilter, AllocationStore, Cursor
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.usage_sums import Sum, SumQuery

PAGE = 1000
"""Allocations read at a time."""


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """Which sessions, and how they are told."""

    days: int
    """So many days up to and with today, reckoned in the zone."""
    zone: tzinfo
    gpu_type: str | None = None
    """Only sessions with GPUs of this type; None is all."""
    are_names_kept: bool = False


@dataclass(frozen=True, slots=True)
class TraceExport:
    """The demand of a span, and what to know of it."""

    demand: Demand
    start: datetime
    """Start of the trace: 00:00 of the day of the first request."""
    days: int
    """From then until now, the day that has begun included."""
    gpus_now: int
    """Healthy GPUs that the installation has now, of the type asked for."""
    still_running: int
    """Sessions that have not ended; they count with their length so far."""
    known_fraction: float
    """For which part of their GPU time it is known whether it was used or idle, 0 to 1."""


class TraceExporter:
    """Makes a trace of the sessions that ran."""

    def __init__(
        self, *, database: Database, allocations: AllocationStore, devices: DeviceStore, activity: ActivitySums, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._devices = devices
        self._activity = activity
        self._clock = clock

    def export(self, query: ExportQuery) -> TraceExport:
        """Return the sessions with GPUs that were asked for in the last days and that ran.

        Refused requests, failed starts and sessions without GPUs are left out.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        now = self._clock()
        start = midnight(now, query.zone) - timedelta(days=query.days - 1)
        with self._database.read() as connection:
            found = [each for each in self._since(connection, start) if _is_demand(each, query)]
            pool = self._devices.pool(connection)
            known = _known(self._activity.sums(connection, SumQuery(start, now + timedelta(seconds=1), ("allocation",))))
        past = [_past(each, now, known.get((each.id, Activity.IDLE), 0.0)) for each in found]
        first = midnight(min((session.requested_at for session in past), default=now), query.zone)
        return TraceExport(
            demand=demand(past, first, query.zone, are_names_kept=query.are_names_kept),
            start=first,
            days=days_between(first, now),
            gpus_now=sum(device.is_healthy and query.gpu_type in {None, device.gpu_type} for device in pool.devices) if pool else 0,
            still_running=sum(each.ended_at is None for each in found),
            known_fraction=_known_fraction(past, known),
        )

    def _since(self, connection: Connection, start: datetime) -> Iterator[Allocation]:
        narrow, after = AllocationFilter(since=start), None
        while page := self._allocations.page(connection, narrow, limit=PAGE, after=after):
            yield from page
            after = Cursor(page[-1].requested_at, page[-1].id)


def _is_demand(allocation: Allocation, query: ExportQuery) -> bool:
    request = allocation.request
    is_asked_for = request.gpus > 0 and query.gpu_type in {None, request.gpu_type}
    return is_asked_for and allocation.started_at is not None and allocation.end_cause is not EndCause.START_FAILED


def _known(sums: Iterable[Sum]) -> dict[tuple[UUID, Activity], float]:
    """Return the seconds that each session's GPUs were used, and idle."""
    return {(one.keys["allocation"], Activity(one.keys[ACTIVITY])): one.session_microseconds / 1_000_000 for one in sums}


def _known_fraction(past: Sequence[PastSession], known: Mapping[tuple[UUID, Activity], float]) -> float:
    whole = sum((each.ended_at - each.started_at).total_seconds() * each.gpus for each in past)
    told = sum(known.get((each.id, activity), 0.0) * each.gpus for each in past for activity in (Activity.USED, Activity.IDLE))
    return min(1.0, told / whole) if whole > 0 else 0.0


def _past(allocation: Allocation, now: datetime, idle_seconds: float) -> PastSession:
    started_at = allocation.started_at or allocation.requested_at
    return PastSession(
        id=allocation.id,
        user_id=allocation.user_id,
        user_name=allocation.user_name,
        project=allocation.request.project,
        gpus=allocation.request.gpus,
        requested_at=allocation.requested_at,
        started_at=started_at,
        ended_at=allocation.ended_at or max(now, started_at),
        idle_seconds=idle_seconds,
    )
