"""Who uses GPUs well, when they are busy, and how long people waited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.gpu_weeks import HourOfWeek, WaitRow, waits, week
from aiplatform_hub.operations.cost_reporter import CostReporter, ReportRow, UsageQuery
from aiplatform_hub.storage.activity import ActivityStore
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.efficiency import EfficiencyStore

DAYS = 28
"""Whole weeks, so that every hour of the week counts as often as every other."""
PEOPLE = 20
"""So many are ranked."""


@dataclass(frozen=True, slots=True)
class IdleNow:
    """A session whose GPUs are all idle now."""

    allocation: Allocation
    since: datetime
    """Aware UTC."""


@dataclass(frozen=True, slots=True)
class Past:
    """What the last weeks show, up to a full hour. Instants are aware UTC; the span is half-open."""

    start: datetime
    end: datetime
    gpus: int
    """GPUs that there are now."""
    week: tuple[tuple[HourOfWeek, ...], ...]
    people: tuple[ReportRow, ...]
    """Use by person (key ``user``), who held most GPU-hours idle first; who held none idle is left out."""
    total: ReportRow | None
    """Of everybody; None where nothing ran."""
    waits: tuple[WaitRow, ...]


class EfficiencyReader:
    """Reads the last weeks, once an hour at most. Safe to use from several threads."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        activity: ActivityStore,
        devices: DeviceStore,
        reporter: CostReporter,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._activity = activity
        self._devices = devices
        self._reporter = reporter
        self._store = EfficiencyStore()
        self._clock = clock
        self._reading = Lock()
        self._past: Past | None = None

    def idle_now(self) -> tuple[IdleNow, ...]:
        """Return the sessions whose GPUs are known to be idle now, the longest first."""
        with self._database.read() as connection:
            since = self._activity.idle_since(connection, self._clock())
            opened = self._allocations.open(connection)
        found = [IdleNow(allocation, since[allocation.id]) for allocation in opened if allocation.request.gpus and allocation.id in since]
        return tuple(sorted(found, key=lambda each: each.since))

    def past(self) -> Past:
        """Return the last :data:`DAYS` days up to the last full hour.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        end = self._clock().replace(minute=0, second=0, microsecond=0)
        with self._reading:
            if self._past is None or self._past.end != end:
                self._past = self._read(end - timedelta(days=DAYS), end)
            return self._past

    def _read(self, start: datetime, end: datetime) -> Past:
        report = self._reporter.usage(UsageQuery(start, end, ("user",)))
        with self._database.read() as connection:
            pool = self._devices.pool(connection)
            cells = week(self._store.held(connection, start), self._store.used(connection, start), start, end)
            waited = self._store.waited(connection, start, self._clock())
        idle = [row for row in report.rows if row.idle_gpu_seconds > 0]
        return Past(
            start=start,
            end=end,
            gpus=len(pool.devices) if pool else 0,
            week=cells,
            people=tuple(sorted(idle, key=lambda row: (-row.idle_gpu_seconds, str(row.keys["user"])))[:PEOPLE]),
            total=report.totals[0] if report.totals else None,
            waits=waits(waited),
        )
