"""(g) What a thousand active servers cost a hub with our chain, and one with plain KubeSpawner, on KWOK's nodes.

Each of the two hubs gets ``--active`` servers of one GPU: half of the nodes' GPUs are for one, half for the other. With no server, and then with all of
them, both hubs are ended and started again in turns, ``--restarts`` times: timed is the start until the hub answers through its proxy, which it does once it
has checked every server. Memory is what the hub's resident memory is more with servers than without. Idle CPU is read from both over the same minute.

Run: python benchmarks/cluster_active.py --cluster RUN_DIR [--active 1000 --restarts 5 --nodes 250]

A cluster stands after: python -m tests.cluster.machinery up --run-dir RUN_DIR
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cluster_hubs import Side, both_hubs
from pairs import machine
from servers import postgresql

HUB_START_RATIO = 1.10
BYTES_PER_SERVER = 20_000
IDLE_POINTS = 1
TRIES = 5
SETTLE_SECONDS = 25
"""What a hub does just after its start is not idling."""


@dataclass
class Figures:
    """What was read of one hub with so many servers active."""

    starts: list[float] = field(default_factory=list)
    """Seconds from the hub's start until it answered."""
    start_cpu: list[float] = field(default_factory=list)
    """Seconds that its threads ran until then."""
    bytes: list[int] = field(default_factory=list)
    """Resident memory some seconds after each start."""
    idle_percent: float = 0
    """Of one core."""


def restart(side: Side, figures: Figures) -> None:
    side.hub.kill_hub(signal.SIGTERM)
    began = time.perf_counter()
    side.hub.start_hub()
    figures.starts.append(time.perf_counter() - began)
    figures.start_cpu.append(side.hub_cpu_ms() / 1000)
    time.sleep(6)
    figures.bytes.append(side.rss_bytes())


def measure(sides: tuple[Side, Side], restarts: int, idle_seconds: float) -> dict[str, Figures]:
    """Start both hubs again in turns, then watch them idle."""
    found = {side.name: Figures() for side in sides}
    for turn in range(restarts):
        for side in sides if turn % 2 else reversed(sides):
            restart(side, found[side.name])
    time.sleep(SETTLE_SECONDS)
    cpu, began = {side.name: side.hub_cpu_ms() for side in sides}, time.perf_counter()
    time.sleep(idle_seconds)
    for side in sides:
        found[side.name].idle_percent = (side.hub_cpu_ms() - cpu[side.name]) / (time.perf_counter() - began) / 10
    for name, figures in found.items():
        starts = ", ".join(f"{seconds:.2f}" for seconds in figures.starts)
        print(
            f"  {name}: start {starts} s (CPU p50 {statistics.median(figures.start_cpu):.2f} s), RSS p50 {statistics.median(figures.bytes) / 1e6:.1f} MB,",
            end="",
        )
        print(f" idle {figures.idle_percent:.2f} % of a core; load {os.getloadavg()[0]:.1f}", flush=True)
    return found


def compare(empty: dict[str, Figures], full: dict[str, Figures], count: int) -> None:
    ours, stock = full["ours"], full["stock"]
    ratio = statistics.median(a / b for a, b in zip(ours.starts, stock.starts, strict=True))
    print(f"  hub start, turn by turn: ratio {ratio:.3f} (target {HUB_START_RATIO}, {_verdict(ratio <= HUB_START_RATIO)})")
    each = {name: (statistics.median(full[name].bytes) - statistics.median(empty[name].bytes)) / count for name in full}
    more = each["ours"] - each["stock"]
    print(f"  memory per server: ours {each['ours'] / 1000:.1f} kB, stock {each['stock'] / 1000:.1f} kB: {more / 1000:+.1f} kB (target +20, ", end="")
    print(f"{_verdict(more <= BYTES_PER_SERVER)})")
    points = ours.idle_percent - stock.idle_percent
    print(f"  idle CPU: {points:+.2f} points (target +1, {_verdict(points <= IDLE_POINTS)})", flush=True)


def fill(side: Side, people: tuple[str, ...], clients: int) -> None:
    """Start everybody's server; who is refused as too busy asks again when told."""
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        refused = sum(pool.map(lambda person: side.launch(person, tries=TRIES), people))
    print(
        f"  {side.name}: {len(people)} servers in {time.perf_counter() - began:.0f} s, {refused} refused and tried again, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", type=Path, required=True, help="run folder of a standing test cluster")
    parser.add_argument("--active", type=int, default=1000)
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=250, help="nodes of 8 GPUs that KWOK plays")
    parser.add_argument("--clients", type=int, default=20, help="how many servers start at once")
    parser.add_argument("--idle-seconds", type=float, default=60)
    arguments = parser.parse_args()
    print(machine(), f"load {os.getloadavg()}", flush=True)
    people = tuple(f"bench{number}" for number in range(arguments.active))
    with postgresql() as url, both_hubs(arguments.cluster, url, gpus=1, fake_nodes=arguments.nodes, people=people) as sides:
        print(f"no server, {len(people)} people known:")
        empty = measure(sides, arguments.restarts, arguments.idle_seconds)
        for side in sides:
            fill(side, people, arguments.clients)
        print(f"{len(people)} active servers at each hub:")
        full = measure(sides, arguments.restarts, arguments.idle_seconds)
        compare(empty, full, len(people))
    print(f"load {os.getloadavg()}")


if __name__ == "__main__":
    main()
