"""Memory and CPU limits of sessions by control groups, version 2 or 1."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

from aiplatform_hub.clients.identity import Identity, identify, is_alive

PARENT = "aiplatform"
"""Group that holds one group per session."""
MAIN = "aiplatform-main"
"""Version 2: group that the hub's own processes move to, because a group with processes cannot hand out controllers."""
CPU_PERIOD_MICROSECONDS = 100_000
CONTROLLERS = ("memory", "cpu")


@dataclass(frozen=True, slots=True)
class CgroupPaths:
    """The groups of one session."""

    folders: tuple[Path, ...]
    """Every group that its processes join."""
    memory: Path | None
    """The one that counts kills for memory."""


@dataclass(frozen=True, slots=True)
class Enforcement:
    """Whether a limit binds, and if not, why: a sentence for the admin page."""

    resource: str
    """``memory`` or ``cpu``."""
    is_enforced: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Cgroups:
    """What this machine permits. Build it with :meth:`detect`."""

    version: int
    """2, 1, or 0 for none."""
    parents: dict[str, Path]
    """Group that holds the sessions' groups, by controller; only those that work."""
    refusals: dict[str, str]
    """Why a controller does not work."""

    @classmethod
    def detect(cls, mounts: Path = Path("/proc/self/mounts"), membership: Path = Path("/proc/self/cgroup")) -> Self:
        """Find what is mounted and permitted; makes the parent groups, changes no limit."""
        unified, legacy = _mounted(mounts.read_text())
        if unified is not None and "memory" not in legacy:
            return cls._detect_v2(unified, membership.read_text())
        if legacy:
            return cls._detect_v1(legacy)
        return cls.none("This machine has no control groups.")

    @classmethod
    def none(cls, reason: str) -> Self:
        """Return a value that enforces nothing, and says why."""
        return cls(0, {}, dict.fromkeys(CONTROLLERS, reason))

    @classmethod
    def _detect_v1(cls, mounted: dict[str, Path]) -> Self:
        parents, refusals = {}, {}
        for controller in CONTROLLERS:
            if controller not in mounted:
                refusals[controller] = f"The kernel's {controller} control group is not mounted."
                continue
            parent = mounted[controller] / PARENT
            refusal = _usable(parent)
            if refusal:
                refusals[controller] = refusal
            else:
                parents[controller] = parent
        return cls(1, parents, refusals)

    @classmethod
    def _detect_v2(cls, root: Path, membership: str) -> Self:
        base = _own_group(root, membership)
        offered = _words(base / "cgroup.controllers")
        parents, refusals = {}, {}
        for controller in CONTROLLERS:
            if controller not in offered:
                refusals[controller] = f"The {controller} controller is not delegated to {base}; a systemd unit needs Delegate=yes."
                continue
            refusal = _hand_out(base, controller)
            if refusal:
                refusals[controller] = refusal
            else:
                parents[controller] = base / PARENT
        return cls(2, parents, refusals)

    def enforcement(self) -> tuple[Enforcement, ...]:
        """Say for memory and CPU whether limits bind here."""
        return tuple(Enforcement(name, name in self.parents, self.refusals.get(name, "")) for name in CONTROLLERS)

    def create(self, allocation_id: UUID, *, memory_bytes: int | None, cpu_cores: int | None) -> CgroupPaths | None:
        """Make the session's groups with their limits; None where nothing can be enforced.

        Raises
        ------
        OSError
            If a limit that counts as enforced cannot be set.
        """
        if not self.parents:
            return None
        folders = self._folders(allocation_id)
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        limit_memory, limit_cpu = (_limit_memory_v2, _limit_cpu_v2) if self.version == 2 else (_limit_memory_v1, _limit_cpu_v1)  # noqa: PLR2004
        try:
            if memory_bytes and "memory" in folders:
                limit_memory(folders["memory"], memory_bytes)
            if cpu_cores and "cpu" in folders:
                limit_cpu(folders["cpu"], cpu_cores)
        except OSError:
            self.remove(allocation_id)
            raise
        return CgroupPaths(tuple(dict.fromkeys(folders.values())), folders.get("memory"))

    def remove(self, allocation_id: UUID) -> None:
        """Remove the session's groups; one that still has processes stays."""
        remove(self._folders(allocation_id).values())

    def _folders(self, allocation_id: UUID) -> dict[str, Path]:
        return {controller: parent / str(allocation_id) for controller, parent in self.parents.items()}


def remove(folders: Iterable[Path]) -> None:
    """Remove groups; one that still has processes stays."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def members(folders: Iterable[Path]) -> tuple[Identity, ...]:
    """Return the living processes of these groups."""
    pids = {int(word) for folder in folders for word in _words(folder / "cgroup.procs")}
    return tuple(identity for pid in sorted(pids) if (identity := identify(pid)) and is_alive(identity))


def kill(folders: Iterable[Path]) -> None:
    """Kill everything in these groups at once, where the kernel can (version 2)."""
    for folder in folders:
        with suppress(OSError):
            _write(folder / "cgroup.kill", "1")


def out_of_memory_kills(folder: Path) -> int:
    """Return how often the kernel killed for memory in this group."""
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError):
            for line in (folder / name).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _mounted(mounts: str) -> tuple[Path | None, dict[str, Path]]:
    """Return the version 2 root and the version 1 roots by controller."""
    unified, legacy = None, {}
    for line in mounts.splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2":
            unified = Path(folder)
        elif kind == "cgroup":
            legacy.update({name: Path(folder) for name in options.split(",") if name in CONTROLLERS})
    return unified, legacy


def _own_group(root: Path, membership: str) -> Path:
    own = next((line.partition("::")[2] for line in membership.splitlines() if line.startswith("0::")), "/")
    path = root / own.strip("/")
    return path.parent if path.name == MAIN else path


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def _usable(parent: Path) -> str:
    """Return an empty text if sessions' groups can be made there, else why not."""
    probe = parent / f"probe-{os.getpid()}"
    try:
        parent.mkdir(exist_ok=True)
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        return f"{parent} cannot be written: {error.strerror}."
    return ""


def _hand_out(base: Path, controller: str) -> str:
    """Let the sessions' groups use a controller (version 2); return an empty text or why not."""
    try:
        (base / PARENT).mkdir(exist_ok=True)
        for group in (base, base / PARENT):
            if controller not in _words(group / "cgroup.subtree_control"):
                _enable(group, controller)
    except OSError as error:
        return f"{base} cannot hand out its {controller} controller: {error.strerror}."
    return "" if controller in _words(base / PARENT / "cgroup.subtree_control") else f"{base} does not hand out its {controller} controller."


def _enable(group: Path, controller: str) -> None:
    try:
        _write(group / "cgroup.subtree_control", f"+{controller}")
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        main = group / MAIN
        main.mkdir(exist_ok=True)
        for pid in _words(group / "cgroup.procs"):
            _write(main / "cgroup.procs", pid)
        _write(group / "cgroup.subtree_control", f"+{controller}")


def _limit_memory_v1(folder: Path, memory_bytes: int) -> None:
    _write(folder / "memory.limit_in_bytes", str(memory_bytes))
    with suppress(OSError):  # only where the kernel counts swap
        _write(folder / "memory.memsw.limit_in_bytes", str(memory_bytes))


def _limit_memory_v2(folder: Path, memory_bytes: int) -> None:
    _write(folder / "memory.max", str(memory_bytes))
    with suppress(OSError):
        _write(folder / "memory.swap.max", "0")
    with suppress(OSError):
        _write(folder / "memory.oom.group", "0")


def _limit_cpu_v1(folder: Path, cpu_cores: int) -> None:
    _write(folder / "cpu.cfs_period_us", str(CPU_PERIOD_MICROSECONDS))
    _write(folder / "cpu.cfs_quota_us", str(CPU_PERIOD_MICROSECONDS * cpu_cores))


def _limit_cpu_v2(folder: Path, cpu_cores: int) -> None:
    _write(folder / "cpu.max", f"{CPU_PERIOD_MICROSECONDS * cpu_cores} {CPU_PERIOD_MICROSECONDS}")
