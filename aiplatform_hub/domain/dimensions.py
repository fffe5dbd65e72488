"""Dimensions of a quota, as data. A new one is a new row here and a case in ``quota``'s tests."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a dimension's use is counted."""

    CONCURRENT = "concurrent"
    """The sum over open allocations."""
    WINDOWED = "windowed"
    """The metered sum over the last days, open intervals included."""
    OBSERVED = "observed"
    """Measured outside (storage); no request asks for it."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One thing that can be limited."""

    name: str
    """Its word everywhere: YAML, columns, metrics, API, pages."""
    kind: Kind
    unit: str
    """Unit of its amounts: ``1``, ``B``, ``cores`` or ``h``."""
    label: str
    """What a page calls it."""


DIMENSIONS: dict[str, Dimension] = {
    d.name: d
    for d in (
        Dimension("gpus", Kind.CONCURRENT, "1", "GPUs"),
        Dimension("memory_bytes", Kind.CONCURRENT, "B", "Memory"),
        Dimension("cpu_cores", Kind.CONCURRENT, "cores", "CPU cores"),
        Dimension("environments", Kind.CONCURRENT, "1", "Environments"),
        Dimension("storage_bytes", Kind.OBSERVED, "B", "Storage"),
        Dimension("gpu_hours", Kind.WINDOWED, "h", "GPU-hours"),
    )
}
"""Every dimension by name."""
