"""(k) A month's report for 5,000 people and 10^6 intervals: from the ledger, from hand-written SQL, and from the sums of days.

Run: python benchmarks/reports.py [--intervals 1000000] [--turns 11] [--only sqlite|postgresql]

Each way of reading runs in a process of its own, whose highest memory is told beside its time. All of them must say the same amounts.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from pairs import machine
from servers import postgresql
from sqlalchemy import insert, text

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.rounding import apportion
from aiplatform_hub.domain.units import to_microseconds
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.charge_reporter import ChargeReporter, ReportQuery
from aiplatform_hub.operations.charge_rollup import ChargeRollup
from aiplatform_hub.operations.charge_sums import ChargeSumReader
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.operations.gpu_activity import GpuActivityReader
from aiplatform_hub.storage.activity_sums import ActivitySums
from aiplatform_hub.storage.charge_rollup import ChargeRollupStore
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.migrate import upgrade
from aiplatform_hub.storage.schema import allocations, usage_intervals
from aiplatform_hub.storage.usage_sums import UsageSums

MONTH, MIDDLE, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 15, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
PEOPLE, PROJECTS = 5_000, 40
CARDS = (
    RateCard("first", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"h100": Decimal("3.20"), "a100": Decimal("1.70")}, Decimal("0.04")),
    RateCard("second", MIDDLE, "EUR", {"h100": Decimal("3.60"), "a100": Decimal("1.90")}, Decimal("0.05")),
)
PIECE = """
SELECT project, gpu_type, gpus > 0 AS has_gpus,
       SUM((CASE WHEN ended_at > :high THEN :high ELSE ended_at END - CASE WHEN started_at < :low THEN :low ELSE started_at END)
           * CASE WHEN gpus > 0 THEN gpus ELSE 1 END) AS time
FROM usage_intervals
WHERE ended_at > :low AND started_at < :high
GROUP BY project, gpu_type, gpus > 0
"""
"""Of the time of one card; the floor asks it once for each."""


class Place:
    """What reads and sums."""

    def __init__(self, url: str, *, has_sums: bool = True) -> None:
        self.database, store = Database(url=url), ChargeRollupStore()
        if not has_sums:
            store.days = lambda *_: ()  # type: ignore[method-assign]
        self.charges = ChargeReader(uses=ChargedUseStore(), cards=lambda: CARDS)
        activity = GpuActivityReader(activity=ActivitySums(), cards=lambda: CARDS)
        shared = {"charges": self.charges, "activity": activity, "rollup": store, "cards": lambda: CARDS, "clock": lambda: END + timedelta(days=2)}
        reader = ChargeSumReader(**shared)
        self.rollup = ChargeRollup(database=self.database, reader=reader, **shared)
        credits_ = CreditReader(charges=self.charges, credits_=CreditStore())
        self.reporter = ChargeReporter(
            database=self.database, charges=self.charges, charge_sums=reader, credits_=credits_, sums=UsageSums(), cards=lambda: CARDS, clock=shared["clock"]
        )

    def report(self, *groups: str) -> bytes:
        stream = io.BytesIO()
        self.reporter.write(ReportQuery(MONTH, END, "json", groups), stream)
        return stream.getvalue()

    def floor(self) -> dict[str, str]:
        """Return the cost of each project by SQL and a multiplication."""
        costs: dict[str, Fraction] = {}
        with self.database.read() as connection:
            for card, low, high in ((CARDS[0], MONTH, MIDDLE), (CARDS[1], MIDDLE, END)):
                for row in connection.execute(text(PIECE), {"low": to_microseconds(low), "high": to_microseconds(high)}):
                    price = card.gpu_hour[row.gpu_type] if row.has_gpus else card.cpu_only_hour
                    costs[row.project] = costs.get(row.project, Fraction(0)) + Fraction(int(row.time), 3_600_000_000) * Fraction(price)
        names = sorted(costs)
        return {name: f"{cost:f}" for name, cost in zip(names, apportion([costs[name] for name in names], 6), strict=True)}


def fill(database: Database, count: int) -> None:
    chance, owner = random.Random(7), uuid.uuid4()
    at_home = [(chance.randrange(PROJECTS), chance.randrange(PROJECTS)) for _ in range(PEOPLE)]
    shared = {"environment_template": "pytorch", "memory_bytes": 1, "cpu_cores": 1}
    own = {"id": owner, "user_id": 1, "user_name": "u", "server_name": "", "gpus": 1, "gpu_type": "h100", "project": "p", "cost_centre": "c"}
    with database.write() as connection:
        connection.execute(insert(allocations).values(**own, **shared, state="ended", devices=[], door="rest", actor="u", requested_at=MONTH))
        for first in range(0, count, 50_000):
            rows = [_interval(owner, number, chance, at_home) for number in range(first, min(count, first + 50_000))]
            connection.execute(insert(usage_intervals), [{**shared, **row} for row in rows])
        connection.execute(text("ANALYZE"))


def _interval(owner: uuid.UUID, number: int, chance: random.Random, at_home: list[tuple[int, int]]) -> dict[str, object]:
    start = MONTH - timedelta(hours=5) + timedelta(seconds=chance.uniform(0, 31 * 86_400))
    person = chance.randrange(PEOPLE)
    project, gpus = at_home[person][chance.random() < 0.2], chance.randrange(5)
    return {
        "id": uuid.UUID(int=number + 1), "allocation_id": owner, "user_id": person, "user_name": f"user{person}", "project": f"project-{project:02}",
        "cost_centre": f"centre-{project % 7}", "gpus": gpus, "gpu_type": ("h100", "a100")[project % 2] if gpus else None, "started_at": start,
        "ended_at": start + timedelta(seconds=chance.expovariate(1 / 5000)), "end_cause": "stopped_by_user", "estimated": number % 97 == 0,
        "sequence": number + 1, "previous_hash": f"{number:064x}", "hash": f"{number + 1:064x}",
    }  # fmt: skip


def one_way(url: str, way: str, turns: int) -> None:
    """In a process of its own: read so many times, and print times, memory and amounts as JSON."""
    place = Place(url, has_sums=way.startswith("sums"))
    groups = ("user",) if way == "sums by person" else ("project",)
    read = place.floor if way == "SQL" else lambda: place.report(*groups)
    started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, found = [], None
    for _ in range(turns + 1):
        begin = time.perf_counter()
        found = read()
        seconds.append(time.perf_counter() - begin)
    costs = found if isinstance(found, dict) else {row["keys"][groups[0]]: row["cost"] for row in json.loads(found or b"")["rows"]}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"first": seconds[0], "median": statistics.median(seconds[1:] or seconds), "more_mib": (peak - started) / 1024, "costs": costs}))


def measure(name: str, url: str, arguments: argparse.Namespace) -> None:
    upgrade(url)
    place = Place(url)
    fill(place.database, arguments.intervals)
    print(f"{name}, {arguments.intervals} intervals, load {os.getloadavg()[0]:.1f}", flush=True)
    ways = {"SQL": arguments.turns, "ledger": arguments.ledger_turns}
    found = {way: _in_a_process(url, way, turns) for way, turns in ways.items()}
    _roll_up(place)
    for way in ("sums", "sums by person"):
        found[way] = _in_a_process(url, way, arguments.turns)
    assert found["SQL"]["costs"] == found["ledger"]["costs"] == found["sums"]["costs"], "all must say the same"
    for way, one in found.items():
        print(f"  {way}: median {one['median'] * 1000:.1f} ms, first {one['first'] * 1000:.1f} ms, memory +{one['more_mib']:.0f} MiB, {len(one['costs'])} rows")
    print(f"  ledger against SQL: {found['ledger']['median'] / found['SQL']['median']:.2f} x; load {os.getloadavg()[0]:.1f}", flush=True)
    place.database.close()


def _roll_up(place: Place) -> None:
    seconds, writes = [], []
    write = place.rollup._rollup.replace  # noqa: SLF001

    def timed(*args: object) -> None:
        begin = time.perf_counter()
        write(*args)  # type: ignore[arg-type]
        writes.append(time.perf_counter() - begin)

    place.rollup._rollup.replace = timed  # type: ignore[method-assign]  # noqa: SLF001
    day = MONTH - timedelta(days=1)
    while day <= END:
        begin = time.perf_counter()
        assert place.rollup.build(day)
        seconds.append(time.perf_counter() - begin)
        day += timedelta(days=1)
    with place.database.write() as connection:
        place.rollup._rollup.advance(connection, place.rollup._rollup.ledger_head(connection))  # noqa: SLF001
    print(
        f"  rolling up a day: median {statistics.median(seconds):.2f} s, of it writing {statistics.median(writes) * 1000:.0f} ms, longest {max(writes) * 1000:.0f} ms"
    )


def _in_a_process(url: str, way: str, turns: int) -> dict[str, object]:
    command = [sys.executable, __file__, "--one", way, "--url", url, "--turns", str(turns)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--intervals", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--ledger-turns", type=int, default=2)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one_way(arguments.url, arguments.one, arguments.turns)
        return
    print(machine())
    with ExitStack() as stack:
        if arguments.only != "postgresql":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            measure("SQLite", f"sqlite:///{Path(folder) / 'reports.sqlite'}", arguments)
        if arguments.only != "sqlite":
            measure("PostgreSQL", stack.enter_context(postgresql()), arguments)


if __name__ == "__main__":
    main()
