"""What a session did over time."""

from __future__ import annotations

from datetime import datetime

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.efficiency import Efficiency
from aiplatform_hub.domain.energy import Energy
from aiplatform_hub.domain.series import MOST_POINTS
from aiplatform_hub.operations.session_series import GpuSeries, SessionSeries
from aiplatform_hub.services.platform.api.allocations import OneAllocation
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.bodies import instant, invalid
from aiplatform_hub.services.platform.energy_models import energy_out
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route
from aiplatform_hub.services.platform.series_models import GpuPointOut, GpuSeriesOut, ProcessPointOut, SeriesOut, SessionEfficiencyOut, SpanOut


class SeriesHandler(OneAllocation):
    """``GET allocations/{id}/series``."""

    async def get(self, allocation_id: str) -> None:
        """Answer with GPUs, cores and memory over time, spans, and how well the GPUs were used."""
        allocation = await self.found(allocation_id)
        start, end = self._instant("from"), self._instant("to")
        if start is not None and start >= (end or allocation.ended_at or self.platform.factory.clock()):
            raise invalid("from", "from must be before to, and before the session's end.")
        if end is not None and end <= (start or allocation.started_at or allocation.requested_at):
            raise invalid("to", "to must be after from, and after the session's start.")
        series = await self.platform.run(self.platform.factory.session_series.read, allocation, start, end)
        self.reply(series_out(allocation, series, await self.platform.run(self.platform.factory.energy.of_session, allocation)))

    def _instant(self, name: str) -> datetime | None:
        text = self.get_query_argument(name, None)
        return None if text is None else instant(text, name)


def series_out(allocation: Allocation, series: SessionSeries, energy: Energy | None) -> SeriesOut:
    """Return a session's series as it is sent."""
    return SeriesOut.model_validate(
        {
            "allocation_id": allocation.id,
            "from": series.start,
            "to": series.end,
            "step_seconds": int(series.step.total_seconds()),
            "gpus": tuple(_gpu(gpu) for gpu in series.gpus),
            "processes": tuple(ProcessPointOut(at=point.at, cpu_cores=point.cpu_cores, max_memory_bytes=point.memory_bytes) for point in series.points),
            "spans": tuple(SpanOut.model_validate({"phase": span.phase.value, "from": span.start, "to": span.end}) for span in series.spans),
            "efficiency": _efficiency(series.efficiency) if series.efficiency else None,
            "energy": energy_out(energy) if energy else None,
        }
    )


def _gpu(gpu: GpuSeries) -> GpuSeriesOut:
    points = tuple(
        GpuPointOut(
            at=point.at,
            mean_utilisation_percent=point.mean_utilisation_percent,
            max_utilisation_percent=point.max_utilisation_percent,
            max_memory_bytes=point.max_memory_bytes,
        )
        for point in gpu.points
    )
    device = gpu.device
    return GpuSeriesOut(uuid=gpu.uuid, index=device.index if device else None, memory_bytes=device.memory_bytes if device else None, points=points)


def _efficiency(found: Efficiency) -> SessionEfficiencyOut:
    return SessionEfficiencyOut(
        gpus=found.gpus,
        ran_seconds=found.ran.total_seconds(),
        known_seconds=found.known.total_seconds(),
        busy_percent=found.busy_percent,
        max_memory_bytes=found.most_memory_bytes,
        gpus_needed=found.gpus_needed,
    )


_INSTANT = {"type": "string", "format": "date-time"}

RESOURCES = (
    Resource(
        SeriesHandler,
        (
            Route(
                method="GET",
                path="api/v1/allocations/{id}/series",
                summary="What a session did over time: GPUs, cores and memory, and how well it used its GPUs",
                description=f"Minutes, or longer steps so that a line has at most {MOST_POINTS} points. Minutes are kept for 30 days.",
                scope=READ,
                parameters=(
                    Parameter("from", "Points at or after this instant; by default from the session's start, or of its last 7 days if it is longer", _INSTANT),
                    Parameter("to", "Points before this instant; until its end, or now, by default", _INSTANT),
                ),
                replies={200: Reply("Its series", SeriesOut)},
                errors=(400, 404),
            ),
        ),
    ),
)
