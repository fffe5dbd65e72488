"""(g) Starts through our chain against plain KubeSpawner on a real cluster, with the same pod.

Two real hubs, each behind its own proxy and with the same rights, start and stop the same tiny server as a pod in turns. Before that the two
pods are compared: they differ in our finalizer and in being pinned to a node, or this ends.

Timed is ``POST /hub/api/users/U/server`` until it is answered: the server is ready then. Of that, hub time is all but the time between the
request for the pod (the API server's audit log) and the moment at which a watch says that its container runs. CPU is what the hub's threads
ran from the request until 0.3 s after the answer. Requests are counted in the audit log by the account of each hub; watches are left out.

With ``--starts N`` it instead measures starts per second: N starts by ``--clients`` clients, ``--rounds`` times, on KWOK's nodes, whose pods get
addresses of this machine, where one program answers for all of them.

Run: python benchmarks/cluster_start.py --cluster RUN_DIR [--turns 40] [--gpus 1]
     python benchmarks/cluster_start.py --cluster RUN_DIR --starts 150 [--clients 50 --rounds 5 --nodes 125]

A cluster stands after: python -m tests.cluster.machinery up --run-dir RUN_DIR
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cluster_hubs import AuditLog, RunningTimes, Side, both_hubs
from cluster_pods import differences, unwanted
from pairs import Pair, machine
from servers import postgresql

START_RATIO = CPU_RATIO = 1.05
HUB_MILLISECONDS = 3
RATE_RATIO = 0.95
EXTRA_REQUESTS = 1
SETTLE_SECONDS = 0.3


@dataclass
class Figures:
    """What each start of one hub took, in order."""

    seconds: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    """Seconds until the hub asked for the pod."""
    after: list[float] = field(default_factory=list)
    """Seconds from the running container to the answer."""
    cpu_ms: list[float] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)

    @property
    def hub(self) -> list[float]:
        """Seconds that were the hub's."""
        return [before + after for before, after in zip(self.before, self.after, strict=True)]


def one_start(side: Side, figures: Figures, audit: AuditLog, running: RunningTimes, user: str) -> None:
    """Start and stop one server and note what the start took."""
    audit.new()
    known = set(running.seen)
    cpu, began = side.hub_cpu_ms(), time.time()
    side.launch(user)
    ended = time.time()
    time.sleep(SETTLE_SECONDS)
    figures.cpu_ms.append(side.hub_cpu_ms() - cpu)
    mine = [request for request in audit.new() if request.account == side.account]
    created = next(request.received for request in mine if request.what == "create pods")
    ran = next(at for uid, at in running.seen.items() if uid not in known)
    figures.seconds.append(ended - began)
    figures.before.append(created - began)
    figures.after.append(ended - ran)
    figures.requests.update(request.what for request in mine)
    side.end(user)
    time.sleep(SETTLE_SECONDS)


def sequential(ours: Side, stock: Side, turns: int, audit: AuditLog) -> None:
    watches = {side.name: RunningTimes(side.hub.admin_kubeconfig, side.hub.namespace) for side in (ours, stock)}
    found: dict[str, Figures] = {}
    for turn in range(-3, turns):
        if turn == 0:
            found = {}
        for side in (ours, stock) if turn % 2 else (stock, ours):
            one_start(side, found.setdefault(side.name, Figures()), audit, watches[side.name], "user0")
    report(found["ours"], found["stock"], turns)


def report(ours: Figures, stock: Figures, turns: int) -> None:
    ratio = statistics.median(ours.seconds) / statistics.median(stock.seconds)
    print(Pair(ours.seconds, stock.seconds).line("start of a pod, turn by turn", START_RATIO))
    print(f"  p50 against p50: {ratio - 1:+.1%} (target +5 %, {_verdict(ratio <= START_RATIO)})")
    for name, side in (("ours", ours), ("stock", stock)):
        tenths = statistics.quantiles(side.seconds, n=10)
        parts = f"before the pod {_ms(side.before)}, after it runs {_ms(side.after)}, hub time {_ms(side.hub)} ms"
        print(
            f"  {name}: p10 {tenths[0] * 1000:.0f}, p50 {tenths[4] * 1000:.0f}, p90 {tenths[8] * 1000:.0f} ms; p50 of {parts}; CPU p50 {_p50(side.cpu_ms):.1f} ms"
        )
    hub = statistics.median(a - b for a, b in zip(ours.hub, stock.hub, strict=True)) * 1000
    print(
        f"  hub time: {_p50(ours.hub) * 1000 - _p50(stock.hub) * 1000:+.1f} ms p50, {hub:+.1f} ms turn by turn (target +3, {_verdict(hub <= HUB_MILLISECONDS)})"
    )
    extra = statistics.median(a - b for a, b in zip(ours.cpu_ms, stock.cpu_ms, strict=True))
    cpu = Pair(ours.cpu_ms, stock.cpu_ms)
    print(f"  hub CPU per start: ratio {cpu.ratio:.3f} (target {CPU_RATIO}, {_verdict(cpu.ratio <= CPU_RATIO)}), {extra:+.1f} ms")
    counts = {name: sum(side.requests.values()) / turns for name, side in (("ours", ours), ("stock", stock))}
    print(f"  requests to the API server per start: {counts} (target stock + 1, {_verdict(counts['ours'] <= counts['stock'] + EXTRA_REQUESTS)})")
    print(f"  which: ours {dict(ours.requests)}, stock {dict(stock.requests)}", flush=True)


def at_once(ours: Side, stock: Side, people: tuple[str, ...], clients: int, rounds: int) -> None:
    """Let many clients start servers as fast as they get them."""
    rates: dict[str, list[float]] = {ours.name: [], stock.name: []}
    cpu: dict[str, list[float]] = {ours.name: [], stock.name: []}
    for turn in range(-1, rounds):
        for side in (ours, stock) if turn % 2 else (stock, ours):
            worked = side.hub_cpu_ms()
            seconds = _by_clients(side.launch, people, clients)
            if turn >= 0:
                rates[side.name].append(len(people) / seconds)
                cpu[side.name].append((side.hub_cpu_ms() - worked) / len(people))
            print(f"  round {turn}, {side.name}: {len(people) / seconds:.2f} starts per second, load {os.getloadavg()[0]:.1f}", flush=True)
            _by_clients(side.end, people, clients)
            time.sleep(11)  # the keeper looks at the nodes each 10 s
    ratio = statistics.median(a / b for a, b in zip(rates[ours.name], rates[stock.name], strict=True))
    print(f"{len(people)} starts by {clients} clients, starts per second p50: ours {_p50(rates['ours']):.2f}, stock {_p50(rates['stock']):.2f}")
    print(
        f"  ratio {ratio:.3f} (target {RATE_RATIO}, {_verdict(ratio >= RATE_RATIO)}); hub CPU per start ours {_p50(cpu['ours']):.1f}, stock {_p50(cpu['stock']):.1f} ms"
    )


def compare_pods(ours: Side, stock: Side) -> None:
    """End unless the two hubs make the same pod."""
    pods = []
    for side in (ours, stock):
        side.launch("user0")
        pods.append(side.pods()[0])
        side.end("user0")
    lines = differences(*pods)
    print("the two pods differ in:", *(lines or ["nothing"]), sep="\n  ", flush=True)
    if found := unwanted(lines):
        raise SystemExit("The pods are not the same:\n" + "\n".join(found))


def _by_clients(call: Callable[[str], None], people: tuple[str, ...], clients: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(call, people))
    return time.perf_counter() - began


def _p50(values: list[float]) -> float:
    return statistics.median(values)


def _ms(seconds: list[float]) -> str:
    return f"{_p50(seconds) * 1000:.1f}"


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", type=Path, required=True, help="run folder of a standing test cluster")
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--starts", type=int, default=0, help="starts in a round on KWOK's nodes; 0 measures single starts on the real node")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=125, help="nodes of 8 GPUs that KWOK plays")
    arguments = parser.parse_args()
    print(machine(), f"load {os.getloadavg()}", flush=True)
    people = tuple(f"bench{number}" for number in range(arguments.starts))
    nodes = arguments.nodes if people else 0
    with postgresql() as url, both_hubs(arguments.cluster, url, gpus=arguments.gpus, fake_nodes=nodes, people=people) as (ours, stock):
        compare_pods(ours, stock)
        if people:
            at_once(ours, stock, people, arguments.clients, arguments.rounds)
        else:
            sequential(ours, stock, arguments.turns, AuditLog(arguments.cluster / "logs" / "audit.log"))
    print(f"load {os.getloadavg()}")


if __name__ == "__main__":
    main()
