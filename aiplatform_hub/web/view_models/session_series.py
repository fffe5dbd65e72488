"""What one session did over time, as charts and as a table; and how well it used its GPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.efficiency import Efficiency
from aiplatform_hub.domain.units import GIB, MIB, format_bytes, format_number
from aiplatform_hub.operations.session_series import LONGEST, GpuSeries, SessionSeries
from aiplatform_hub.web.view_models.charts import Chart, Scale, line
from aiplatform_hub.web.view_models.environments import EnvironmentCard
from aiplatform_hub.web.view_models.formats import Stamp, count, duration, stamp
from aiplatform_hub.web.view_models.labels import gpu_label
from aiplatform_hub.web.view_models.paths import Paths

MOST_ROWS = 24
"""Most lines of the table."""

_PROCESSES = "Processor and memory"

Value = tuple[datetime, float]


@dataclass(frozen=True, slots=True)
class ChartGroup:
    """What is measured of one thing."""

    title: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One line of the table."""

    at: Stamp | None
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SeriesView:
    """A session over time."""

    groups: tuple[ChartGroup, ...]
    start: Stamp | None
    end: Stamp | None
    columns: tuple[str, ...]
    rows: tuple[SeriesRow, ...]
    row_length: str
    note: str
    """Why there is nothing to see, or not all."""


@dataclass(frozen=True, slots=True)
class EfficiencyCard:
    """How well a session used its GPUs, in a sentence, with what that means for the next start."""

    headline: str
    advice: str
    lines: tuple[str, ...]
    smaller_gpus: int | None
    """How many GPUs to start it with next; None where the count was right, or is not known."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One measured value over time."""

    group: str
    title: str
    column: str
    """What the table calls it."""
    values: tuple[Value, ...]
    top: float
    words: Callable[[float], str]
    ceiling: str
    """What the upper edge stands for."""


def series_view(series: SessionSeries, allocation: Allocation, catalog: Catalog, *, is_cluster: bool) -> SeriesView | None:
    """Return a session's charts; None for what never ran."""
    if allocation.started_at is None:
        return None
    lines = [each for each in _lines(series, allocation, catalog) if each.values]
    is_over = allocation.ended_at is not None
    groups: dict[str, list[Chart]] = {}
    for each in lines:
        groups.setdefault(each.group, []).append(_chart(each, series, is_over=is_over))
    every = max(1, -(-_steps(series) // MOST_ROWS))
    return SeriesView(
        groups=tuple(ChartGroup(title, tuple(charts)) for title, charts in groups.items()),
        start=stamp(series.start),
        end=stamp(series.end),
        columns=tuple(each.column for each in lines),
        rows=_rows(lines, series, every),
        row_length=duration(series.step * every),
        note=_note(series, is_over=is_over, is_cluster=is_cluster),
    )


def _note(series: SessionSeries, *, is_over: bool, is_cluster: bool) -> str:
    if not series.is_empty:
        return f"Of its last {duration(LONGEST)}; the REST API has what was before." if series.is_cut else ""
    if is_cluster:
        return "Nobody measures in this cluster what single GPUs, cores and memory do."
    if is_over:
        return "Nothing is kept of it: it was too short, nobody looked, or it is more than 30 days ago."
    return "Nothing to see yet: each minute is written once it is over."


def _steps(series: SessionSeries) -> int:
    return -((series.start - series.end) // series.step)


def _lines(series: SessionSeries, allocation: Allocation, catalog: Catalog) -> Iterable[_Line]:
    for gpu in series.gpus:
        group, name, points = _gpu_title(gpu, allocation, catalog), _gpu_name(gpu), gpu.points
        use = tuple((point.at, point.mean_utilisation_percent) for point in points)
        yield _Line(group, "Use", f"{name} use", use, 100.0, _percent, "100 %")
        has = gpu.device.memory_bytes if gpu.device else 0
        yield _memory(group, f"{name} memory", [(point.at, float(point.max_memory_bytes)) for point in points], has)
    cores = tuple((point.at, point.cpu_cores) for point in series.points if point.cpu_cores is not None)
    top = max([float(allocation.request.cpu_cores), *(value for _, value in cores)])
    yield _Line(_PROCESSES, "Cores busy", "Cores", cores, top, _cores, count(round(top), "core"))
    memory = [(point.at, float(point.memory_bytes)) for point in series.points if point.memory_bytes is not None]
    yield _memory(_PROCESSES, "Memory", memory, allocation.request.memory_bytes)


def _memory(group: str, column: str, values: Sequence[Value], has_bytes: float) -> _Line:
    top = max([has_bytes, 1.0, *(value for _, value in values)])
    return _Line(group, "Memory", column, tuple(values), top, _bytes, _bytes(top))


def _gpu_title(gpu: GpuSeries, allocation: Allocation, catalog: Catalog) -> str:
    kind = gpu_label(catalog, allocation.request.gpu_type)
    place = f" on {gpu.device.node}" if gpu.device and gpu.device.node else ""
    return f"{_gpu_name(gpu)}{place}" + (f", {kind}" if kind else "")


def _gpu_name(gpu: GpuSeries) -> str:
    return f"GPU {gpu.device.index if gpu.device else gpu.uuid}"


def _chart(one: _Line, series: SessionSeries, *, is_over: bool) -> Chart:
    steps = [((at - series.start) // series.step, value) for at, value in one.values]
    path, area = line(steps, Scale((series.end - series.start) / series.step, one.top))
    values = [value for _, value in one.values]
    latest_at, latest = one.values[-1]
    is_now = not is_over and series.end - latest_at <= series.step + timedelta(minutes=2)
    now, mean, most = one.words(latest), one.words(sum(values) / len(values)), one.words(max(values))
    parts = [*([f"now {now}"] if is_now else []), f"mean {mean}", f"most {most}"]
    summary = f"{mean} throughout" if one.words(min(values)) == most else ", ".join(parts)
    return Chart(one.title, summary, one.ceiling, path, area)


def _rows(lines: Sequence[_Line], series: SessionSeries, every: int) -> tuple[SeriesRow, ...]:
    """Return the mean of each line in each few steps."""
    width = series.step * every
    cells: dict[int, dict[int, list[float]]] = {}
    for number, each in enumerate(lines):
        for at, value in each.values:
            cells.setdefault((at - series.start) // width, {}).setdefault(number, []).append(value)
    return tuple(
        SeriesRow(
            stamp(series.start + width * place),
            tuple(each.words(sum(found[number]) / len(found[number])) if number in found else "not known" for number, each in enumerate(lines)),
        )
        for place, found in sorted(cells.items())
    )


def efficiency_card(found: Efficiency | None) -> EfficiencyCard | None:
    """Return what is said of a session's GPUs once it is over; None where nothing is known of them."""
    if found is None or found.busy_percent is None:
        return None
    its = "GPU" if found.gpus == 1 else "GPUs"
    lines = [f"Most GPU memory at once: {format_bytes(found.most_memory_bytes or 0)}."]
    if found.known < found.ran * 0.99:
        lines.append(f"Somebody looked for {duration(found.known)} of that.")
    return EfficiencyCard(
        headline=f"{its} busy {_percent(found.busy_percent)} of {duration(found.ran)}",
        advice=_advice(found),
        lines=tuple(lines),
        smaller_gpus=found.gpus_needed if found.could_have_been_smaller else None,
    )


def _advice(found: Efficiency) -> str:
    if found.gpus_needed is None:
        return "Too little is known of it to say how many GPUs would have done."
    if found.gpus_needed == 0:
        return "It never used its GPU: it could have run without one." if found.gpus == 1 else "It never used its GPUs: it could have run without one."
    if found.could_have_been_smaller:
        return f"{count(found.gpus_needed, 'GPU')} would have done."
    return "" if found.gpus == 1 else f"It needed all {found.gpus} at once."


def smaller_url(card: EnvironmentCard, efficiency: EfficiencyCard | None, catalog: Catalog, paths: Paths) -> str:
    """Return where the same is launched with the GPUs that would have done; empty where those are not fewer, or not offered."""
    fewer = efficiency.smaller_gpus if efficiency else None
    template = catalog.environment_templates.get(str(card.again.get("environment_template")))
    if fewer is None or template is None or not template.gpus.minimum <= fewer <= template.gpus.maximum:
        return ""
    return paths.launch(**{**card.again, "gpus": fewer, "gpu_type": card.again["gpu_type"] if fewer else None})


def _percent(value: float) -> str:
    return f"{round(value)} %"


def _cores(value: float) -> str:
    return format_number(Decimal(value))


def _bytes(value: float) -> str:
    """Return bytes as far as a chart shows them: tenths of a GiB, whole MiB."""
    return format_bytes(round(Decimal(value) / GIB, 1) * GIB if value >= GIB else round(value / MIB) * MIB)
