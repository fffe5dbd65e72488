"""What a session's GPUs, processors and memory did over time: minutes, and points of a chart. A minute without a look is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from aiplatform_hub.domain.activity import GpuSample

MINUTE = timedelta(minutes=1)
SPARK_STEP = timedelta(minutes=2)
SPARK_POINTS = 30
"""Points of the small chart of the last hour."""
MOST_POINTS = 240
"""Most points of one line of a chart."""


@dataclass(frozen=True, slots=True)
class GpuMinute:
    """What one GPU of a session did in one minute."""

    allocation_id: UUID
    at: datetime
    """Start of the minute, aware UTC."""
    device: str
    samples: int
    mean_utilisation_percent: float
    max_utilisation_percent: float
    max_memory_bytes: int

    def joined(self, sample: GpuSample) -> GpuMinute:
        """Return the minute with one more look."""
        count = self.samples + 1
        return GpuMinute(
            self.allocation_id,
            self.at,
            self.device,
            count,
            (self.mean_utilisation_percent * self.samples + sample.utilisation_percent) / count,
            max(self.max_utilisation_percent, sample.utilisation_percent),
            max(self.max_memory_bytes, sample.memory_bytes),
        )


@dataclass(frozen=True, slots=True)
class SessionMinute:
    """What the processes of a session took in one minute. None is unknown."""

    allocation_id: UUID
    at: datetime
    """Start of the minute, aware UTC."""
    cpu_cores: float | None
    """How many cores were kept busy on average."""
    memory_bytes: int | None
    """Memory in use at the end of the minute."""


def minute_of(at: datetime) -> datetime:
    """Return the start of the minute that an instant lies in."""
    return at.replace(second=0, microsecond=0)


def joined(
    minutes: Mapping[tuple[UUID, str], GpuMinute], allocation_id: UUID, samples: Mapping[str, GpuSample], at: datetime
) -> dict[tuple[UUID, str], GpuMinute]:
    """Return the minutes of a session's GPUs with one more look at them.

    Parameters
    ----------
    minutes
        What is known of the minute so far, by allocation and GPU.
    at
        Start of the minute.
    """
    found = {}
    for device, sample in samples.items():
        before = minutes.get((allocation_id, device))
        first = GpuMinute(allocation_id, at, device, 1, sample.utilisation_percent, sample.utilisation_percent, sample.memory_bytes)
        found[allocation_id, device] = before.joined(sample) if before else first
    return found


def spark_start(now: datetime) -> datetime:
    """Return when the first point of the small chart begins: its last one ends with the last whole minute."""
    return minute_of(now) - SPARK_STEP * SPARK_POINTS


def spark_points(percents: Iterable[tuple[datetime, float, int]], now: datetime) -> tuple[int | None, ...]:
    """Return the points of the small chart, oldest first, as whole percents. None is unknown.

    Parameters
    ----------
    percents
        Start of a minute, mean utilisation in percent and number of looks behind it, of all GPUs of one session.
    """
    start = spark_start(now)
    sums = [(0.0, 0)] * SPARK_POINTS
    for at, percent, samples in percents:
        number = (at - start) // SPARK_STEP
        if 0 <= number < SPARK_POINTS:
            total, count = sums[number]
            sums[number] = (total + percent * samples, count + samples)
    return tuple(round(total / count) if count else None for total, count in sums)


def step_of(length: timedelta) -> timedelta:
    """Return how far the points of a chart are apart, in whole minutes, so that there are not more than :data:`MOST_POINTS`."""
    return MINUTE * max(1, -(-length // (MINUTE * MOST_POINTS)))
