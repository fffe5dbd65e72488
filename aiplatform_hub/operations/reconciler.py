"""Makes the ledger equal what really runs, after any crash of any process."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from aiplatform_hub import metrics
from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.reconciliation import CLOSED_STATES, Action, ActionKind, Surroundings, is_lost, orphans, plan
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.operations.session_runtime import SessionRuntime
from aiplatform_hub.operations.usage_meter import UsageMeter
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.heartbeats import HeartbeatStore
from aiplatform_hub.storage.usage import UsageStore

ACTOR = "keeper"
_LOG = logging.getLogger(__name__)

STOP_GRACE_SECONDS = 5.0
"""How long a session that nobody promised anything to may take to end."""
STOPS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Corrections:
    """What one reconciliation found."""

    counts: Counter[str]
    """How often each kind of :data:`aiplatform_hub.metrics.CORRECTIONS` occurred."""
    unfinished: tuple[Allocation, ...] = ()
    """Starts that take long: unless the hub says that they go on, a crash cut them off and :meth:`Reconciler.abandon` ends them."""


class Reconciler:
    """Compares open allocations with the runtime's records and corrects the ledger.

    Every correction is idempotent, so several reconcilers, the hub's own stop and a crash in
    the middle do no harm.
    """

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        usage: UsageStore,
        heartbeats: HeartbeatStore,
        meter: UsageMeter,
        runtime: SessionRuntime,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._usage = usage
        self._heartbeats = heartbeats
        self._meter = meter
        self._runtime = runtime
        self._clock = clock
        self._finished: set[UUID] = set()
        self._closed: set[UUID] = set()
        self._strangers: set[UUID] = set()

    def changed(self) -> frozenset[UUID]:
        """Return the sessions of which the runtime recorded something since the last call."""
        return self._runtime.changed()

    def forget(self, ids: Iterable[UUID]) -> None:
        """Let the next :meth:`changed` name these sessions again."""
        self._runtime.forget(ids)

    def reconcile(self, only: Collection[UUID] | None = None) -> Corrections:
        """Correct what differs.

        Parameters
        ----------
        only
            Look at these sessions alone; at everything by default.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer; what was corrected until then stays corrected.
        """
        counts: Counter[str] = Counter()
        with self._database.read() as connection:
            every = self._allocations.open(connection)
            last_seen = {i.allocation_id: i.last_seen_at for i in self._usage.all_open(connection) if i.last_seen_at}
            hub = self._heartbeats.find(connection, "hub")
        chosen = {a.id: a for a in every if only is None or a.id in only}
        known = self._runtime.records(chosen)
        counts["unreadable"] += len(known.unreadable)
        around = Surroundings(now=self._clock(), hub_instance=hub.instance if hub else None, last_seen=last_seen, unreadable=known.unreadable)
        actions = plan(tuple(chosen.values()), known.found, around)
        self._seen({a.allocation_id: a.at for a in actions if a.kind is ActionKind.PROVE and a.at})
        for action in actions:
            self._try(action, counts)
        closed = {a.allocation_id for a in actions if a.kind in {ActionKind.END, ActionKind.RELEASE}}
        looked_at = frozenset(self._runtime.known() if only is None else only)
        self._tidy((looked_at - {a.id for a in every}) | closed, counts)
        if only is None:
            self._finished, self._closed, self._strangers = (ids & looked_at for ids in (self._finished, self._closed, self._strangers))
        for kind, count in counts.items():
            metrics.RECONCILE_CORRECTIONS.labels(kind).inc(count)
        return Corrections(+counts, tuple(chosen[a.allocation_id] for a in actions if a.kind is ActionKind.ASK_HUB))

    def abandon(self, ids: Collection[UUID]) -> None:
        """End starts that were cut off with their hub and that the present hub does not know."""
        for id_ in ids:
            _LOG.warning("Start of allocation %s was cut off: ending it", id_)
        self._stop(ids)
        self.reconcile(ids)
        for id_ in ids:
            self._meter.released(id_, EndCause.START_FAILED, ACTOR)
            metrics.RECONCILE_CORRECTIONS.labels("start_abandoned").inc()

    def prove(self) -> int:
        """Record a proof of life for every session that runs; return how many there are."""
        with self._database.read() as connection:
            running = self._usage.all_open(connection)
        found = self._runtime.records(i.allocation_id for i in running).found
        return len(self._seen({id_: r.last_seen_at for id_, r in found.items() if r.is_alive and r.last_seen_at}))

    def _seen(self, proofs: Mapping[UUID, datetime]) -> Mapping[UUID, datetime]:
        if proofs:
            self._meter.seen(proofs)
        return proofs

    def _try(self, action: Action, counts: Counter[str]) -> None:
        """Act; an allocation that cannot be corrected does not keep the others from it."""
        try:
            self._act(action, counts)
        except ServiceUnavailableError:
            raise
        except Exception:  # noqa: BLE001 - one poisoned row must not stop the correction of all others
            _LOG.exception("Correction of allocation %s failed: %s", action.allocation_id, action.kind)
            counts["failed"] += 1

    def _act(self, action: Action, counts: Counter[str]) -> None:
        id_ = action.allocation_id
        if action.kind is ActionKind.START and action.at:
            counts["started"] += self._meter.started(id_, action.at, actor=ACTOR)
        elif action.kind is ActionKind.RELEASE and action.cause:
            kind = "hold_expired" if action.cause is EndCause.HOLD_EXPIRED else "start_failed"
            counts[kind] += self._meter.released(id_, action.cause, ACTOR)
        elif action.kind is ActionKind.END:
            self._end(action, counts)

    def _end(self, action: Action, counts: Counter[str]) -> None:
        if action.at is None or action.cause is None:
            return
        if action.is_estimated:
            record = self._runtime.records((action.allocation_id,)).found.get(action.allocation_id)
            if record is None or not is_lost(record):
                return  # the next look knows better
            self._runtime.stop(action.allocation_id, STOP_GRACE_SECONDS)  # what the server left behind must not hold its devices
        kind = "lost" if action.is_estimated else "ended"
        counts[kind] += self._meter.ended(action.allocation_id, action.at, action.cause, estimated=action.is_estimated, actor=ACTOR)

    def _tidy(self, ids: Collection[UUID], counts: Counter[str]) -> None:
        """Stop what runs though its allocation is closed, and let the runtime drop what it kept of closed ones."""
        records = self._runtime.records(id_ for id_ in ids if id_ not in self._finished)
        counts["unreadable"] += len(records.unreadable)
        found = records.found
        self._finished |= {id_ for id_, record in found.items() if record.ended_at is not None and not record.is_kept}
        states = self._states(frozenset(id_ for id_, record in found.items() if record.is_alive or record.is_kept))
        self._stop_orphans(orphans(found, states), counts)
        self._runtime.settled([id_ for id_, state in states.items() if state in CLOSED_STATES and found[id_].is_kept])

    def _stop_orphans(self, actions: Sequence[Action], counts: Counter[str]) -> None:
        for action in actions:
            _LOG.warning("Session %s runs although its allocation is closed: stopping it", action.allocation_id)
        self._stop([action.allocation_id for action in actions])
        counts["orphan_stopped"] += len(actions)

    def _stop(self, ids: Iterable[UUID]) -> None:
        """Stop sessions side by side: each may take its whole grace, and longer where its node does not answer."""
        with ThreadPoolExecutor(STOPS_AT_ONCE) as pool:
            list(pool.map(lambda id_: self._runtime.stop(id_, STOP_GRACE_SECONDS), ids))

    def _states(self, ids: frozenset[UUID]) -> dict[UUID, AllocationState]:
        """Return the states of sessions that this database knows. Closed is final, so it is asked once for each."""
        states = dict.fromkeys(ids & self._closed, AllocationState.ENDED)
        unsure = ids - self._closed
        if unsure:
            with self._database.read() as connection:
                found = [self._allocations.find(connection, id_) for id_ in unsure]
            states |= {a.id: a.state for a in found if a}
        self._closed |= {id_ for id_, state in states.items() if state in CLOSED_STATES}
        strangers = ids - states.keys()
        for id_ in strangers - self._strangers:
            _LOG.warning("Session %s runs, but this database does not know it: left alone", id_)
        self._strangers |= strangers
        return states
