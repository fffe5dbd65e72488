"""Remembers what the planner saw and found, so that a moment of the queue can be replayed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.dispatching import Survey
from aiplatform_hub.domain.planner import plan
from aiplatform_hub.domain.queue_values import Plan, PlannerInput
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.operations.queue_json import line_from_json, line_to_json, plan_from_json, plan_to_json
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.queue_snapshots import QueueSnapshotStore

KEPT = timedelta(days=30)
"""How long a pass is remembered."""
MOST_KEPT = 20_000
"""So many passes at most; with ten who wait, that is about 80 MB."""
PRUNED_EVERY = 200
"""Passes between two looks for what is too old."""
MOST_PENDING = 50
"""Passes that are not stored yet; of more the oldest are forgotten: whoever plans never waits for the memory."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One pass, and the same again with today's rules."""

    at: datetime
    line: PlannerInput
    found: Plan
    """What the planner found then."""
    again: Plan
    """What it finds today from the same."""
    allocations: Mapping[str, Allocation]
    """Who ran and who waited, by id, as they are now."""

    @property
    def agrees(self) -> bool:
        """Whether the same inputs give the same plan today."""
        return self.found == self.again


class QueueMemory:
    """Notes passes at once and stores them later. May be asked from several threads."""

    def __init__(self, *, database: Database, snapshots: QueueSnapshotStore, allocations: AllocationStore, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._snapshots = snapshots
        self._allocations = allocations
        self._clock = clock
        self._pending: deque[Survey] = deque(maxlen=MOST_PENDING)
        self._noted: object = None
        self._since_pruned = PRUNED_EVERY
        self._lock = threading.Lock()

    def note(self, survey: Survey) -> None:
        """Note a pass if it found something else than the one before. Nothing is written yet."""
        telling = _telling(survey)
        if telling != self._noted:
            self._noted = telling
            self._pending.append(survey)

    def store(self) -> int:
        """Write down what was noted; return how many passes that were.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer; then they are tried again with the next.
        """
        with self._lock:
            pending = list(self._pending)
            if not pending:
                return 0
            rows = [(survey.line.now_seconds, line_to_json(survey.line), {"plan": plan_to_json(survey.plan)}) for survey in pending]
            with self._database.write() as connection:
                for seconds, inputs, entries in rows:
                    self._snapshots.add(connection, inputs=inputs, entries=entries, at=datetime.fromtimestamp(seconds, UTC))
                self._since_pruned += len(rows)
                if self._since_pruned >= PRUNED_EVERY:
                    self._snapshots.prune(connection, self._clock() - KEPT, most=MOST_KEPT)
                    self._since_pruned = 0
            for survey in pending:
                if self._pending and self._pending[0] is survey:
                    self._pending.popleft()
            return len(rows)

    def replay(self, instant: datetime) -> Replayed:
        """Return the last pass up to an instant, and its plan made again.

        Raises
        ------
        NotFoundError
            If no pass of that time is remembered.
        """
        with self._database.read() as connection:
            row = self._snapshots.latest(connection, instant)
            if row is None:
                first = self._snapshots.first_at(connection)
                since = (
                    "no pass over the queue is remembered yet" if first is None else f"the first pass that is remembered was at {first:%Y-%m-%d %H:%M:%S} UTC"
                )
                raise NotFoundError(f"Nothing is known of the queue at {instant:%Y-%m-%d %H:%M:%S} UTC: {since}.")
            line = line_from_json(row.inputs)
            ids = [*(session.id for session in line.running), *(request.id for request in line.waiting)]
            found = {id_: self._allocations.find(connection, UUID(id_)) for id_ in ids}
        known = {id_: allocation for id_, allocation in found.items() if allocation is not None}
        return Replayed(row.at, line, plan_from_json(row.entries["plan"]), plan(line), known)


def _telling(survey: Survey) -> Any:
    """Return what is another where a pass found something else: who waits for what, who starts, who holds GPUs."""
    found = survey.plan
    waits = tuple((each.request_id, each.code, each.node) for each in found.decisions)
    return waits, found.starts, found.claims, tuple(session.id for session in survey.line.running)
