"""How well GPUs are used, for an admin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.gpu_weeks import HourOfWeek, WaitRow
from aiplatform_hub.operations.cost_reporter import ReportRow
from aiplatform_hub.operations.efficiency import IdleNow, Past
from aiplatform_hub.web.view_models.activity import ActivityBar, activity_bar
from aiplatform_hub.web.view_models.formats import Stamp, count, duration, hours, percent, server_label, stamp
from aiplatform_hub.web.view_models.labels import project_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.people import people_url

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_STEPS = (0.05, 0.25, 0.5, 0.75)
"""From which part of all GPUs on a cell is drawn in the next colour."""
_FIGURES = {
    "useful_fraction": "Useful",
    "occupancy_fraction": "Occupied",
    "light_wait_hours": "Wait of light users",
    "heavy_wait_hours": "Wait of heavy users",
    "four_gpu_wait_hours": "Wait for 4 GPUs",
    "cut_work_fraction": "Work cut off",
}
"""What the twin scores, and what the page calls it."""
POLICIES = {"in_force": "Policy in force", "shipped": "As shipped"}


@dataclass(frozen=True, slots=True)
class IdleRow:
    """A session whose GPUs are idle now."""

    user: str
    user_url: str
    session: str
    session_url: str
    gpus: int
    project: str
    idle_for: str
    since: Stamp | None


@dataclass(frozen=True, slots=True)
class PersonUse:
    """One person in the ranking."""

    rank: int
    user: str
    user_url: str
    held: str
    used: str
    idle: str
    unknown: str
    idle_part: str
    """Of what is known."""
    bar: ActivityBar | None


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One hour of the week."""

    text: str
    step: str
    """Which colour: ``0`` to ``4``, or ``none``."""
    title: str


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One day of the week."""

    day: str
    cells: tuple[HeatCell, ...]


@dataclass(frozen=True, slots=True)
class WaitLine:
    """Waits of the requests for one number of GPUs."""

    gpus: str
    requests: str
    at_once: str
    p50: str
    p90: str
    longest: str
    waiting: str


@dataclass(frozen=True, slots=True)
class ForecastView:
    """The twin's forecast."""

    is_running: bool
    made_at: Stamp | None
    trouble: str
    basis: str
    """What it was reckoned from."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """Figure and its value with each policy."""
    is_old: bool
    """Whether another policy counts now."""


@dataclass(frozen=True, slots=True)
class EfficiencyPage:
    """What Efficiency shows."""

    start: Stamp | None
    end: Stamp | None
    idle: tuple[IdleRow, ...]
    total: ActivityBar | None
    people: tuple[PersonUse, ...]
    heat: tuple[HeatRow, ...]
    heat_label: str
    waits: tuple[WaitLine, ...]
    policy_version: str
    forecast: ForecastView


def efficiency_page(  # noqa: PLR0913  keyword-only
    past: Past, idle: Sequence[IdleNow], *, forecast: ForecastView, policy_version: int, catalog: Catalog, now: datetime, paths: Paths
) -> EfficiencyPage:
    """Return the page."""
    is_used_known = past.total is not None and past.total.used_gpu_seconds + past.total.idle_gpu_seconds > 0
    return EfficiencyPage(
        start=stamp(past.start),
        end=stamp(past.end),
        idle=tuple(idle_row(each, catalog, now, paths) for each in idle),
        total=activity_bar((past.total,)) if past.total else None,
        people=tuple(person_use(rank, row, paths) for rank, row in enumerate(past.people, 1)),
        heat=heat(past.week, past.gpus, is_used_known=is_used_known) if past.total and past.gpus else (),
        heat_label=f"GPUs {'that computed' if is_used_known else 'held'} by hour and weekday, in % of {count(past.gpus, 'GPU')}",
        waits=tuple(wait_line(row) for row in past.waits),
        policy_version=f"Version {policy_version}" if policy_version else "As shipped",
        forecast=forecast,
    )


def idle_row(one: IdleNow, catalog: Catalog, now: datetime, paths: Paths) -> IdleRow:
    """Return one session whose GPUs are idle now."""
    allocation = one.allocation
    return IdleRow(
        user=allocation.user_name,
        user_url=people_url(paths, allocation.user_name),
        session=server_label(allocation.server_name),
        session_url=paths.session(allocation.id),
        gpus=allocation.request.gpus,
        project=project_label(catalog, allocation.request.project),
        idle_for=duration(now - one.since),
        since=stamp(one.since),
    )


def person_use(rank: int, row: ReportRow, paths: Paths) -> PersonUse:
    """Return one person in the ranking."""
    name = str(row.keys["user"])
    known = row.used_gpu_seconds + row.idle_gpu_seconds
    return PersonUse(
        rank=rank,
        user=name,
        user_url=people_url(paths, name),
        held=hours(row.gpu_seconds),
        used=hours(row.used_gpu_seconds),
        idle=hours(row.idle_gpu_seconds),
        unknown=hours(row.unknown_gpu_seconds),
        idle_part=f"{percent(row.idle_gpu_seconds, known)} %",
        bar=activity_bar((row,)),
    )


def heat(week: Sequence[Sequence[HourOfWeek]], gpus: int, *, is_used_known: bool) -> tuple[HeatRow, ...]:
    """Return the week as cells."""
    return tuple(
        HeatRow(WEEKDAYS[day], tuple(_cell(f"{WEEKDAYS[day]} {hour:02}:00", cell, gpus, is_used_known=is_used_known) for hour, cell in enumerate(cells)))
        for day, cells in enumerate(week)
    )


def _cell(when: str, cell: HourOfWeek, gpus: int, *, is_used_known: bool) -> HeatCell:
    if not cell.hours:
        return HeatCell("–", "none", f"{when}: not in the span")
    fraction = min(1.0, (cell.used if is_used_known else cell.held) / gpus)
    used = f", {cell.used:.1f} computed" if is_used_known else ""
    return HeatCell(f"{fraction * 100:.0f}", str(sum(fraction >= step for step in _STEPS)), f"{when} UTC: {cell.held:.1f} of {gpus} GPUs held{used}")


def wait_line(row: WaitRow) -> WaitLine:
    """Return the waits of the requests for one number of GPUs."""
    return WaitLine(
        gpus=count(row.gpus, "GPU"),
        requests=f"{row.requests:,}",
        at_once=f"{percent(row.at_once, row.requests)} %",
        p50=_span(row.p50_seconds),
        p90=_span(row.p90_seconds),
        longest=_span(row.longest_seconds),
        waiting=str(row.still_waiting) if row.still_waiting else "–",
    )


def _span(seconds: float) -> str:
    return duration(timedelta(seconds=seconds))


def forecast_view(  # noqa: PLR0913  keyword-only
    policies: Mapping[str, Mapping[str, Any]],
    *,
    is_running: bool,
    made_at: datetime | None,
    trouble: str,
    sessions: int,
    days: int,
    gpus: int,
    is_old: bool,
) -> ForecastView:
    """Return the twin's forecast; figures that no policy has are left out."""
    names = [name for name in POLICIES if name in policies]
    rows = [(label, tuple(figure_text(policies[name].get(key)) for name in names)) for key, label in _FIGURES.items()]
    return ForecastView(
        is_running=is_running,
        made_at=stamp(made_at),
        trouble=trouble,
        basis=f"{count(sessions, 'session')} of the last {count(days, 'day')} on {count(gpus, 'GPU')}",
        columns=tuple(POLICIES[name] for name in names),
        rows=tuple((label, values) for label, values in rows if any(value != "–" for value in values)) if names else (),
        is_old=is_old,
    )


def figure_text(value: Any) -> str:
    """Return one figure of the twin: a part of the GPU time, or a wait as median and 95 % quantile."""
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        if value.get("p50") is None:
            return "–"
        return f"{_span(value['p50'] * 3600)}, 95 % within {_span(value['p95'] * 3600)}"
    return f"{value * 100:.1f} %"
