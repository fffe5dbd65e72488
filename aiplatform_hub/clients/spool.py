"""The spool: what the session runners wrote about each session of this machine.

One folder per allocation: ``meta.json`` (whose it is, written before the runner
starts), ``record.jsonl`` and ``alive`` (written by the runner). The spool is the
runtime's word on start and end; it needs neither hub nor database.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from aiplatform_hub.clients.identity import Identity, is_alive
from aiplatform_hub.domain.units import from_microseconds, isoformat

_ARCHIVE = "archive"
_STAND_IN_NANOSECONDS = 5_000_000_000


class SessionState(StrEnum):
    """What is known of a session."""

    PLANNED = "planned"
    """A runner is, or was, about to start it; no process has run."""
    RUNNING = "running"
    EXITED = "exited"
    FAILED = "failed"
    """The process could not be started."""
    LOST = "lost"
    """It ended, and nobody saw when: the runner was killed too."""


@dataclass(frozen=True, slots=True)
class SessionMeta:
    """Whose session it is. Written before anything starts."""

    user_id: int
    spawner_id: int
    port: int
    cgroups: tuple[Path, ...] = ()
    """The session's cgroups; empty where limits are not enforced."""
    created_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    """Aware UTC. Later than that of every earlier session of this spawner, wherever the clock is set."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session as the runner recorded it. All instants are aware UTC and unmoved by changes of the clock."""

    allocation_id: UUID
    state: SessionState
    port: int
    process: Identity | None = None
    """The server's process, alive or not."""
    runner: Identity | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    """None while it runs and when nobody saw the end."""
    last_seen_at: datetime | None = None
    """Last proof of life: now while the process lives, else at most 10 s before its end."""
    exit_code: int | None = None
    exit_signal: int | None = None
    """Number of the signal that ended it."""
    is_out_of_memory: bool = False
    is_stopped: bool = False
    """The runner had been told to end it."""
    message: str | None = None
    """Why the start failed, as a sentence."""
    is_alive: bool = False
    """The server's process runs (or is stopped by a signal); it is not a zombie."""
    is_runner_alive: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs and nobody will write about it any more."""
        return self.state in {SessionState.EXITED, SessionState.FAILED, SessionState.LOST}


def boottime() -> int:
    """Nanoseconds since boot, suspended time included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return the kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _parse(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _write_durably(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Put the folder's entries on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Spool:
    """The folders of all sessions of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def folder(self, allocation_id: UUID) -> Path:
        """Return the session's folder."""
        return self.path / str(allocation_id)

    def prepare(self, allocation_id: UUID, meta: SessionMeta) -> SessionMeta:
        """Make the session's folder and write whose it is, on the disk before this returns.

        Raises
        ------
        FileExistsError
            If the allocation already has a session: one allocation is one start.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, f"{self.path} is not a folder") from error
        stamped = replace(meta, created_at=self._next_stamp(meta.spawner_id))
        self.folder(allocation_id).mkdir(mode=0o700)
        values = {
            "user_id": meta.user_id,
            "spawner_id": meta.spawner_id,
            "port": meta.port,
            "cgroups": [str(path) for path in meta.cgroups],
            "created_at": isoformat(stamped.created_at),
        }
        _write_durably(self.folder(allocation_id) / "meta.json", json.dumps(values))
        sync_folder(self.path)
        return stamped

    def _next_stamp(self, spawner_id: int) -> datetime:
        newest = self.newest_for_spawner(spawner_id)
        meta = self.meta(newest) if newest else None
        now = datetime.now(UTC)
        return max(now, meta.created_at + timedelta(microseconds=1)) if meta else now

    def allocation_ids(self) -> tuple[UUID, ...]:
        """Return every session that is not archived."""
        with suppress(FileNotFoundError):
            return tuple(self._ids())
        return ()

    def _ids(self) -> Iterator[UUID]:
        for entry in os.scandir(self.path):
            with suppress(ValueError):
                yield UUID(entry.name)

    def meta(self, allocation_id: UUID) -> SessionMeta | None:
        """Return whose session it is, or None if there is no such session."""
        try:
            values = json.loads((self.folder(allocation_id) / "meta.json").read_bytes())
        except (OSError, ValueError):
            return None
        return SessionMeta(
            user_id=values["user_id"],
            spawner_id=values["spawner_id"],
            port=values["port"],
            cgroups=tuple(Path(path) for path in values["cgroups"]),
            created_at=datetime.fromisoformat(values["created_at"]),
        )

    def newest_for_spawner(self, spawner_id: int) -> UUID | None:
        """Return the latest session of a spawner, ended or not."""
        found = [(meta.created_at, id_) for id_ in self.allocation_ids() if (meta := self.meta(id_)) and meta.spawner_id == spawner_id]
        return max(found)[1] if found else None

    def read(self, allocation_id: UUID) -> SessionRecord | None:
        """Return what is known of a session now, or None if there is no such session."""
        meta = self.meta(allocation_id)
        if meta is None:
            return None
        events = self._events(allocation_id)
        process, runner = _identities(events)
        alive, runner_alive = bool(process and is_alive(process)), bool(runner and is_alive(runner))
        if not runner_alive:
            # It may have written its last line between our look at the file and our look at the process.
            events = self._events(allocation_id)
        if alive and not runner_alive:
            self._stand_in(allocation_id)
        known = SessionRecord(allocation_id, SessionState.PLANNED, meta.port, is_alive=alive, is_runner_alive=runner_alive)
        return _assemble(known, events, self._proof(allocation_id))

    def _events(self, allocation_id: UUID) -> dict[str, dict[str, Any]]:
        """Return the record's lines by event; a line cut off by a crash is not one."""
        try:
            text = (self.folder(allocation_id) / "record.jsonl").read_bytes()
        except OSError:
            return {}
        lines = (_parse(line) for line in text.split(b"\n")[:-1])
        return {line["event"]: line for line in lines if "event" in line}

    def _proof(self, allocation_id: UUID) -> dict[str, Any]:
        try:
            return _parse((self.folder(allocation_id) / "alive").read_bytes())
        except OSError:
            return {}

    def _stand_in(self, allocation_id: UUID) -> None:
        """Renew the proof of life for a runner that was killed: whoever looks at the session has seen it alive."""
        proof, now = self._proof(allocation_id), boottime()
        if proof.get("boot_id") == boot_id() and now - proof["boottime"] < _STAND_IN_NANOSECONDS:
            return
        with suppress(OSError):
            _write_durably(self.folder(allocation_id) / "alive", json.dumps({"boottime": now, "boot_id": boot_id()}))

    def record_end(self, allocation_id: UUID, moment: int) -> None:
        """Record the end of a session whose runner was killed, as seen by the one who ended it (nanoseconds since boot).

        Code and signal stay unknown: only a parent is told.
        """
        line = json.dumps({"event": "exited", "boottime": moment, "code": None, "signal": None, "oom": False, "stopped": True})
        path = self.folder(allocation_id) / "record.jsonl"
        with os.fdopen(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC), "rb+", buffering=0) as file:
            text = file.read()
            torn = text and not text.endswith(b"\n")
            file.write((b"\n" if torn else b"") + line.encode() + b"\n")
            os.fsync(file.fileno())

    def remove(self, allocation_id: UUID) -> None:
        """Remove a session's folder."""
        shutil.rmtree(self.folder(allocation_id), ignore_errors=True)

    def archive(self, before: datetime) -> int:
        """Move sessions that ended before an instant to ``archive/``; return how many."""
        moved = 0
        for allocation_id in self.allocation_ids():
            record = self.read(allocation_id)
            if record is None or not record.has_ended:
                continue
            meta = self.meta(allocation_id)
            ended_at = record.ended_at or record.last_seen_at or (meta and meta.created_at)
            if ended_at and ended_at < before:
                (self.path / _ARCHIVE).mkdir(mode=0o700, exist_ok=True)
                self.folder(allocation_id).rename(self.path / _ARCHIVE / str(allocation_id))
                moved += 1
        return moved


def _identities(events: Mapping[str, Mapping[str, Any]]) -> tuple[Identity | None, Identity | None]:
    """Return server and runner; after a reboot their numbers mean nothing, so there is neither."""
    planned, started = events.get("planned"), events.get("started")
    if planned is None or planned["boot_id"] != boot_id():
        return None, None
    process = Identity(started["pid"], started["pid_start"]) if started else None
    return process, Identity(planned["runner_pid"], planned["runner_start"])


def _assemble(known: SessionRecord, events: Mapping[str, Mapping[str, Any]], proof: Mapping[str, Any]) -> SessionRecord:
    process, runner = _identities(events)
    state = _state(events, alive=known.is_alive, runner_alive=known.is_runner_alive)
    record = replace(known, state=state, process=process, runner=runner, message=events.get("failed", {}).get("message"))
    exited = events.get("exited")
    if exited:
        record = replace(
            record,
            exit_code=exited["code"],
            exit_signal=exited["signal"],
            is_out_of_memory=exited["oom"],
            is_stopped=exited["stopped"],
        )
    return _with_times(record, events, proof)


def _with_times(record: SessionRecord, events: Mapping[str, Mapping[str, Any]], proof: Mapping[str, Any]) -> SessionRecord:
    started = events.get("started")
    if started is None:
        return record
    started_at = from_microseconds(started["at"])

    def at(moment: int) -> datetime:
        return started_at + timedelta(microseconds=max(0, moment - started["boottime"]) // 1000)

    end = events.get("exited") or events.get("failed")
    if end:
        ended_at = at(end["boottime"])
        return replace(record, started_at=started_at, ended_at=ended_at, last_seen_at=ended_at)
    seen = started["boottime"]
    if record.is_alive:
        seen = boottime()
    elif proof.get("boot_id") == started["boot_id"]:
        seen = proof["boottime"]
    return replace(record, started_at=started_at, last_seen_at=at(seen))


def _state(events: Mapping[str, object], *, alive: bool, runner_alive: bool) -> SessionState:
    for event, state in (("exited", SessionState.EXITED), ("failed", SessionState.FAILED)):
        if event in events:
            return state
    if "started" in events:
        # While the runner lives it will write the end itself, also when the process is already gone.
        return SessionState.RUNNING if alive or runner_alive else SessionState.LOST
    return SessionState.PLANNED if runner_alive or "planned" not in events else SessionState.FAILED
