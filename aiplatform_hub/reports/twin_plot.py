"""A figure of what a policy did with traces. matplotlib is loaded when one is drawn, and need not be installed otherwise."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from aiplatform_hub.domain.policy import HOUR_SECONDS
from aiplatform_hub.domain.twin import TwinResult, Wait
from aiplatform_hub.domain.twin.result import WHOLE_BOX_GPUS
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.reports.twin_scores import shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = {".png": "png", ".svg": "svg"}
"""Format by the file's ending."""

MOST_USERS = 30
"""So many users' shares have room."""

_COLOURS = {"useful": "#0072b2", "idle": "#e69f00", "light": "#0072b2", "heavy": "#d55e00", "4-GPU": "#009e73"}
"""Told apart by the colour-blind too (Okabe and Ito); lines also differ by their dashes."""

_DASHES = {"light": "solid", "heavy": "dashed", "4-GPU": "dashdot"}


def check_plot(file: Path) -> None:
    """Refuse a figure that could not be drawn, before the work for it is done.

    Raises
    ------
    ConfigurationError
        If the ending is not known or matplotlib is not installed; the message says how it is.
    """
    if file.suffix.lower() not in FORMATS:
        raise ConfigurationError(f"A plot is a .png or .svg file, not {file.name}.")
    if find_spec("matplotlib") is None:
        raise ConfigurationError(f"A plot needs matplotlib, which is not installed here. Install it: {sys.executable} -m pip install 'matplotlib>=3.10'")


def plot(results: Sequence[TwinResult], suffix: str) -> bytes:
    """Return a figure: use of the GPUs by trace, waits by kind of request, and share by user.

    Parameters
    ----------
    suffix
        ``.png`` or ``.svg``.
    """
    from matplotlib import rc_context  # noqa: PLC0415  heavy, and optional
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context({"svg.fonttype": "none"}):
        figure = Figure(figsize=(15, max(5, len(results) / 4)), dpi=120, layout="constrained")
        use, waits, users = figure.subplots(1, 3, width_ratios=(2, 3, 3))
        _draw_use(use, results)
        _draw_waits(waits, [wait for result in results for wait in result.waits])
        _draw_shares(users, results)
        image, kind = io.BytesIO(), FORMATS[suffix.lower()]
        figure.savefig(image, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return image.getvalue()


def _draw_use(axes: Axes, results: Sequence[TwinResult]) -> None:
    names = [result.trace for result in results]
    useful = [100 * result.useful_fraction for result in results]
    idle = [100 * (result.occupancy_fraction - result.useful_fraction) for result in results]
    places = range(len(names))
    axes.barh(places, useful, color=_COLOURS["useful"], label="useful")
    axes.barh(places, idle, left=useful, color=_COLOURS["idle"], hatch="//", label="held idle")
    axes.set(title="Use of the GPUs", xlabel="% of all GPU-time", xlim=(0, 100), yticks=places, yticklabels=names)
    axes.invert_yaxis()
    axes.legend(loc="lower left")


def _draw_waits(axes: Axes, waits: Sequence[Wait]) -> None:
    kinds = {
        "light": [wait for wait in waits if wait.is_light],
        "heavy": [wait for wait in waits if not wait.is_light],
        "4-GPU": [wait for wait in waits if wait.gpus == WHOLE_BOX_GPUS],
    }
    for kind, found in kinds.items():
        hours = sorted(wait.wait_seconds / HOUR_SECONDS for wait in found)
        if hours:
            axes.ecdf(hours, color=_COLOURS[kind], linestyle=_DASHES[kind], label=f"{kind} ({len(hours)})")
    axes.set_xscale("symlog", linthresh=1)
    longest = max((wait.wait_seconds / HOUR_SECONDS for wait in waits), default=0)
    ticks = [hours for hours in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if hours <= max(1, longest)]
    axes.set_xticks(ticks, map(str, ticks), minor=False)
    axes.set_xticks([], minor=True)
    axes.set(title="Waits", xlabel="hours", ylabel="part of the requests that waited at most so long", xlim=(0, None), ylim=(0, 1))
    axes.axhline(0.5, color="grey", linewidth=0.5)
    axes.axhline(0.95, color="grey", linewidth=0.5)
    if waits:
        axes.legend(loc="lower right")


def _draw_shares(axes: Axes, results: Sequence[TwinResult]) -> None:
    mean: dict[str, float] = {}
    for result in results:
        for user, share in shares(result).items():
            mean[user] = mean.get(user, 0.0) + 100 * share / len(results)
    largest = sorted(mean, key=lambda user: (-mean[user], user))[:MOST_USERS]
    places = range(len(largest))
    left_out = f", the {MOST_USERS} largest of {len(mean)}" if len(mean) > MOST_USERS else ""
    axes.barh(places, [mean[user] for user in largest], color=_COLOURS["useful"])
    axes.axvline(100 / len(mean), color="grey", linestyle="dotted", label="equal shares")
    axes.set(title=f"Share by user{left_out}", xlabel="% of the GPU-time served, mean over the traces", yticks=places, yticklabels=largest)
    axes.invert_yaxis()
    axes.legend(loc="lower right")
