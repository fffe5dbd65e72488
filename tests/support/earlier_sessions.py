"""Sessions of earlier days, from which the platform learns how long sessions last: nobody waits for days in a test."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.ledger import chained
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.factory import Factory

SESSIONS = 10
GPUS = 2


def remember_sessions(factory: Factory, gpu_type: str) -> None:
    """Write into the ledger that somebody has had :data:`SESSIONS` sessions of two GPUs, of two to six and a half hours; the latest ended yesterday."""
    request = LaunchRequest("trivial", GPUS, gpu_type, GIB, 1, "personal", "personal")
    of_request = {name: getattr(request, name) for name in ("project", "cost_centre", "environment_template", "gpus", "gpu_type", "memory_bytes", "cpu_cores")}
    yesterday = factory.clock() - timedelta(days=1)
    with factory.database.write() as connection:
        factory.devices.lock(connection)
        for number in range(SESSIONS):
            id_, start = uuid4(), yesterday - timedelta(hours=8 * (SESSIONS - number))
            end, owner = start + timedelta(hours=2, minutes=30 * number), {"user_id": 1000, "user_name": "eve"}
            at = {"requested_at": start, "held_at": start, "starting_at": start, "started_at": start, "ready_at": start, "ended_at": end}
            allocation = Allocation(
                id_, **owner, server_name="", spawner_id=1, request=request, state=AllocationState.ENDED, devices=(), door="page", actor="eve", **at
            )
            factory.allocations.insert(connection, allocation)
            interval = UsageInterval(uuid4(), id_, **owner, **of_request, started_at=start, last_seen_at=end)
            factory.usage_store.open(connection, interval)
            head = factory.usage_store.head(connection)
            ended = UsageInterval(interval.id, id_, **owner, **of_request, started_at=start, ended_at=end, end_cause=EndCause.STOPPED_BY_USER)
            factory.usage_store.close(connection, chained(ended, sequence=head.sequence + 1, previous_hash=head.hash))
        newest = factory.usage_store.head(connection)
    factory.ledger_head.write(newest.sequence, newest.hash)
