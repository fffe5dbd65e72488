"""How much of GPU time was used, idle, or is not known: numbers, and a bar of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from aiplatform_hub.web.view_models.formats import hours

if TYPE_CHECKING:
    from aiplatform_hub.operations.cost_reporter import ReportRow


@dataclass(frozen=True, slots=True)
class ActivityPart:
    """One of the three, as a piece of a bar in a 100 × 1 box and a line of its legend."""

    kind: str
    """``used``, ``idle`` or ``unknown``."""
    label: str
    text: str
    x: str
    width: str


@dataclass(frozen=True, slots=True)
class ActivityBar:
    """GPU time in its three parts, which are the whole."""

    parts: tuple[ActivityPart, ...]
    is_known: bool
    """Whether anything is known of it."""


LABELS = {"used": "Used", "idle": "Idle", "unknown": "Not known"}


def activity_bar(rows: Sequence[ReportRow]) -> ActivityBar | None:
    """Return the parts of the GPU time of rows together, or None where there was none."""
    amounts = {
        "used": sum((row.used_gpu_seconds for row in rows), Decimal(0)),
        "idle": sum((row.idle_gpu_seconds for row in rows), Decimal(0)),
        "unknown": sum((row.unknown_gpu_seconds for row in rows), Decimal(0)),
    }
    whole = sum(amounts.values(), Decimal(0))
    if not whole:
        return None
    parts, before = [], Decimal(0)
    for kind, amount in amounts.items():
        percent = amount * 100 / whole
        text = f"{hours(amount)} GPU-hours, {_percent(percent)}"
        parts.append(ActivityPart(kind, LABELS[kind], text, f"{before:.3f}", f"{percent:.3f}"))
        before += percent
    return ActivityBar(tuple(parts), is_known=amounts["unknown"] < whole)


def _percent(percent: Decimal) -> str:
    """Return a part in whole percents; only nothing is 0 %, and only the whole is 100 %."""
    if 0 < percent < 1:
        return "less than 1 %"
    return "more than 99 %" if 99 < percent < 100 else f"{percent:.0f} %"  # noqa: PLR2004
