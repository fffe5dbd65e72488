"""What one session did over time, read at once: points of charts, spans, and how well it used its GPUs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiplatform_hub.domain.allocations import Allocation, AllocationEvent, GpuDevice
from aiplatform_hub.domain.efficiency import Efficiency, efficiency
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.series import MINUTE, MOST_POINTS, minute_of, step_of
from aiplatform_hub.domain.timeline import Span, merged, spans
from aiplatform_hub.storage.activity import ActivityStore
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.series import GpuPoint, SeriesStore, SessionPoint

LONGEST = timedelta(days=7)
"""The points of a longer session are those of its last days, unless others are asked for: reading a month of minutes takes too long for a page."""


@dataclass(frozen=True, slots=True)
class GpuSeries:
    """One GPU of a session over time."""

    uuid: str
    device: GpuDevice | None
    """None where it is not here any more."""
    points: tuple[GpuPoint, ...]


@dataclass(frozen=True, slots=True)
class SessionSeries:
    """What a session did over time, in steps from ``start``. Steps in which nobody looked have no point."""

    start: datetime
    """A whole minute, aware UTC."""
    end: datetime
    """Aware UTC, exclusive."""
    step: timedelta
    gpus: tuple[GpuSeries, ...]
    points: tuple[SessionPoint, ...]
    spans: tuple[Span, ...]
    """From the request to the end, whatever span the points are of."""
    efficiency: Efficiency | None
    """None while it goes on, and where it had no GPU."""
    events: tuple[AllocationEvent, ...]
    is_cut: bool = False
    """Whether it began before the points do, since it is longer than :data:`LONGEST`."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured."""
        return not self.points and not any(gpu.points for gpu in self.gpus)


class SessionSeriesReader:
    """Reads one session's series, in one transaction."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        activity: ActivityStore,
        devices: DeviceStore,
        series: SeriesStore,
        policy: Callable[[], Policy],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._activity = activity
        self._devices = devices
        self._series = series
        self._policy = policy
        self._clock = clock

    def read(self, allocation: Allocation, start: datetime | None = None, end: datetime | None = None, *, most: int = MOST_POINTS) -> SessionSeries:
        """Return what a session did.

        Parameters
        ----------
        start, end
            The span of the points, half-open, aware UTC; from its start, or :data:`LONGEST` before the end, to its end or until now unless given.
        most
            Most points of one line.
        """
        now = self._clock()
        ran_until = allocation.ended_at or now
        begun = allocation.started_at or allocation.requested_at
        low = minute_of(start or max(begun, (end or ran_until) - LONGEST))
        high = max(end or ran_until, low + MINUTE)
        step, busy_from_percent = step_of(high - low, most), self._policy().idle_below_percent
        with self._database.read() as connection:
            pool = self._devices.pool(connection)
            known = {device.uuid: device for device in (pool.devices if pool else ())}
            events = self._allocations.history(connection, allocation.id)
            activity = self._activity.of_session(connection, allocation.id) if allocation.started_at else ()
            points = self._series.gpu_points(connection, allocation.id, low, high, step)
            return SessionSeries(
                start=low,
                end=high,
                step=step,
                gpus=_by_gpu(allocation, known, points),
                points=self._series.session_points(connection, allocation.id, low, high, step),
                spans=merged(spans(allocation, events, activity, now)),
                efficiency=self._efficiency(connection, allocation, known, busy_from_percent),
                events=tuple(events),
                is_cut=start is None and low > begun,
            )

    def _efficiency(self, connection: Connection, allocation: Allocation, known: Mapping[str, GpuDevice], busy_from_percent: float) -> Efficiency | None:
        if allocation.started_at is None or allocation.ended_at is None or not allocation.request.gpus:
            return None
        memories = [known[uuid].memory_bytes for uuid in allocation.devices if uuid in known]
        return efficiency(
            self._series.gpu_use(connection, allocation.id, busy_from_percent=busy_from_percent),
            gpus=allocation.request.gpus,
            ran=allocation.ended_at - allocation.started_at,
            gpu_memory_bytes=min(memories) if memories and len(memories) == len(allocation.devices) else None,
        )


def _by_gpu(allocation: Allocation, known: Mapping[str, GpuDevice], points: tuple[GpuPoint, ...]) -> tuple[GpuSeries, ...]:
    """Return the points of each GPU: those that it holds, and those that it held before it was moved."""
    names = tuple(dict.fromkeys((*allocation.devices, *(point.device for point in points))))
    return tuple(GpuSeries(name, known.get(name), tuple(point for point in points if point.device == name)) for name in names)
