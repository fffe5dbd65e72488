"""How long one estimate takes for a queue of a hundred: the draws of every request's start, without a database.

Run: python benchmarks/wait_estimates.py [--queued 100] [--gpus 64] [--per-node 8] [--turns 20] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import statistics
import time

from pairs import machine

from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.policy import HOUR_SECONDS, SHIPPED
from aiplatform_hub.domain.queue_facts import HeldSession, QueuedRequest, running, waiting
from aiplatform_hub.domain.queue_values import Node, PlannerInput
from aiplatform_hub.domain.release import SessionFacts
from aiplatform_hub.domain.session_lengths import SessionKind, SessionLengths
from aiplatform_hub.domain.wait_draws import DRAWS
from aiplatform_hub.domain.wait_estimates import Forecast, PastRequest, estimates

NOW = 40 * 24 * HOUR_SECONDS
TARGET_MS = 50.0
PEOPLE = 40


def forecast(queued: int, gpus: int, per_node: int) -> Forecast:
    """Return a busy place: every GPU is taken, and 28 days of requests are known."""
    draw = random.Random(7)
    sizes = [size for size in (1, 1, 1, 2, 4) if size <= per_node]
    people = [Person(f"project{number % 6}", f"user{number}") for number in range(PEOPLE)]
    lengths = SessionLengths()
    for _ in range(1500):
        person = draw.choice(people)
        lengths = lengths.with_finished(SessionKind(person.user, draw.choice(sizes), "pytorch"), draw.lognormvariate(0.9, 0.8) * HOUR_SECONDS)
    past = sorted((NOW - draw.uniform(0, 28 * 24 * HOUR_SECONDS), draw.choice(people), draw.choice(sizes)) for _ in range(28 * gpus * 3))
    nodes = tuple(Node(f"node{number}", "h100", per_node) for number in range(gpus // per_node))
    held, kinds, started = [], {}, {}
    for number in range(gpus):
        id_, person, began = f"s{number}", draw.choice(people), NOW - draw.uniform(0, 5 * HOUR_SECONDS)
        kinds[id_], started[id_] = SessionKind(person.user, 1, "pytorch"), began
        session = HeldSession(id_, person, kinds[id_], nodes[number // per_node].name, SessionFacts(NOW, began))
        held.append(running(session, lengths, SHIPPED))
    asked = []
    for number in range(queued):
        id_, person, size = f"q{number}", draw.choice(people), draw.choice(sizes)
        kinds[id_] = SessionKind(person.user, size, "pytorch")
        request = QueuedRequest(id_, person, kinds[id_], "h100", NOW - draw.uniform(0, 10 * HOUR_SECONDS))
        asked.append(waiting(request, lengths, SHIPPED))
    ranks = {person: number % 7 for number, person in enumerate(people)}
    line = PlannerInput(NOW, nodes, tuple(held), tuple(asked), ranks, SHIPPED)
    return Forecast(line, kinds, started, lengths, [PastRequest(at, who, SessionKind(who.user, size, "pytorch"), "h100") for at, who, size in past])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queued", type=int, default=100)
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--per-node", type=int, default=8)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    given = forecast(args.queued, args.gpus, args.per_node)
    if args.profile:
        with cProfile.Profile() as profile:
            estimates(given)
        pstats.Stats(profile).sort_stats("tottime").print_stats(18)
        return
    walls, cpus = [], []
    for _ in range(args.turns):
        wall, cpu = time.perf_counter(), time.thread_time()
        estimates(given)
        walls.append((time.perf_counter() - wall) * 1000)
        cpus.append((time.thread_time() - cpu) * 1000)
    print(machine())
    print(f"{args.queued} queued, {args.gpus} GPUs, {len(given.past)} past requests, {DRAWS} draws")
    print(
        f"one estimate: median {statistics.median(walls):.1f} ms, best {min(walls):.1f} ms; of the processor {statistics.median(cpus):.1f} ms (target {TARGET_MS:.0f})"
    )


if __name__ == "__main__":
    main()
