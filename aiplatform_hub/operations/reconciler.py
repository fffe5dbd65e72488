"""Makes the ledger equal what really runs, after any crash of any process."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from aiplatform_hub import metrics
from aiplatform_hub.clients.spool import SessionRecord as SpoolRecord
from aiplatform_hub.clients.spool import SessionState, Spool
from aiplatform_hub.domain.allocations import Allocation, EndCause
from aiplatform_hub.domain.reconciliation import Action, ActionKind, Surroundings, orphans, plan
from aiplatform_hub.domain.usage import SessionRecord
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.operations.usage_meter import UsageMeter
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.heartbeats import HeartbeatStore
from aiplatform_hub.storage.usage import UsageStore

ACTOR = "keeper"
_LOG = logging.getLogger(__name__)

STOP_GRACE_SECONDS = 5.0
"""How long a process that nobody promised anything to may take to end."""


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

    Parameters
    ----------
    stop_session
        Ends every process of a session within about this many seconds, and returns when none is left.
    """

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        usage: UsageStore,
        heartbeats: HeartbeatStore,
        meter: UsageMeter,
        spool: Spool,
        stop_session: Callable[[UUID, float], object],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._usage = usage
        self._heartbeats = heartbeats
        self._meter = meter
        self._spool = spool
        self._stop_session = stop_session
        self._clock = clock
        self._finished: set[UUID] = set()
        self._stamps: dict[UUID, int] = {}

    def changed(self) -> frozenset[UUID]:
        """Return the sessions whose record was written since the last call; one look at each file's time."""
        stamps = {id_: self._stamp(id_) for id_ in self._spool.allocation_ids()}
        changed = frozenset(id_ for id_, stamp in stamps.items() if self._stamps.get(id_) != stamp)
        self._stamps = stamps
        return changed

    def forget(self, ids: Iterable[UUID]) -> None:
        """Let the next :meth:`changed` name these sessions again."""
        for id_ in ids:
            self._stamps.pop(id_, None)

    def reconcile(self, only: Collection[UUID] | None = None) -> Corrections:
        """Correct what differs.

        Parameters
        ----------
        only
            Look at these allocations alone, and for no orphans; at everything by default.

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
        records, unreadable = self._records(chosen)
        counts["unreadable"] += len(unreadable)
        around = Surroundings(now=self._clock(), hub_instance=hub.instance if hub else None, last_seen=last_seen, unreadable=unreadable)
        actions = plan(tuple(chosen.values()), records, around)
        self._seen({a.allocation_id: a.at for a in actions if a.kind is ActionKind.PROVE and a.at})
        for action in actions:
            self._try(action, counts)
        if only is None:
            self._stop_orphans(frozenset(a.id for a in every), counts)
        for kind, count in counts.items():
            metrics.RECONCILE_CORRECTIONS.labels(kind).inc(count)
        return Corrections(+counts, tuple(chosen[a.allocation_id] for a in actions if a.kind is ActionKind.ASK_HUB))

    def abandon(self, allocation_id: UUID) -> None:
        """End a start that was cut off with its hub and that the present hub does not know."""
        _LOG.warning("Start of allocation %s was cut off: ending it", allocation_id)
        self._stop_session(allocation_id, STOP_GRACE_SECONDS)
        self.reconcile((allocation_id,))
        self._meter.released(allocation_id, EndCause.START_FAILED, ACTOR)
        metrics.RECONCILE_CORRECTIONS.labels("start_abandoned").inc()

    def prove(self) -> int:
        """Record a proof of life for every session that runs; return how many there are."""
        with self._database.read() as connection:
            running = self._usage.all_open(connection)
        records, _ = self._records(i.allocation_id for i in running)
        return len(self._seen({id_: r.last_seen_at for id_, r in records.items() if r.is_alive and r.last_seen_at}))

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
            record = self._spool.read(action.allocation_id)
            if record is None or record.state is not SessionState.LOST:
                return  # the next look knows better
            self._stop_session(action.allocation_id, STOP_GRACE_SECONDS)  # what the server left behind must not hold its devices
        kind = "lost" if action.is_estimated else "ended"
        counts[kind] += self._meter.ended(action.allocation_id, action.at, action.cause, estimated=action.is_estimated, actor=ACTOR)

    def _stop_orphans(self, open_ids: frozenset[UUID], counts: Counter[str]) -> None:
        candidates = [id_ for id_ in self._spool.allocation_ids() if id_ not in open_ids and id_ not in self._finished]
        records, unreadable = self._records(candidates)
        counts["unreadable"] += len(unreadable)
        self._finished |= {id_ for id_, record in records.items() if record.ended_at is not None}
        alive = {id_: record for id_, record in records.items() if record.is_alive}
        if not alive:
            return
        with self._database.read() as connection:
            found = [self._allocations.find(connection, id_) for id_ in alive]
        states = {a.id: a.state for a in found if a}
        for id_ in alive.keys() - states.keys():
            _LOG.warning("Session %s runs, but this database does not know it: left alone", id_)
        for action in orphans(alive, states):
            _LOG.warning("Session %s runs although its allocation is closed: stopping it", action.allocation_id)
            self._stop_session(action.allocation_id, STOP_GRACE_SECONDS)
            counts["orphan_stopped"] += 1

    def _records(self, ids: Iterable[UUID]) -> tuple[dict[UUID, SessionRecord], frozenset[UUID]]:
        records: dict[UUID, SessionRecord] = {}
        unreadable: set[UUID] = set()
        for id_ in ids:
            record = self._spool.read(id_)
            if record is not None and _knows_something(record):
                records[id_] = _domain(record)
            elif not self._is_readable(id_):
                unreadable.add(id_)
            elif record is not None:
                records[id_] = _domain(record)
        return records, frozenset(unreadable)

    def _is_readable(self, allocation_id: UUID) -> bool:
        """Whether a record that tells nothing is really empty, and not damaged or out of reach."""
        folder = self._spool.folder(allocation_id)
        try:
            if not self._spool.path.is_dir():
                return False
            is_there = folder.is_dir()
            has_meta = (folder / "meta.json").is_file()
            content = (folder / "record.jsonl").read_bytes()
        except FileNotFoundError:
            return not is_there or has_meta
        except OSError:
            return False
        return has_meta and not content.strip()

    def _stamp(self, allocation_id: UUID) -> int:
        try:
            return (self._spool.folder(allocation_id) / "record.jsonl").stat().st_mtime_ns
        except OSError:
            return 0


def _knows_something(record: SpoolRecord) -> bool:
    return record.state is not SessionState.PLANNED or record.is_runner_alive


def _domain(record: SpoolRecord) -> SessionRecord:
    is_failed = record.state is SessionState.FAILED
    return SessionRecord(
        allocation_id=record.allocation_id,
        started_at=record.started_at,
        ended_at=record.ended_at,
        exit_code=record.exit_code,
        signal=record.exit_signal,
        is_out_of_memory=record.is_out_of_memory,
        is_stopped=record.is_stopped,
        last_seen_at=record.last_seen_at,
        is_alive=record.is_alive,
        is_runner_alive=record.is_runner_alive,
        pid=record.process.pid if record.process else None,
        port=record.port,
        failure=(record.message or "The session runner ended before the server began.") if is_failed else None,
    )
