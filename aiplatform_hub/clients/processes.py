"""The processes of a session: which they are, and how all of them end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from aiplatform_hub.clients import cgroups
from aiplatform_hub.clients.identity import Identity, all_pids, identify, is_alive, send_signal, start_ticks, stat_fields, wait_for_exit
from aiplatform_hub.clients.spool import SessionRecord, Spool, boottime

__all__ = ["Identity", "descendants", "is_alive", "processes_of_allocation", "processes_of_session", "start_ticks", "stop_session"]

ALLOCATION_VARIABLE = "AIPLATFORM_ALLOCATION_ID"
"""Environment variable that every process of a session inherits."""

RUNNER_SECONDS = 35
"""Longest time given to a runner for killing what its server left behind, and for its last line."""
LEFTOVER_SECONDS = 10
"""Longest time spent here on the same."""

_STATE, _PARENT, _GROUP, _SESSION, _START_TICKS = 0, 1, 2, 3, 19  # fields of stat after the command's name
_DEAD = frozenset({b"Z", b"X"})


def descendants(pid: int) -> tuple[Identity, ...]:
    """Return every living process below this one, parents before their children."""
    below: dict[int, list[Identity]] = {}
    for other in all_pids():
        fields = stat_fields(other)
        if fields and fields[_STATE] not in _DEAD:
            below.setdefault(int(fields[_PARENT]), []).append(Identity(other, int(fields[_START_TICKS])))
    found: list[Identity] = []
    queue = [pid]
    while queue:
        for child in below.get(queue.pop(0), ()):
            found.append(child)
            queue.append(child.pid)
    return tuple(found)


def processes_of_allocation(allocation_id: UUID) -> tuple[Identity, ...]:
    """Return the living processes that carry the allocation's id in their environment.

    A process that wiped its environment is not seen here; the cgroup and the runner's process tree know it.
    """
    marker = f"{ALLOCATION_VARIABLE}={allocation_id}".encode()
    found = []
    for pid in all_pids():
        identity = identify(pid)
        try:
            environment = (Path("/proc") / str(pid) / "environ").read_bytes()
        except OSError:
            continue
        if identity and marker in environment.split(b"\0") and is_alive(identity):
            found.append(identity)
    return tuple(found)


def processes_of_session(session_id: int) -> tuple[Identity, ...]:
    """Return the living processes of a kernel session, which its leader's pid names."""
    found = []
    for pid in all_pids():
        fields = stat_fields(pid)
        if fields and int(fields[_SESSION]) == session_id and fields[_STATE] not in _DEAD:
            found.append(Identity(pid, int(fields[_START_TICKS])))
    return tuple(found)


def stop_session(spool: Spool, allocation_id: UUID, grace_seconds: float) -> SessionRecord | None:
    """End a session and everything that descends from it; return its record, or None if there is no such session.

    The runner does it where it lives. Where it was killed the same is done here, and the end is recorded in its place.
    Blocks up to the grace and some seconds; call it in a thread. Safe to repeat.
    """
    record = spool.read(allocation_id)
    if record is None:
        return None
    meta = spool.meta(allocation_id)
    folders = meta.cgroups if meta else ()
    if record.runner and record.is_runner_alive:
        _ask_runner(record.runner, record.process, grace_seconds)
    members = _members(record, folders)
    if record.process and is_alive(record.process):
        _end(record.process, members, grace_seconds)
        if not is_alive(record.process):
            spool.record_end(allocation_id, boottime())
    _kill_leftovers(record, folders, members)
    cgroups.remove(folders)
    return spool.read(allocation_id)


def _ask_runner(runner: Identity, server: Identity | None, grace_seconds: float) -> None:
    """Tell the runner to end the session; kill the server, never the runner, when that takes longer than the grace."""
    send_signal(runner, signal.SIGTERM)
    if wait_for_exit(runner, grace_seconds):
        return
    if server:
        send_signal(server, signal.SIGKILL)
    wait_for_exit(runner, RUNNER_SECONDS)


def _members(record: SessionRecord, folders: Iterable[Path]) -> tuple[Identity, ...]:
    """Return every living process known to belong to the session, by tree, kernel session, environment and cgroup."""
    found = [*processes_of_allocation(record.allocation_id), *cgroups.members(folders)]
    if record.process and start_ticks(record.process.pid) in {None, record.process.start_ticks}:
        found += [*descendants(record.process.pid), *processes_of_session(record.process.pid)]
        found += [record.process] if is_alive(record.process) else []
    return tuple(dict.fromkeys(found))


def _end(server: Identity, members: Iterable[Identity], grace_seconds: float) -> None:
    """Ask the server's process group to end; kill the server after the grace."""
    group = [identity for identity in members if _group_of(identity) == server.pid]
    for number in (signal.SIGTERM, signal.SIGCONT):  # a stopped process hears nothing else
        for identity in group:
            send_signal(identity, number)
    if not wait_for_exit(server, grace_seconds):
        send_signal(server, signal.SIGKILL)
        wait_for_exit(server, LEFTOVER_SECONDS)


def _group_of(identity: Identity) -> int | None:
    fields = stat_fields(identity.pid)
    return int(fields[_GROUP]) if fields else None


def _kill_leftovers(record: SessionRecord, folders: tuple[Path, ...], members: Iterable[Identity]) -> None:
    """Kill until nothing is left; what was seen before the server ended may no longer be found by its tree."""
    give_up_at = time.monotonic() + LEFTOVER_SECONDS
    left = tuple(identity for identity in dict.fromkeys((*members, *_members(record, folders))) if is_alive(identity))
    while left and time.monotonic() < give_up_at:
        cgroups.kill(folders)
        children = [child for identity in left for child in descendants(identity.pid)]
        every = dict.fromkeys((*left, *children))
        for identity in every:
            send_signal(identity, signal.SIGKILL)
        for identity in every:
            wait_for_exit(identity, 0.2)
        again = (*every, *_members(record, folders))
        left = tuple(identity for identity in dict.fromkeys(again) if is_alive(identity))


def allocation_of(pid: int) -> UUID | None:
    """Return the allocation that a process carries in its environment, or None."""
    prefix = f"{ALLOCATION_VARIABLE}=".encode()
    try:
        words = (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0")
        return next((UUID(word.removeprefix(prefix).decode()) for word in words if word.startswith(prefix)), None)
    except (OSError, ValueError):
        return None
