"""What people asked for on earlier days."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from aiplatform_hub.domain.allocations import AllocationState
from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.session_lengths import SessionKind
from aiplatform_hub.domain.wait_estimates import PastRequest
from aiplatform_hub.storage.schema import allocations

_COLUMNS = ("requested_at", "user_name", "project", "environment_template", "gpus", "gpu_type")


class PastRequestStore:
    """Reads allocations as demand."""

    def latest(self, connection: Connection, since: datetime, *, most: int) -> tuple[PastRequest, ...]:
        """Return the latest requests for GPUs from an instant on, the oldest first; without refused ones and repeated starts."""
        asked = (
            allocations.c.requested_at >= since,
            allocations.c.gpus > 0,
            allocations.c.succeeds.is_(None),
            allocations.c.state != AllocationState.DENIED.value,
        )
        newest_first = select(*(allocations.c[name] for name in _COLUMNS)).where(*asked).order_by(allocations.c.requested_at.desc()).limit(most)
        rows = reversed(connection.execute(newest_first).all())
        return tuple(
            PastRequest(
                at_seconds=row.requested_at.timestamp(),
                person=Person(row.project, row.user_name),
                kind=SessionKind(row.user_name, row.gpus, row.environment_template),
                gpu_type=row.gpu_type,
            )
            for row in rows
        )
