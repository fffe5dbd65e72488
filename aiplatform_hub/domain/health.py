"""How the platform does: what was read of it, and what of that is amiss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

PROCESSES = ("hub", "platform", "keeper")
"""Those that every installation has."""
LATE = timedelta(seconds=30)
"""A sign of life older than this means that the process is not well."""
LOW_DISK_FRACTION = 0.05
"""A disk with less than this part free is amiss."""


class ProcessState(StrEnum):
    """Whether a process gives signs of life."""

    WELL = "well"
    SILENT = "silent"
    NEVER_SEEN = "never_seen"


@dataclass(frozen=True, slots=True)
class ProcessHealth:
    """One process. Instants are aware UTC; None where there never was one."""

    name: str
    state: ProcessState
    seen_at: datetime | None = None
    started_at: datetime | None = None
    remarks: Mapping[str, str] = field(default_factory=dict)
    """What it says of itself, by name."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What the keeper's comparisons of ledger and reality found. Instants are aware UTC."""

    at: datetime | None = None
    """When everything was last compared; None if it never was."""
    corrected_at: datetime | None = None
    """When something was last corrected since the keeper's start; None if nothing was."""
    corrected: Mapping[str, int] = field(default_factory=dict)
    """What that was: how many of each kind."""
    since_start: Mapping[str, int] = field(default_factory=dict)
    """The same since the keeper's start."""


@dataclass(frozen=True, slots=True)
class LedgerHealth:
    """How far the chain of the ledger is verified. Instants are aware UTC."""

    rows: int = 0
    total_rows: int = 0
    verified_until: datetime | None = None
    whole_at: datetime | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class DatabaseHealth:
    """The platform's own database."""

    kind: str
    version: str
    size_bytes: int | None
    revision: str
    """Of its tables."""


@dataclass(frozen=True, slots=True)
class DiskHealth:
    """The disk that a folder is on; 0 bytes in all where it cannot be read."""

    name: str
    path: str
    total_bytes: int
    free_bytes: int

    @property
    def is_low(self) -> bool:
        """Whether it is nearly full."""
        return self.total_bytes > 0 and self.free_bytes < LOW_DISK_FRACTION * self.total_bytes


@dataclass(frozen=True, slots=True)
class GpuHealth:
    """The GPUs of one type."""

    gpu_type: str
    total: int
    unhealthy: int
    simulated: int


@dataclass(frozen=True, slots=True)
class Health:
    """Everything that is known."""

    at: datetime
    """Aware UTC."""
    processes: tuple[ProcessHealth, ...]
    reconciled: Reconciled
    ledger: LedgerHealth
    database: DatabaseHealth
    disks: tuple[DiskHealth, ...]
    gpus: tuple[GpuHealth, ...]
    versions: Mapping[str, str]
    policy_trouble: str = ""
    catalog_problems: tuple[str, ...] = ()


def process_state(seen_at: datetime | None, now: datetime) -> ProcessState:
    """Return the state of a process by its last sign of life."""
    if seen_at is None:
        return ProcessState.NEVER_SEEN
    return ProcessState.SILENT if now - seen_at > LATE else ProcessState.WELL


def troubles(health: Health) -> tuple[str, ...]:
    """Return what is amiss, the gravest first, as sentences; none where all is well."""
    return (*_of_ledger(health.ledger), *_of_processes(health), *_of_disks(health), *_of_gpus(health), *_of_rules(health))


def _of_ledger(ledger: LedgerHealth) -> Iterator[str]:
    if ledger.trouble:
        yield f"The ledger is not as it was written: {ledger.trouble} See `aiplatform verify-ledger`."


def _of_processes(health: Health) -> Iterator[str]:
    for process in health.processes:
        if process.state is ProcessState.NEVER_SEEN:
            yield f"The {process.name} has never been seen."
        elif process.state is ProcessState.SILENT and process.seen_at is not None:
            yield f"The {process.name} has given no sign of life since {process.seen_at:%Y-%m-%d %H:%M} UTC."


def _of_disks(health: Health) -> Iterator[str]:
    for disk in health.disks:
        if disk.is_low:
            yield f"The disk of {disk.name} ({disk.path}) is nearly full."


def _of_gpus(health: Health) -> Iterator[str]:
    for kind in health.gpus:
        if kind.unhealthy:
            yield f"{kind.unhealthy} of {kind.total} GPUs of the type {kind.gpu_type} cannot be used."


def _of_rules(health: Health) -> Iterator[str]:
    if health.policy_trouble:
        yield health.policy_trouble
    if health.catalog_problems:
        yield "The files of the catalogue have errors; what was read at the last start counts. See Catalogue."
