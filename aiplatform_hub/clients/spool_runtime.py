"""Sessions of one machine, by the word of their runners."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from aiplatform_hub.clients.processes import stop_session
from aiplatform_hub.clients.spool import SessionRecord as SpoolRecord
from aiplatform_hub.clients.spool import SessionState, Spool
from aiplatform_hub.domain.usage import Records, SessionRecord


class SpoolRuntime:
    """Reads what the session runners wrote; a :class:`~aiplatform_hub.operations.session_runtime.SessionRuntime`."""

    def __init__(self, *, spool: Spool) -> None:
        self._spool = spool
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

    def known(self) -> tuple[UUID, ...]:
        """Return every session that is not archived."""
        return self._spool.allocation_ids()

    def records(self, ids: Iterable[UUID]) -> Records:
        """Return what the runners wrote; a session that left nothing at all is left out."""
        found: dict[UUID, SessionRecord] = {}
        unreadable: set[UUID] = set()
        for id_ in ids:
            record = self._spool.read(id_)
            if record is not None and _knows_something(record):
                found[id_] = _domain(record)
            elif not self._is_readable(id_):
                unreadable.add(id_)
            elif record is not None:
                found[id_] = _domain(record)
        return Records(found, frozenset(unreadable))

    def stop(self, allocation_id: UUID, grace_seconds: float) -> None:
        """End every process of a session, and return when none is left."""
        stop_session(self._spool, allocation_id, grace_seconds)

    def settled(self, ids: Iterable[UUID]) -> None:
        """Keep the folders: the keeper archives them after some days."""

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
