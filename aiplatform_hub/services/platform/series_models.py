"""Bodies about what sessions did over time."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from aiplatform_hub.domain.series import MOST_POINTS
from aiplatform_hub.services.platform.energy_models import EnergyOut
from aiplatform_hub.services.platform.wire import Instant, Output


class GpuPointOut(Output):
    """What one GPU did in one step."""

    at: Instant
    mean_utilisation_percent: float
    max_utilisation_percent: float
    max_memory_bytes: int


class GpuSeriesOut(Output):
    """One GPU of a session over time."""

    uuid: str
    index: int | None = Field(description="Its number on the machine; null where it is not here any more")
    memory_bytes: int | None = Field(description="What it has; null as `index`")
    points: tuple[GpuPointOut, ...]


class ProcessPointOut(Output):
    """What the processes of a session took in one step."""

    at: Instant
    cpu_cores: float | None = Field(description="How many cores were kept busy on average; null where nobody measured it")
    max_memory_bytes: int | None


class SpanOut(Output):
    """A stretch of an allocation's time, half-open."""

    phase: str = Field(description="`waiting`, `starting`, `used`, `idle`, `unknown`, or `running` without GPUs")
    from_: Instant = Field(alias="from")
    to: Instant


class SessionEfficiencyOut(Output):
    """How well a session used its GPUs."""

    gpus: int
    ran_seconds: float
    known_seconds: float = Field(description="For how much of it somebody looked")
    busy_percent: float | None = Field(description="Mean utilisation of its GPUs while somebody looked")
    max_memory_bytes: int | None = Field(description="The most memory that all of its GPUs together had in use in one minute")
    gpus_needed: int | None = Field(description="How many GPUs would have done; null where too little is known to say so")


class SeriesOut(Output):
    """What a session did over time. A step without a point is one in which nobody looked."""

    allocation_id: UUID
    from_: Instant = Field(alias="from")
    to: Instant
    step_seconds: int = Field(description=f"Whole minutes, so many that a line has at most {MOST_POINTS} points")
    gpus: tuple[GpuSeriesOut, ...]
    processes: tuple[ProcessPointOut, ...]
    spans: tuple[SpanOut, ...] = Field(description="From the request to the end, whatever span is asked for")
    efficiency: SessionEfficiencyOut | None = Field(description="Once it is over; null where it had no GPU")
    energy: EnergyOut | None = Field(description="Of the whole session until now; null where nobody measured it")
