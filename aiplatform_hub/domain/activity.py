"""Whether the GPUs of a session are used, idle, or not known to be either. Unknown is never idle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

SAMPLE_PERIOD = timedelta(seconds=15)
"""Time between two looks at the GPUs."""
LONGEST_GAP = SAMPLE_PERIOD + timedelta(seconds=5)
"""What a sample may say of the time before it: that of one look, which may be late by this much. Where a look is missing, nothing is known."""


class Activity(StrEnum):
    """What the GPUs of a session did in a stretch of time."""

    USED = "used"
    IDLE = "idle"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class GpuSample:
    """What one GPU did at one instant."""

    at: datetime
    """Aware UTC."""
    utilisation_percent: float
    """Part of the last moments in which a kernel ran, 0 to 100."""
    memory_bytes: int
    """Memory in use."""
    energy_millijoules: int | None = None
    """What it took since its driver was loaded; None where it does not say."""
    power_milliwatts: int | None = None
    """What it takes now; None where it does not say."""


@dataclass(frozen=True, slots=True)
class ActivityInterval:
    """A stretch in which a session's GPUs did the same, half-open ``[started_at, last_seen_at)`` in aware UTC."""

    allocation_id: UUID
    activity: Activity
    started_at: datetime
    last_seen_at: datetime
    """The last proof of it: that of the last sample."""
    samples: int = 0
    """How many samples of all GPUs at once stand behind it."""
    mean_utilisation_percent: float | None = None
    """Over its samples, of all GPUs; None without one."""
    max_memory_bytes: int | None = None
    """The most memory that its GPUs together had in use; None without a sample."""


def activity_of(
    devices: Iterable[str], before: Mapping[str, GpuSample], now: Mapping[str, GpuSample], *, below_percent: float, growth_below_bytes: float
) -> Activity:
    """Return what a session's GPUs did up to their latest samples.

    Idle is every GPU below the threshold, of none of which the memory in use grew. A GPU without a sample makes
    it unknown, and so does one of which nobody knows whether its memory grew.

    Parameters
    ----------
    devices
        The session's GPUs, one or more.
    before
        The sample before the latest one of each GPU; too old ones count as missing.
    now
        The latest sample of each GPU.
    below_percent
        Utilisation at and above which a GPU is used.
    growth_below_bytes
        What the memory in use of a GPU must have grown by since its sample before to count as growth.
    """
    mine = tuple(devices)
    if not mine or any(device not in now for device in mine):
        return Activity.UNKNOWN
    if any(now[device].utilisation_percent >= below_percent for device in mine):
        return Activity.USED
    recent = {device: before[device] for device in mine if device in before and timedelta() < now[device].at - before[device].at <= LONGEST_GAP}
    if any(now[device].memory_bytes - sample.memory_bytes >= growth_below_bytes for device, sample in recent.items()):
        return Activity.USED
    return Activity.IDLE if len(recent) == len(mine) else Activity.UNKNOWN


def stretch(allocation_id: UUID, start: datetime, at: datetime, activity: Activity, samples: Iterable[GpuSample]) -> ActivityInterval | None:
    """Return what is known of a session from its last proof until now; None where no time has passed.

    Parameters
    ----------
    start
        The last proof, or the session's start.
    at
        The instant of the samples. After a clock that was set back it is before ``start``.
    activity
        What the samples say.
    samples
        Those of the session's GPUs.
    """
    if at <= start:
        return None
    found = tuple(samples)
    if activity is Activity.UNKNOWN or at - start > LONGEST_GAP or not found:
        return ActivityInterval(allocation_id, Activity.UNKNOWN, start, at)
    mean = sum(sample.utilisation_percent for sample in found) / len(found)
    return ActivityInterval(allocation_id, activity, start, at, 1, mean, sum(sample.memory_bytes for sample in found))


def continued(last: ActivityInterval, piece: ActivityInterval) -> ActivityInterval | None:
    """Return an interval with the piece that follows it, or None if the piece begins another one."""
    if last.activity is not piece.activity or last.last_seen_at != piece.started_at:
        return None
    samples = last.samples + piece.samples
    weighted = [(each.mean_utilisation_percent, each.samples) for each in (last, piece) if each.mean_utilisation_percent is not None]
    peaks = [each.max_memory_bytes for each in (last, piece) if each.max_memory_bytes is not None]
    return replace(
        last,
        last_seen_at=piece.last_seen_at,
        samples=samples,
        mean_utilisation_percent=sum(mean * count for mean, count in weighted) / samples if weighted and samples else None,
        max_memory_bytes=max(peaks, default=None),
    )
