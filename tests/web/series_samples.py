"""What a session did over time, for view models and golden pages."""

from __future__ import annotations

from datetime import timedelta

from aiplatform_hub.domain.allocations import AllocationEvent, AllocationState, GpuDevice
from aiplatform_hub.domain.efficiency import Efficiency
from aiplatform_hub.domain.series import MINUTE
from aiplatform_hub.domain.timeline import Phase, Span
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.operations.session_series import GpuSeries, SessionSeries
from aiplatform_hub.storage.series import GpuPoint, SessionPoint
from tests.web.samples import HOSTILE, NOW, RUNNING

START = NOW - 60 * MINUTE
STEP = 5 * MINUTE


def points(device: str, *percents: float | None) -> tuple[GpuPoint, ...]:
    """Return a point for each step of which something is known."""
    known = [(number, percent) for number, percent in enumerate(percents) if percent is not None]
    return tuple(GpuPoint(START + STEP * number, device, percent, percent, 8 * GIB + number) for number, percent in known)


WARNING = AllocationEvent(2, RUNNING.id, NOW - 20 * MINUTE, AllocationState.ACTIVE, AllocationState.ACTIVE, "release_warned", "keeper")
SPANS = (
    Span(Phase.WAITING, START - 30 * MINUTE, START - 2 * MINUTE),
    Span(Phase.STARTING, START - 2 * MINUTE, START),
    Span(Phase.USED, START, START + 35 * MINUTE),
    Span(Phase.IDLE, START + 35 * MINUTE, START + 50 * MINUTE),
    Span(Phase.UNKNOWN, START + 50 * MINUTE, NOW),
)
WASTEFUL = Efficiency(2, timedelta(hours=6, minutes=10), timedelta(hours=6), 23.4, 9 * GIB, 1)
SERIES = SessionSeries(
    start=START,
    end=NOW,
    step=STEP,
    gpus=(
        GpuSeries("GPU-a", GpuDevice("GPU-a", "h100", 80 * GIB, product_name="H100"), points("GPU-a", 10, 90, None, 40, 0)),
        GpuSeries("GPU-b", GpuDevice("GPU-b", "h100", 80 * GIB, index=1, node=HOSTILE), points("GPU-b", 0, 0, 0)),
        GpuSeries("GPU-gone", None, ()),
    ),
    points=(SessionPoint(START, 1.25, 3 * GIB), SessionPoint(START + STEP, None, 4 * GIB), SessionPoint(START + 11 * STEP, 5.5, None)),
    spans=SPANS,
    efficiency=WASTEFUL,
    events=(WARNING,),
)
