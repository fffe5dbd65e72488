"""Time two callables in turns, so that a noisy machine disturbs both alike."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pair:
    """Seconds of each turn, in order."""

    ours: list[float]
    floor: list[float]

    @property
    def ratio(self) -> float:
        """Median of the turn-by-turn ratios."""
        return statistics.median(o / f for o, f in zip(self.ours, self.floor, strict=True))

    def line(self, name: str, target: float) -> str:
        """Return one line of a report."""
        ours, floor = statistics.median(self.ours) * 1000, statistics.median(self.floor) * 1000
        verdict = "met" if self.ratio <= target else "missed"
        return f"{name}: ours {ours:.2f} ms, floor {floor:.2f} ms, ratio {self.ratio:.3f} (target {target:.2f}, {verdict}; {len(self.ours)} turns)"


def in_turns(
    ours: Callable[[], object],
    floor: Callable[[], object],
    turns: int,
    *,
    warm_up: int = 2,
    calls: int = 1,
    after: Callable[[], object] = lambda: None,
) -> Pair:
    """Call both in turns, the one that goes first changing each time.

    ``calls`` of each make one turn, whose time is their mean: what takes a millisecond is not judged by
    one call. ``after`` tidies up behind each call of ours, untimed.
    """
    for _ in range(warm_up):
        ours()
        after()
        floor()
    pair = Pair([], [])
    for turn in range(turns):
        both = [(ours, pair.ours), (floor, pair.floor)]
        for call, seconds in both if turn % 2 else reversed(both):
            tidy = after if call is ours else _nothing
            seconds.append(sum(_timed(call, tidy) for _ in range(calls)) / calls)
    return pair


def _timed(call: Callable[[], object], after: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    spent = time.perf_counter() - start
    after()
    return spent


def _nothing() -> None:
    pass


def machine() -> str:
    """Return one line that says where the figures come from."""
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown")
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    return f"machine: {cores} cores, {cpu}, Linux {platform.release()}, Python {platform.python_version()}"
