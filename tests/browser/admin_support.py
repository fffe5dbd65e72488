"""Weeks of use to look at on Admin's pages: in the rows that the pages read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import update

from aiplatform_hub.domain.activity import Activity, ActivityInterval
from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.ledger import chained
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.schema import allocations


@dataclass(frozen=True, slots=True)
class Habit:
    """How somebody uses GPUs on every day."""

    user_id: int
    user_name: str
    gpus: int
    from_hour: int
    hours: int
    used_part: float


HABITS = (Habit(1001, "ana", 2, 9, 8, 0.8), Habit(1002, "ben", 1, 13, 6, 0.2), Habit(1003, "cem", 1, 20, 9, 0.5))


def remember_weeks(factory: Factory, *, days: int = 14) -> None:
    """Write sessions of the last days into the ledger, with what their GPUs did."""
    today = factory.clock().replace(hour=0, minute=0, second=0, microsecond=0)
    with factory.database.write() as connection:
        factory.devices.lock(connection)
        for day in range(days, 1, -1):
            for habit in HABITS:
                start = today - timedelta(days=day) + timedelta(hours=habit.from_hour)
                end, id_ = start + timedelta(hours=habit.hours), uuid4()
                middle = start + (end - start) * habit.used_part
                owner = {"user_id": habit.user_id, "user_name": habit.user_name}
                request = LaunchRequest("jupyterlab", habit.gpus, "simulated", GIB, 1, "vision", "vision")
                asked = start - timedelta(minutes=10 * habit.gpus)
                at = {"requested_at": asked, "held_at": start, "starting_at": start, "started_at": start, "ready_at": start, "ended_at": end}
                factory.allocations.insert(
                    connection,
                    Allocation(
                        id_,
                        **owner,
                        server_name="",
                        spawner_id=1,
                        request=request,
                        state=AllocationState.ENDED,
                        devices=(),
                        door="page",
                        actor=habit.user_name,
                        **at,
                    ),
                )
                of_request = {
                    name: getattr(request, name) for name in ("project", "cost_centre", "environment_template", "gpus", "gpu_type", "memory_bytes", "cpu_cores")
                }
                interval = UsageInterval(uuid4(), id_, **owner, **of_request, started_at=start, last_seen_at=end)
                factory.usage_store.open(connection, interval)
                head = factory.usage_store.head(connection)
                ended = UsageInterval(interval.id, id_, **owner, **of_request, started_at=start, ended_at=end, end_cause=EndCause.STOPPED_BY_USER)
                factory.usage_store.close(connection, chained(ended, sequence=head.sequence + 1, previous_hash=head.hash))
                for activity, begin, until in ((Activity.USED, start, middle), (Activity.IDLE, middle, end)):
                    factory.activity.begin(connection, [ActivityInterval(id_, activity, begin, until, 10, 50.0, GIB)])
                    factory.activity.end_session(connection, id_, until)
        remembered = allocations.c.user_name.in_([habit.user_name for habit in HABITS])
        connection.execute(update(allocations).where(remembered).values(started_at=allocations.c.held_at))  # which an insert does not write
        newest = factory.usage_store.head(connection)
    factory.ledger_head.write(newest.sequence, newest.hash)
