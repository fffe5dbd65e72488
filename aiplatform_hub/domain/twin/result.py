"""What a policy did with a trace, and its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiplatform_hub.domain.policy import HOUR_SECONDS

WHOLE_BOX_GPUS = 4
"""Size of the requests that are scored on their own."""


class EventKind(StrEnum):
    """What happened to a session in simulated time."""

    REQUESTED = "requested"
    STARTED = "started"
    ENDED = "ended"
    RELEASED_IDLE = "released_idle"
    RELEASED_CAP = "released_cap"
    RELEASED_CLASS = "released_class"


@dataclass(frozen=True, slots=True)
class TwinEvent:
    """One thing that happened."""

    at_seconds: float
    """Since the start of the trace."""
    kind: EventKind
    user: str
    sequence: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Wait:
    """How long one request waited."""

    user: str
    project: str
    gpus: int
    is_light: bool
    """Whether its owner asks in office hours only."""
    requested_seconds: float
    """Since the start of the trace."""
    wait_seconds: float
    """Until it started, or until the end of the trace."""
    is_still_waiting: bool = False
    """Whether it had not started at the end of the trace."""


@dataclass(frozen=True, slots=True)
class UserShare:
    """What one person got inside the trace's duration."""

    gpu_seconds_served: float
    """GPU-seconds held, idle or not."""
    gpu_seconds_useful: float


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Wait in hours."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Scores:
    """The figures by which policies are compared; a wait is None where nobody of the kind asked."""

    useful_fraction: float
    occupancy_fraction: float
    light_wait_hours: Percentiles | None
    heavy_wait_hours: Percentiles | None
    four_gpu_wait_hours: Percentiles | None
    cut_work_fraction: float


@dataclass(frozen=True, slots=True)
class TwinResult:
    """What a policy did with a trace."""

    trace: str
    """Its name."""
    useful_fraction: float
    """Useful GPU-seconds served, of all GPU-seconds of the box."""
    occupancy_fraction: float
    """GPU-seconds held, of all GPU-seconds of the box."""
    cut_work_fraction: float
    """GPU-seconds of work lost at a release, of those of work that sessions had begun."""
    waits: tuple[Wait, ...]
    """In order of the requests."""
    share_by_user: Mapping[str, UserShare]
    events: tuple[TwinEvent, ...]
    """In order of time."""

    @property
    def scores(self) -> Scores:
        """The result in figures."""
        return Scores(
            useful_fraction=self.useful_fraction,
            occupancy_fraction=self.occupancy_fraction,
            light_wait_hours=percentiles(wait for wait in self.waits if wait.is_light),
            heavy_wait_hours=percentiles(wait for wait in self.waits if not wait.is_light),
            four_gpu_wait_hours=percentiles(wait for wait in self.waits if wait.gpus == WHOLE_BOX_GPUS),
            cut_work_fraction=self.cut_work_fraction,
        )


def quantile(ordered: Sequence[float], fraction: float) -> float:
    """Return a quantile of ascending values, interpolated linearly between the two nearest."""
    position = fraction * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def percentiles(waits: Iterable[Wait]) -> Percentiles | None:
    """Return the median and 95 % quantile of waits, in hours; None if there are none."""
    hours = sorted(wait.wait_seconds / HOUR_SECONDS for wait in waits)
    return Percentiles(p50=quantile(hours, 0.5), p95=quantile(hours, 0.95)) if hours else None


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Return the mean over traces of each figure; a wait's over the traces that have one."""
    return Scores(
        useful_fraction=_mean([score.useful_fraction for score in scores]),
        occupancy_fraction=_mean([score.occupancy_fraction for score in scores]),
        light_wait_hours=_mean_wait(scores, lambda score: score.light_wait_hours),
        heavy_wait_hours=_mean_wait(scores, lambda score: score.heavy_wait_hours),
        four_gpu_wait_hours=_mean_wait(scores, lambda score: score.four_gpu_wait_hours),
        cut_work_fraction=_mean([score.cut_work_fraction for score in scores]),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean_wait(scores: Sequence[Scores], pick: Callable[[Scores], Percentiles | None]) -> Percentiles | None:
    found = [wait for wait in map(pick, scores) if wait is not None]
    return Percentiles(p50=_mean([wait.p50 for wait in found]), p95=_mean([wait.p95 for wait in found])) if found else None
