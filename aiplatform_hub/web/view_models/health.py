"""How the platform does, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.health import DiskHealth, GpuHealth, Health, LedgerHealth, ProcessHealth, ProcessState, Reconciled, troubles
from aiplatform_hub.domain.units import format_bytes
from aiplatform_hub.web.view_models.environments import Fact
from aiplatform_hub.web.view_models.formats import Bar, Stamp, count, duration, percent, stamp
from aiplatform_hub.web.view_models.labels import gpu_label

CORRECTIONS = {
    "started": "start seen late",
    "ended": "end seen late",
    "lost": "end that nobody saw",
    "start_failed": "failed start settled",
    "hold_expired": "hold that nobody took up",
    "start_abandoned": "start that was cut off",
    "orphan_stopped": "session without a promise stopped",
    "unreadable": "record that cannot be read",
    "failed": "correction that failed",
}
"""What the reconciler corrects, by kind."""


@dataclass(frozen=True, slots=True)
class ProcessCard:
    """One process of the platform with its last sign of life."""

    name: str
    state: str
    tone: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class HealthPage:
    """What Health shows."""

    troubles: tuple[str, ...]
    read_at: Stamp | None
    processes: tuple[ProcessCard, ...]
    reconciled: tuple[Fact, ...]
    ledger: tuple[Fact, ...]
    ledger_bar: Bar | None
    database: tuple[Fact, ...]
    disks: tuple[Bar, ...]
    gpus: tuple[Fact, ...]
    versions: tuple[Fact, ...]
    not_enforced: tuple[str, ...]
    enforced: tuple[str, ...]
    place: str
    """What a sentence calls where servers run: ``machine`` or ``cluster``."""


def health_page(health: Health, *, not_enforced: tuple[str, ...], enforced: tuple[str, ...], place: str, catalog: Catalog) -> HealthPage:
    """Return the page."""
    ledger, database = health.ledger, health.database
    return HealthPage(
        troubles=troubles(health),
        read_at=stamp(health.at),
        processes=tuple(process_card(process, health.at) for process in health.processes),
        reconciled=_reconciled(health.reconciled),
        ledger=_ledger(ledger),
        ledger_bar=_walked(ledger),
        database=(
            Fact("Kind", f"{database.kind} {database.version}"),
            Fact("Size", "not known" if database.size_bytes is None else format_bytes(database.size_bytes)),
            Fact("Tables", f"revision {database.revision}"),
        ),
        disks=tuple(_disk(disk) for disk in health.disks),
        gpus=tuple(_gpus(kind, catalog) for kind in health.gpus),
        versions=tuple(Fact(name, version) for name, version in health.versions.items()),
        not_enforced=not_enforced,
        enforced=enforced,
        place=place,
    )


def process_card(process: ProcessHealth, now: datetime) -> ProcessCard:
    """Return one process."""
    if process.state is ProcessState.NEVER_SEEN or process.seen_at is None:
        return ProcessCard(process.name, "never seen", "bad", ())
    is_well = process.state is ProcessState.WELL
    state = "well" if is_well else f"silent for {duration(now - process.seen_at)}"
    seen = Fact("Last sign of life", "", stamp(process.seen_at))
    remarks = tuple(Fact(name.replace("_", " "), value) for name, value in process.remarks.items())
    return ProcessCard(process.name, state, "good" if is_well else "bad", (Fact("Runs since", "", stamp(process.started_at)), seen, *remarks))


def corrections(counts: Mapping[str, int]) -> str:
    """Return what was corrected, for example ``2 × end seen late``."""
    return ", ".join(f"{number} × {CORRECTIONS.get(kind, kind)}" for kind, number in counts.items())


def _reconciled(found: Reconciled) -> tuple[Fact, ...]:
    if found.at is None:
        return (Fact("Last compared", "not since the keeper's start"),)
    if found.corrected_at is None:
        return (Fact("Last compared", "", stamp(found.at)), Fact("Corrected", "nothing since the keeper's start"))
    return (
        Fact("Last compared", "", stamp(found.at)),
        Fact("Last correction", f"({corrections(found.corrected)})", stamp(found.corrected_at)),
        Fact("Since the keeper's start", corrections(found.since_start)),
    )


def _ledger(ledger: LedgerHealth) -> tuple[Fact, ...]:
    whole = Fact("Whole chain", "", stamp(ledger.whole_at)) if ledger.whole_at else Fact("Whole chain", "not walked to its end yet")
    until = Fact("Verified until", "", stamp(ledger.verified_until)) if ledger.verified_until else Fact("Verified until", "nothing yet")
    return (until, Fact("Rows verified", f"{ledger.rows:,} of {ledger.total_rows:,}"), whole)


def _walked(ledger: LedgerHealth) -> Bar | None:
    """Return how far the walk is; None once it has reached the end."""
    if ledger.rows >= ledger.total_rows:
        return None
    return Bar("Verified", f"{ledger.rows:,} of {ledger.total_rows:,}", percent(ledger.rows, ledger.total_rows))


def _disk(disk: DiskHealth) -> Bar:
    if not disk.total_bytes:
        return Bar(disk.name, "cannot be read", 0, note=disk.path)
    used = disk.total_bytes - disk.free_bytes
    text = f"{format_bytes(disk.free_bytes)} free of {format_bytes(disk.total_bytes)}"
    return Bar(disk.name, text, percent(used, disk.total_bytes), is_full=disk.is_low, note=disk.path)


def _gpus(kind: GpuHealth, catalog: Catalog) -> Fact:
    parts = [count(kind.total, "GPU")]
    parts.append(f"{kind.unhealthy} cannot be used" if kind.unhealthy else "all healthy")
    if kind.simulated:
        parts.append(f"{kind.simulated} simulated")
    return Fact(gpu_label(catalog, kind.gpu_type) or kind.gpu_type, ", ".join(parts))
