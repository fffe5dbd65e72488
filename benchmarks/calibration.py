"""How often waits end between the estimated p10 and p90, and how far the p50 is off, on demand traces in simulated time.

An estimate is made for each request that has to wait, at the moment of its request, from what an installation would know then.
The p50 is compared with the mean of the waits that had ended by then, of requests that had to wait. Requests that start at once have no estimate, and those of the
first days are left out: until then too little is known.

Run: python benchmarks/calibration.py [TRACE.csv ...] [--seeds 10] [--first-seed 1000] [--skip-days 3]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from aiplatform_hub.domain.policy import DAY_SECONDS, SHIPPED
from aiplatform_hub.domain.twin import Trace, simulate
from aiplatform_hub.domain.wait_estimates import Forecast, WaitEstimate, estimates
from aiplatform_hub.reports.traces import read_trace

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.support.lab_traces import lab_trace


@dataclass(slots=True)
class Watch:
    """Makes an estimate for everybody who begins to wait."""

    found: dict[tuple[str, float], WaitEstimate] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def __call__(self, given: Forecast, new: frozenset[str]) -> None:
        began = time.perf_counter()
        made = estimates(given)
        self.seconds.append(time.perf_counter() - began)
        for user in new:
            self.found[user, given.line.now_seconds] = made[user]


@dataclass(frozen=True, slots=True)
class Score:
    """How good the estimates of one trace were."""

    name: str
    count: int
    below: float
    inside: float
    above: float
    p50_error_hours: float
    mean_error_hours: float
    median_ms: float

    @property
    def gain(self) -> float:
        """By which part the p50 is nearer than the mean of past waits."""
        return 1 - self.p50_error_hours / self.mean_error_hours


def score(trace: Trace, skip_days: float, pick: str = "all") -> Score:
    """Return how good the estimates of a trace were."""
    watch = Watch()
    waits = {(w.user, w.requested_seconds): w for w in simulate(trace, SHIPPED, watch).waits}
    rows = [(watch.found[key], waits[key]) for key in sorted(watch.found, key=lambda key: key[1])]
    ended = [(w.requested_seconds + w.wait_seconds, w.wait_seconds) for _, w in rows if not w.is_still_waiting]
    below = inside = above = 0
    errors, mean_errors = [], []
    for estimate, wait in rows:
        past = [seconds for at, seconds in ended if at <= wait.requested_seconds]
        if wait.is_still_waiting or not past or wait.requested_seconds < skip_days * DAY_SECONDS or not chosen(wait, pick):
            continue
        below += wait.wait_seconds < estimate.p10_seconds
        above += wait.wait_seconds > estimate.p90_seconds
        inside += estimate.p10_seconds <= wait.wait_seconds <= estimate.p90_seconds
        errors.append(abs(wait.wait_seconds - estimate.p50_seconds))
        mean_errors.append(abs(wait.wait_seconds - statistics.fmean(past)))
    n = len(errors)
    return Score(
        trace.name,
        n,
        below / n,
        inside / n,
        above / n,
        statistics.fmean(errors) / 3600,
        statistics.fmean(mean_errors) / 3600,
        statistics.median(watch.seconds) * 1000,
    )


def chosen(wait, pick):
    return {"all": True, "light": wait.is_light, "heavy": not wait.is_light, "four": wait.gpus == 4}[pick]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("traces", nargs="*", type=Path)
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--skip-days", type=float, default=3)
    parser.add_argument("--pick", default="all")
    args = parser.parse_args()
    traces = [read_trace(path, capacity_gpus=4, days=28).trace for path in args.traces] + [lab_trace(args.first_seed + number) for number in range(args.seeds)]
    print("| trace | waits | < p10 | p10 to p90 | > p90 | p50 off by | mean of past waits off by | better by | one estimate |")
    print("|---|---|---|---|---|---|---|---|---|")
    scores = [score(trace, args.skip_days, args.pick) for trace in traces]
    for each in scores:
        print(line(each))
    print(line(mean(scores)))


def line(s: Score) -> str:
    return f"| {s.name} | {s.count} | {s.below:.1%} | {s.inside:.1%} | {s.above:.1%} | {s.p50_error_hours:.2f} h | {s.mean_error_hours:.2f} h | {s.gain:.1%} | {s.median_ms:.1f} ms |"


def mean(scores: list[Score]) -> Score:
    of = lambda name: statistics.fmean(getattr(s, name) for s in scores)  # noqa: E731
    return Score("mean", round(of("count")), of("below"), of("inside"), of("above"), of("p50_error_hours"), of("mean_error_hours"), of("median_ms"))


if __name__ == "__main__":
    main()
