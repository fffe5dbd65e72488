"""How well GPUs are used, and the twin's forecast for the policy: for admins."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.cost_reporter import ReportRow
from aiplatform_hub.operations.efficiency import DAYS, Past
from aiplatform_hub.services.platform.api.admin import ACT, AdminApiHandler
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.forecast import Forecast
from aiplatform_hub.services.platform.routes import Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Instant, Money, Output


class IdleNowOut(Output):
    """A session whose GPUs are all idle now."""

    allocation_id: UUID
    user: str
    project: str
    gpus: int
    idle_since: Instant


class PersonUseOut(Output):
    """What one person held."""

    user: str
    gpu_hours: Money
    used_gpu_hours: Money
    idle_gpu_hours: Money
    unknown_gpu_hours: Money


class HourOut(Output):
    """One hour of the week, on the average."""

    weekday: int = Field(description="0 is Monday")
    hour: int = Field(description="UTC")
    held_gpus: float
    used_gpus: float
    hours: float = Field(description="Such hours in the span; 0 says that the other numbers say nothing")


class WaitRowOut(Output):
    """Waits of the requests for one number of GPUs."""

    gpus: int
    requests: int
    at_once: int
    p50_seconds: float
    p90_seconds: float
    longest_seconds: float
    still_waiting: int


class EfficiencyOut(Output):
    """The last weeks, up to the last full hour; and who is idle now."""

    start: Instant
    end: Instant = Field(description="Exclusive")
    gpus: int = Field(description="GPUs that there are now")
    idle_now: tuple[IdleNowOut, ...]
    people: tuple[PersonUseOut, ...] = Field(description="Who held most GPU-hours idle first")
    week: tuple[HourOut, ...]
    waits: tuple[WaitRowOut, ...]


class ForecastOut(Output):
    """What the twin says of the policy in force with this place's own demand."""

    is_running: bool
    made_at: Instant | None
    trouble: str
    policy_version: int
    sessions: int
    days: int
    gpus: int
    policies: dict[str, dict[str, Any]] = Field(description="Figures as `aiplatform simulate --json` has them, of `in_force` and, if it is another, `shipped`")


class EfficiencyHandler(AdminApiHandler):
    """``GET efficiency``."""

    async def get(self) -> None:
        """Answer with all of it."""
        self.check_reads()
        self.reply(await self.platform.run(efficiency_out, self.platform.factory))


def efficiency_out(factory: Factory) -> EfficiencyOut:
    """Return the last weeks as they are sent. Reads the database."""
    past = factory.efficiency.past()
    idle = tuple(
        IdleNowOut(
            allocation_id=each.allocation.id,
            user=each.allocation.user_name,
            project=each.allocation.request.project,
            gpus=each.allocation.request.gpus,
            idle_since=each.since,
        )
        for each in factory.efficiency.idle_now()
    )
    return EfficiencyOut(
        start=past.start, end=past.end, gpus=past.gpus, idle_now=idle, people=tuple(map(_person, past.people)), week=_week(past), waits=_waits(past)
    )


def _person(row: ReportRow) -> PersonUseOut:
    return PersonUseOut(
        user=str(row.keys["user"]),
        gpu_hours=row.gpu_seconds / 3600,
        used_gpu_hours=row.used_gpu_seconds / 3600,
        idle_gpu_hours=row.idle_gpu_seconds / 3600,
        unknown_gpu_hours=row.unknown_gpu_seconds / 3600,
    )


def _week(past: Past) -> tuple[HourOut, ...]:
    return tuple(
        HourOut(weekday=weekday, hour=hour, held_gpus=cell.held, used_gpus=cell.used, hours=cell.hours)
        for weekday, cells in enumerate(past.week)
        for hour, cell in enumerate(cells)
    )


def _waits(past: Past) -> tuple[WaitRowOut, ...]:
    return tuple(
        WaitRowOut(
            gpus=row.gpus,
            requests=row.requests,
            at_once=row.at_once,
            p50_seconds=row.p50_seconds,
            p90_seconds=row.p90_seconds,
            longest_seconds=row.longest_seconds,
            still_waiting=row.still_waiting,
        )
        for row in past.waits
    )


class ForecastHandler(AdminApiHandler):
    """``GET policy/forecast`` and ``POST policy/forecast``."""

    def get(self) -> None:
        """Answer with what is known."""
        self.check_reads()
        self.reply(forecast_out(self.platform.forecaster.now))

    def post(self) -> None:
        """Begin a forecast, unless one is under way."""
        self.check_acts()
        self.reply(forecast_out(self.platform.forecaster.start()), 202)


def forecast_out(forecast: Forecast) -> ForecastOut:
    """Return what is known as it is sent."""
    return ForecastOut(
        is_running=forecast.is_running,
        made_at=forecast.made_at,
        trouble=forecast.trouble,
        policy_version=forecast.policy_version,
        sessions=forecast.sessions,
        days=forecast.days,
        gpus=forecast.gpus,
        policies={name: dict(figures) for name, figures in forecast.policies.items()},
    )


RESOURCES = (
    Resource(
        EfficiencyHandler,
        (
            Route(
                method="GET",
                path="api/v1/efficiency",
                summary=f"Who holds GPUs idle, use by hour of the week and waits by GPU count, of the last {DAYS} days",
                description="For admins. Counted anew once an hour; who is idle now is as of now.",
                scope=READ,
                replies={200: Reply("The figures", EfficiencyOut)},
            ),
        ),
    ),
    Resource(
        ForecastHandler,
        (
            Route(
                method="GET",
                path="api/v1/policy/forecast",
                summary="What the policy in force would do with the demand of the last weeks, as last worked out",
                description="For admins.",
                scope=READ,
                replies={200: Reply("The forecast", ForecastOut)},
            ),
            Route(
                method="POST",
                path="api/v1/policy/forecast",
                summary="Work the forecast out anew; one at a time",
                description="For admins. It takes seconds to minutes; `GET` says when it is there.",
                scope=ACT,
                replies={202: Reply("It is under way", ForecastOut)},
            ),
        ),
    ),
)
