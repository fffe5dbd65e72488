"""(d) Usage of one month grouped by project over 10^6 intervals, against the same sums in hand-written SQL.

Run: python benchmarks/usage_month.py [--intervals 1000000] [--turns 11] [--only sqlite|postgresql]
"""

from __future__ import annotations

import argparse
import random
import tempfile
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pairs import in_turns, machine
from servers import postgresql
from sqlalchemy import insert, text

from aiplatform_hub.config import Settings
from aiplatform_hub.domain.units import to_microseconds
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.cost_reporter import UsageQuery
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.migrate import upgrade
from aiplatform_hub.storage.schema import allocations, usage_intervals

TARGET = 1.25
MONTH = datetime(2026, 10, 1, tzinfo=UTC)
SQL = """
SELECT project,
       SUM((CASE WHEN ended_at > :high THEN :high ELSE ended_at END - CASE WHEN started_at < :low THEN :low ELSE started_at END) * gpus),
       SUM(CASE WHEN ended_at > :high THEN :high ELSE ended_at END - CASE WHEN started_at < :low THEN :low ELSE started_at END),
       SUM(CASE WHEN estimated THEN CASE WHEN ended_at > :high THEN :high ELSE ended_at END
                                   - CASE WHEN started_at < :low THEN :low ELSE started_at END ELSE 0 END),
       COUNT(*)
FROM usage_intervals
WHERE ended_at > :low AND started_at < :high
GROUP BY project
"""


def fill(database: Database, count: int) -> None:
    chance = random.Random(7)
    owner = uuid.uuid4()
    with database.write() as connection:
        connection.execute(insert(allocations).values(_allocation(owner)))
        for first in range(0, count, 50_000):
            connection.execute(insert(usage_intervals), [_interval(owner, number, chance) for number in range(first, min(count, first + 50_000))])
        connection.execute(text("ANALYZE"))


def _allocation(owner: uuid.UUID) -> dict[str, object]:
    return {
        "id": owner, "user_id": 1, "user_name": "u", "server_name": "", "environment_template": "pytorch", "gpus": 1, "gpu_type": "h100",
        "memory_bytes": 1, "cpu_cores": 1, "project": "p", "cost_centre": "c", "state": "ended", "devices": [], "door": "rest", "actor": "u",
        "requested_at": MONTH,
    }  # fmt: skip


def _interval(owner: uuid.UUID, number: int, chance: random.Random) -> dict[str, object]:
    start = MONTH - timedelta(days=2) + timedelta(seconds=chance.uniform(0, 34 * 86400))
    project = chance.randrange(40)
    return {
        "id": uuid.UUID(int=number + 1), "allocation_id": owner, "user_id": chance.randrange(5000), "user_name": f"user{chance.randrange(5000)}",
        "project": f"project-{project}", "cost_centre": f"centre-{project % 7}", "environment_template": "pytorch", "gpus": chance.randrange(5),
        "gpu_type": chance.choice(["h100", "a100"]), "memory_bytes": 1 << 34, "cpu_cores": 4, "started_at": start,
        "ended_at": start + timedelta(seconds=chance.expovariate(1 / 5000)), "end_cause": "stopped_by_user", "estimated": number % 97 == 0,
        "sequence": number + 1, "previous_hash": f"{number:064x}", "hash": f"{number + 1:064x}",
    }  # fmt: skip


def compare(database: Database, name: str, turns: int) -> str:
    end = MONTH + timedelta(days=31)
    reporter = Factory(Settings(data_dir=Path(), database_url=database.url)).reporter
    query = UsageQuery(MONTH, end, ("project",))
    bounds = {"low": to_microseconds(MONTH), "high": to_microseconds(end)}

    def floor() -> list[tuple[object, ...]]:
        with database.read() as connection:
            return [tuple(row) for row in connection.execute(text(SQL), bounds)]

    by_project = {row.keys["project"]: int(row.gpu_seconds * 1_000_000) for row in reporter.usage(query).rows}
    assert by_project == {row[0]: int(row[1]) for row in floor()}, "both must give the same sums"
    return in_turns(lambda: reporter.usage(query), floor, turns).line(name, TARGET)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--intervals", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    arguments = parser.parse_args()
    print(machine())
    with ExitStack() as stack:
        if arguments.only != "postgresql":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            measure("SQLite", f"sqlite:///{Path(folder) / 'usage.sqlite'}", arguments)
        if arguments.only != "sqlite":
            measure("PostgreSQL", stack.enter_context(postgresql()), arguments)


def measure(name: str, url: str, arguments: argparse.Namespace) -> None:
    upgrade(url)
    database = Database(url=url)
    fill(database, arguments.intervals)
    print(compare(database, f"{name}, {arguments.intervals} intervals, month by project", arguments.turns), flush=True)
    database.close()


if __name__ == "__main__":
    main()
