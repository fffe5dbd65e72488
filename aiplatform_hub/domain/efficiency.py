"""How well a session used its GPUs, once it is over: a statement of what was seen, and none of what was not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from aiplatform_hub.domain.activity import SAMPLE_PERIOD

ENOUGH_KNOWN = 0.8
"""Part of its time that must be known before it is said how many GPUs would have done."""
SHORTEST = timedelta(minutes=10)
"""What ran for less than this says nothing of what its owner needs."""


@dataclass(frozen=True, slots=True)
class GpuUse:
    """What the minutes of a session say of all its GPUs together."""

    samples: int
    """Looks at single GPUs."""
    mean_utilisation_percent: float
    most_busy_gpus: int
    """The most GPUs that were busy in one minute."""
    most_memory_bytes: int
    """The most memory that all of them had in use in one minute."""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How well a session used its GPUs."""

    gpus: int
    ran: timedelta
    known: timedelta
    """For how much of that somebody looked."""
    busy_percent: float | None
    """Mean utilisation of its GPUs while somebody looked; None where nobody did."""
    most_memory_bytes: int | None
    gpus_needed: int | None
    """How many GPUs would have done; None where too little is known to say so."""

    @property
    def could_have_been_smaller(self) -> bool:
        """Whether fewer GPUs would have done."""
        return self.gpus_needed is not None and self.gpus_needed < self.gpus


def efficiency(use: GpuUse | None, *, gpus: int, ran: timedelta, gpu_memory_bytes: int | None) -> Efficiency | None:
    """Return how well a session used its GPUs; None where it had none, or did not run.

    As many would have done as were busy in the same minute, but not fewer than hold the memory that was in use. What never was
    busy needed none.

    Parameters
    ----------
    use
        None where nobody looked.
    ran
        From its start to its end.
    gpu_memory_bytes
        Memory of the smallest of its GPUs; None where that is not known.
    """
    if not gpus or ran <= timedelta():
        return None
    if use is None or not use.samples:
        return Efficiency(gpus, ran, timedelta(), None, None, None)
    known = min(ran, SAMPLE_PERIOD * use.samples / gpus)
    is_enough = ran >= SHORTEST and known >= ran * ENOUGH_KNOWN
    needed = _needed(use, gpus, gpu_memory_bytes) if is_enough else None
    return Efficiency(gpus, ran, known, use.mean_utilisation_percent, use.most_memory_bytes, needed)


def _needed(use: GpuUse, gpus: int, gpu_memory_bytes: int | None) -> int | None:
    if use.most_busy_gpus in {0, gpus}:
        return use.most_busy_gpus
    if not gpu_memory_bytes:
        return None
    return min(gpus, max(use.most_busy_gpus, -(-use.most_memory_bytes // gpu_memory_bytes)))
