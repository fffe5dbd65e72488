"""Charts in words and numbers: what the page templates draw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from aiplatform_hub.domain.series import SPARK_STEP
from aiplatform_hub.web.view_models.formats import duration

WIDTH, HEIGHT = 1000, 100
"""Size of a chart's own units; the page stretches them."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One line over time in a box of 1000 × 100 units, with what it says in words."""

    title: str
    summary: str
    top: str
    """What the upper edge stands for."""
    line: str
    """The path of the line; empty where nothing is known."""
    area: str
    """The path of what lies below it."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The box that a line is drawn in."""

    steps: float
    """How many steps of time its width is."""
    top: float
    """The value of its upper edge, above 0."""


def line(values: Iterable[tuple[int, float]], scale: Scale) -> tuple[str, str]:
    """Return the paths of a line and of the area below it: one stair for each step, and nothing where nothing is known.

    Parameters
    ----------
    values
        Number of the step and value, in order.
    """
    lines, areas = [], []
    for _, run in groupby(enumerate(values), key=lambda each: each[1][0] - each[0]):
        stairs = [(_x(number, scale), _y(value, scale), _x(number + 1, scale)) for _, (number, value) in run]
        path = " ".join(f"V{y} H{end}" for _, y, end in stairs)
        first = stairs[0]
        lines.append(f"M{first[0]} {first[1]} {path.partition(' ')[2]}")
        areas.append(f"M{first[0]} {HEIGHT} {path} V{HEIGHT} Z")
    return " ".join(lines), " ".join(areas)


def _x(number: float, scale: Scale) -> str:
    return _short(min(float(WIDTH), WIDTH * number / scale.steps))


def _y(value: float, scale: Scale) -> str:
    return _short(HEIGHT - HEIGHT * max(0.0, min(1.0, value / scale.top)))


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def spark_label(points: Sequence[int | None]) -> str:
    """Return what a small chart of the last hour shows, for who does not see it and beside it."""
    known = [percent for percent in points if percent is not None]
    if not known:
        return "Use of its GPUs in the last hour: not known"
    latest = points[-1]
    now = f"{latest} % now" if latest is not None else "not known now"
    unknown = (len(points) - len(known)) * SPARK_STEP
    rest = f"; not known for {duration(unknown)}" if unknown > timedelta() and latest is not None else ""
    mean = round(sum(known) / len(known))
    return f"Use of its GPUs in the last hour: {now}, {mean} % on average, {max(known)} % at most{rest}"
