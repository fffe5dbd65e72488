"""What the processes of this machine's sessions take: by control group where there is one, else by the tree of processes."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from aiplatform_hub.clients.identity import all_pids, stat_fields
from aiplatform_hub.clients.spool import SessionRecord, Spool
from aiplatform_hub.domain.series import ProcessUse

_PARENT, _CPU_TIMES = 1, slice(11, 15)  # fields of stat after the command's name: own and waited-for children's time, user and system
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_NANOSECONDS, _MICROSECONDS = 1e-9, 1e-6


@dataclass(frozen=True, slots=True)
class _Tree:
    """The processes of this machine at one instant."""

    children: Mapping[int, tuple[int, ...]]
    cpu_seconds: Mapping[int, float]

    def below(self, pid: int) -> tuple[int, ...]:
        """Return a process with everything that descends from it."""
        found = [pid] if pid in self.cpu_seconds else []
        for each in found:
            found += self.children.get(each, ())
        return tuple(found)


class SessionProcesses:
    """Looks at sessions of the spool. One that does not run, or that the system says nothing of, is absent."""

    def __init__(self, *, spool: Spool) -> None:
        self._spool = spool

    def measure(self, ids: Collection[UUID], at: datetime) -> dict[UUID, ProcessUse]:
        """Return what each session has taken up to now. Never raises, and reads all processes once.

        Parameters
        ----------
        at
            Now, aware UTC.
        """
        if not ids:
            return {}
        tree = _tree()
        return {id_: use for id_ in ids if (use := self._use(id_, tree, at)) is not None}

    def _use(self, allocation_id: UUID, tree: _Tree, at: datetime) -> ProcessUse | None:
        record, meta = self._spool.read(allocation_id), self._spool.meta(allocation_id)
        if record is None or meta is None or not record.is_alive:
            return None
        pids = tree.below(_root(record))
        cpu_seconds, memory_bytes = _group_cpu_seconds(meta.cgroups), _group_memory_bytes(meta.cgroups)
        if cpu_seconds is None:
            cpu_seconds = sum(tree.cpu_seconds[pid] for pid in pids)
        if memory_bytes is None:
            memory_bytes = sum(_memory_bytes(pid) for pid in pids)
        return ProcessUse(at, cpu_seconds, memory_bytes)


def _root(record: SessionRecord) -> int:
    """Return the process below which all others are: the runner, which takes in orphans, or else the server."""
    root = record.runner if record.is_runner_alive and record.runner else record.process
    return root.pid if root else 0


def _tree() -> _Tree:
    children: dict[int, tuple[int, ...]] = {}
    cpu_seconds: dict[int, float] = {}
    for pid in all_pids():
        fields = stat_fields(pid)
        if fields:
            parent = int(fields[_PARENT])
            children[parent] = (*children.get(parent, ()), pid)
            cpu_seconds[pid] = sum(map(int, fields[_CPU_TIMES])) / _TICKS_PER_SECOND
    return _Tree(children, cpu_seconds)


def _memory_bytes(pid: int) -> int:
    """Return the memory of one process: its share of what it shares with others, or all of that where the share is not for us to see."""
    folder = Path("/proc") / str(pid)
    share = _number(folder / "smaps_rollup", "Pss:")
    if share is not None:
        return share * 1024
    try:
        return int((folder / "statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0  # it ended meanwhile


def _group_cpu_seconds(folders: Iterable[Path]) -> float | None:
    for folder in folders:
        used = _number(folder / "cpu.stat", "usage_usec")
        if used is not None:
            return used * _MICROSECONDS
        used = _number(folder / "cpuacct.usage")
        if used is not None:
            return used * _NANOSECONDS
    return None


def _group_memory_bytes(folders: Iterable[Path]) -> int | None:
    """Return the memory of a group without the files that the kernel may forget at any time."""
    for folder in folders:
        for name, cached in (("memory.current", "inactive_file"), ("memory.usage_in_bytes", "total_inactive_file")):
            used = _number(folder / name)
            if used is not None:
                return max(0, used - (_number(folder / "memory.stat", cached) or 0))
    return None


def _number(path: Path, word: str = "") -> int | None:
    """Return the number behind a word of a file, or the file's first; None where it is not there."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
        return next((int(line[1] if word else line[0]) for line in lines if line and (not word or line[0] == word)), None)
    except (OSError, ValueError, IndexError):
        return None
