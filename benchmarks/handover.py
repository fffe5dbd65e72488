"""(f) From the end of one session to the start request of the next, as the hub receives it.

A real keeper in its usual rhythm, real session runners; the hub is the tests' stand-in, which notes when a start
arrives. Timed from the commit that frees the GPUs.

Run: PYTHONPATH=. python benchmarks/handover.py [--turns 40] [--queued 20]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace

from pairs import machine as description

from aiplatform_hub.config import arguments_of
from aiplatform_hub.domain.allocations import EndCause, ServerKey
from aiplatform_hub.domain.requests import Caller
from tests.support.hub_stand_in import HubStandIn
from tests.support.machine import REPOSITORY, Machine

TARGET_SECONDS = 1.0


def ask(machine: Machine, number: int) -> None:
    caller = Caller(number, f"user{number}")
    machine.factory.enforcer.hold(caller, machine.request(1), ServerKey(number, "s"), door="rest", actor=caller.user_name, may_wait=True)


def measure(machine: Machine, hub: HubStandIn, turns: int, queued: int) -> list[float]:
    arrived: list[float] = []
    hub.at = lambda step: arrived.append(time.monotonic()) if step == "before take_up" else None
    holds = [machine.hold(9000 + number, "", 1) for number in range(4)]
    for number in range(1, queued + 1):
        ask(machine, number)
    settings = replace(machine.settings, hub_api_url=hub.api_url)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JUPYTERHUB_API_TOKEN": "secret"}
    command = [sys.executable, "-m", "aiplatform_hub.services.keeper", *arguments_of(settings)]
    keeper = subprocess.Popen(command, cwd=machine.folder, env=environment, stderr=subprocess.DEVNULL)
    machine.keepers.append(keeper)
    time.sleep(6)
    waits = []
    for turn in range(turns):
        before = len(arrived)
        gone = holds.pop() if holds else next(a for a in machine.open() if a.started_at is not None)
        if gone.started_at is None:
            machine.factory.meter.released(gone.id, EndCause.STOPPED_BY_USER, "bench")
        else:
            machine.stop(gone)
            machine.factory.reconciler.reconcile((gone.id,))
        freed = time.monotonic()
        while len(arrived) == before:
            time.sleep(0.001)
        waits.append(arrived[-1] - freed)
        ask(machine, queued + turn + 1)
        time.sleep(1.3)
    return waits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--queued", type=int, default=20)
    arguments = parser.parse_args()
    print(description())
    machine = Machine()
    hub = HubStandIn(machine)
    try:
        waits = sorted(measure(machine, hub, arguments.turns, arguments.queued))
    finally:
        hub.close()
        machine.close()
    p95 = waits[int(0.95 * (len(waits) - 1))]
    verdict = "met" if p95 <= TARGET_SECONDS else "missed"
    load = os.getloadavg()[0]
    print(
        f"from the end of one to the start request of the next, {arguments.queued} queued: median {statistics.median(waits):.2f} s, p95 {p95:.2f} s, worst {waits[-1]:.2f} s"
    )
    print(f"(target p95 {TARGET_SECONDS:.0f} s, {verdict}; {len(waits)} turns, load {load:.1f})")


if __name__ == "__main__":
    main()
