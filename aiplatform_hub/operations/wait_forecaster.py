"""How long those who wait will wait, and who would wait: what the keeper stores, and what is asked for in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.queue_values import PlannerInput
from aiplatform_hub.domain.queueing import View, line_id, line_of
from aiplatform_hub.domain.wait_estimates import MOST_DAYS, MOST_PAST, Forecast, OneEstimate, PastRequest, WaitEstimate, estimates
from aiplatform_hub.operations.decision_reader import DecisionReader
from aiplatform_hub.operations.demand_history import DemandHistory, kind_of, since_seconds
from aiplatform_hub.operations.queue_json import outlook_from_json
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.live_allocations import Live
from aiplatform_hub.storage.past_requests import PastRequestStore
from aiplatform_hub.storage.queue_outlooks import QueueOutlookStore

LIFETIME = timedelta(seconds=60)
"""Age from which estimates are made again though nothing has happened: time has passed."""
PAST_LIFETIME = timedelta(minutes=10)
"""How long the requests of earlier days are not read again."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Estimates of one instant, by id of the queued allocation; those that nobody can tell are missing."""

    as_of: datetime | None = None
    by_id: Mapping[UUID, WaitEstimate] = field(default_factory=dict)


class WaitForecaster:
    """Makes and stores estimates. May be asked from several threads."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        outlooks: QueueOutlookStore,
        past: PastRequestStore,
        history: DemandHistory,
        reader: DecisionReader,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._outlooks = outlooks
        self._store = past
        self._history = history
        self._reader = reader
        self._clock = clock
        self._lock = threading.Lock()
        self._past: tuple[PastRequest, ...] = ()
        self._past_at: datetime | None = None
        self._told: object = None
        self._told_at: datetime | None = None

    def refresh(self) -> bool:
        """Make the estimates of all who wait and store them, if anything has happened since; return whether they are new.

        Raises
        ------
        ServiceUnavailableError
            If the place or the database is not known yet, or does not answer.
        """
        with self._database.read() as connection:
            now = self._clock()
            live = self._allocations.live(connection)
            if not live.queued and self._told == ():
                return False
            mark = _mark(live, self._outlooks.entries(connection))
            is_old = self._told_at is None or not timedelta(0) <= now - self._told_at < LIFETIME
            if mark == self._told and not is_old:
                return False
            line = self._line(connection, live, now) if live.queued else None
        found = {} if line is None else self.of_line(line, (*live.open, *live.queued))
        with self._database.write() as connection:
            self._outlooks.write_waits(connection, waits=_to_json(found), at=now)
        self._told, self._told_at = mark, now
        return True

    def _line(self, connection: Connection, live: Live, now: datetime) -> PlannerInput | None:
        """Return what the planner is told of this instant; None before the dispatcher's first pass."""
        pool, stored = self._reader.pool(connection, is_locking=False), self._outlooks.outlook(connection)
        self._learn(connection, now)
        if stored is None:
            return None
        view = View(now.timestamp(), live.open, live.queued, self._reader.capacity(pool, live.open))
        return line_of(view, outlook_from_json(stored), self._reader.policy)

    def stored(self, connection: Connection) -> Waits:
        """Return what was stored last."""
        row = self._outlooks.waits(connection)
        if row is None:
            return Waits()
        return Waits(row.at, {UUID(id_): WaitEstimate(*values) for id_, *values in row.entries["waits"]})

    def learn(self, connection: Connection) -> None:
        """Take in what has ended and what was asked for since the last time, for :meth:`of_line` and :meth:`of_one`."""
        self._learn(connection, self._clock())

    def of_line(self, line: PlannerInput, allocations: Iterable[Allocation]) -> dict[str, WaitEstimate]:
        """Return the estimates of everybody who waits in a line, as far as they are known.

        Parameters
        ----------
        allocations
            Everybody in the line, and those who hold something.
        """
        return {id_: estimate for id_, estimate in estimates(self._forecast(line, allocations)).items() if estimate.is_known}

    def of_one(self, line: PlannerInput, allocations: Iterable[Allocation], request_id: str, memory: OneEstimate) -> WaitEstimate | None:
        """Return the estimate of one who waits in a line; None where nobody can tell.

        Parameters
        ----------
        memory
            Of whoever asks for several of one instant.
        """
        found = memory.of(self._forecast(line, allocations), request_id)
        return found if found is not None and found.is_known else None

    def _forecast(self, line: PlannerInput, allocations: Iterable[Allocation]) -> Forecast:
        by_id = {line_id(a.id): a for a in allocations}
        with self._lock:
            lengths, past = self._history.lengths, self._past
        ids = {session.id for session in line.running} | {request.id for request in line.waiting}
        return Forecast(
            line=line,
            kinds={id_: kind_of(by_id[id_]) for id_ in ids},
            started_seconds={session.id: since_seconds(by_id[session.id]) for session in line.running},
            lengths=lengths,
            past=past,
        )

    def _learn(self, connection: Connection, now: datetime) -> None:
        with self._lock:
            self._history.refresh(connection, now)
            if self._past_at is None or not timedelta(0) <= now - self._past_at < PAST_LIFETIME:
                self._past = self._store.latest(connection, now - timedelta(days=MOST_DAYS), most=MOST_PAST)
                self._past_at = now


def _mark(live: Live, entries: Any) -> object:
    """Return what is another whenever estimates may be."""
    if not live.queued:
        return ()
    return tuple(a.id for a in live.open), tuple((a.id, a.request.gpus) for a in live.queued), entries


def _to_json(found: Mapping[str, WaitEstimate]) -> dict[str, Any]:
    rows = [[id_, round(each.p10_seconds), round(each.p50_seconds), round(each.p90_seconds)] for id_, each in found.items()]
    return {"waits": rows}
