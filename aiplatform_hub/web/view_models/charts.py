"""Charts in words and numbers: what the page templates draw."""

from __future__ import annotations

from collections.abc import Sequence

from aiplatform_hub.domain.series import SPARK_STEP
from aiplatform_hub.web.view_models.formats import duration


def spark_label(points: Sequence[int | None]) -> str:
    """Return what a small chart of the last hour shows, for who does not see it and beside it."""
    known = [percent for percent in points if percent is not None]
    if not known:
        return "Use of its GPUs in the last hour: not known"
    latest = points[-1]
    now = f"{latest} % now" if latest is not None else "not known now"
    unknown = (len(points) - len(known)) * SPARK_STEP
    rest = f"; not known for {duration(unknown)}" if unknown and latest is not None else ""
    mean = round(sum(known) / len(known))
    return f"Use of its GPUs in the last hour: {now}, {mean} % on average, {max(known)} % at most{rest}"
