"""Back into the queue: what becomes of a dispatched request whose start failed, or which nobody opened, and of a session that was preempted."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection

MOST_FAILURES = 1
"""How often a failed start puts a request back; after the next one it ends."""
_FAILURES = frozenset({EndCause.START_FAILED, EndCause.HOLD_EXPIRED})


def is_due_again(allocation: Allocation, cause: EndCause) -> bool:
    """Return whether a request that ends so goes back into the queue."""
    if cause is EndCause.NOT_OPENED:
        return allocation.queued_at is not None and allocation.succeeds is None and not allocation.requeued
    if cause is EndCause.PREEMPTED and allocation.stop_cause is EndCause.PREEMPTED:
        return True  # we stopped it for somebody else; a pod that the scheduler put out is another matter
    came_from_queue = allocation.queued_at is not None and allocation.stop_requested_by is None
    return came_from_queue and cause in _FAILURES and allocation.requeued < MOST_FAILURES


def put_back(  # noqa: PLR0913  one of them by keyword
    store: AllocationStore, connection: Connection, allocation: Allocation, at: datetime, actor: str, *, has_failed: bool = True
) -> bool:
    """Move a hold that no start took up back into the queue; False when one did meanwhile."""
    count = allocation.requeued + has_failed
    changed = store.change(
        connection,
        allocation,
        to=AllocationState.QUEUED,
        at=at,
        cause="requeued" if has_failed else "given_back",
        actor=actor,
        is_untaken=True,
        devices=(),
        held_at=None,
        must_end_at=None,
        requeued=count,
    )
    return changed is not None


def queue_again(store: AllocationStore, connection: Connection, failed: Allocation, cause: EndCause, at: datetime) -> Allocation:
    """Queue what repeats a start that failed or that nobody opened, or a session that was preempted: an id stands for one start alone.

    A failed start goes to the front, what nobody opened to the back. A preempted session keeps its submit time, or those for whom it was stopped
    would be passed.
    """
    is_unopened = cause is EndCause.NOT_OPENED
    has_failed = not is_unopened and failed.stop_cause is not EndCause.PREEMPTED
    again = replace(
        failed,
        id=uuid4(),
        spawner_id=None,
        state=AllocationState.QUEUED,
        devices=(),
        held_at=None,
        starting_at=None,
        started_at=None,
        ready_at=None,
        ended_at=None,
        end_cause=None,
        estimated=False,
        hub_instance=None,
        stop_requested_by=None,
        stop_cause=None,
        must_end_at=None,
        opened_at=None,
        queued_at=at if is_unopened else failed.queued_at or at,
        confirmed_at=max(at, failed.confirmed_at or at),
        requeued=failed.requeued + has_failed,
        succeeds=failed.id,
    )
    store.insert(connection, again)
    return again
