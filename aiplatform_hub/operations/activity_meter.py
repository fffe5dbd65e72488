"""Records whether the GPUs of running sessions are used: one look at the GPUs, one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from aiplatform_hub.domain.activity import ActivityInterval, GpuSample, activity_of, continued, stretch
from aiplatform_hub.domain.allocations import AllocationState, GpuDevice
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.units import MIB
from aiplatform_hub.operations.energy import EnergyRecorder
from aiplatform_hub.operations.series_recorder import SeriesRecorder
from aiplatform_hub.storage.activity import ActivityStore, OpenActivity
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.devices import DeviceStore


class Sampler(Protocol):
    """Looks at GPUs."""

    def sample(self, devices: Iterable[GpuDevice], at: datetime) -> dict[str, GpuSample]:
        """Return what each GPU does, by UUID; one that does not answer is absent."""


class ActivityMeter:
    """Keeps the last sample of each GPU, and the intervals of used, idle and unknown time of each session.

    An interval reaches to its last proof. What no sample speaks for is unknown: a keeper that was away invents nothing.

    Parameters
    ----------
    series
        Keeps the minutes of sessions; None keeps none.
    energy
        Keeps the energy of sessions; None keeps none.
    """

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        devices: DeviceStore,
        activity: ActivityStore,
        sampler: Sampler,
        policy: Callable[[], Policy],
        clock: Callable[[], datetime],
        series: SeriesRecorder | None = None,
        energy: EnergyRecorder | None = None,
    ) -> None:
        self._energy = energy
        self._series = series
        self._database = database
        self._allocations = allocations
        self._devices = devices
        self._activity = activity
        self._sampler = sampler
        self._policy = policy
        self._clock = clock

    def sample(self) -> None:
        """Look at every GPU, and write what that says of the sessions that hold them.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        with self._database.read() as connection:
            pool = self._devices.pool(connection)
            running = [a for a in self._allocations.open(connection) if a.state is AllocationState.ACTIVE]
        at = self._clock()
        samples = self._sampler.sample(pool.devices if pool else (), at)
        if self._series is not None:
            self._series.look(running, samples, at)
        with self._database.write() as connection:
            self._record(connection, at, samples)
            if self._series is not None:
                self._series.write(connection)
        if self._series is not None:
            self._series.written()

    def _record(self, connection: Connection, at: datetime, samples: Mapping[str, GpuSample]) -> None:
        before, opened = self._activity.samples(connection), self._activity.open(connection)
        for id_, one in opened.items():
            if one.session_ended_at is not None:
                self._activity.end_session(connection, id_, one.session_ended_at)
        running = [a for a in self._allocations.open(connection) if a.state is AllocationState.ACTIVE and a.devices]
        ends = self._activity.last_ends(connection, [a.id for a in running if a.id not in opened])
        changes, policy = _Changes(), self._policy()
        below_percent, growth_below_bytes = policy.idle_below_percent, policy.idle_growth_below_mib * MIB
        for allocation in running:
            activity = activity_of(allocation.devices, before, samples, below_percent=below_percent, growth_below_bytes=growth_below_bytes)
            last = opened.get(allocation.id)
            start = last.interval.last_seen_at if last else ends.get(allocation.id, allocation.started_at or at)
            mine = [samples[device] for device in allocation.devices if device in samples]
            changes.add(last, stretch(allocation.id, start, at, activity, mine))
        self._activity.extend(connection, changes.longer)
        self._activity.close(connection, changes.over)
        self._activity.begin(connection, changes.new)
        self._activity.store_samples(connection, samples, before.keys())
        if self._energy is not None:
            self._energy.record(connection, running, samples)


@dataclass(slots=True)
class _Changes:
    """What is to be written of one look."""

    longer: dict[int, ActivityInterval] = field(default_factory=dict)
    over: list[int] = field(default_factory=list)
    new: list[ActivityInterval] = field(default_factory=list)

    def add(self, last: OpenActivity | None, piece: ActivityInterval | None) -> None:
        """Let a session's open interval go on, or end with a new one behind it."""
        longer = continued(last.interval, piece) if last and piece else None
        if last and longer:
            self.longer[last.id] = longer
            return
        if last:
            self.over.append(last.id)
        if piece:
            self.new.append(piece)
