"""Bodies about how the platform does, and about its audit trail and catalogue files."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from aiplatform_hub.domain.health import Health, troubles
from aiplatform_hub.services.platform.wire import Instant, Output


class ProcessOut(Output):
    """One process of the platform."""

    name: str
    state: str = Field(description="`well`, `silent` or `never_seen`")
    seen_at: Instant | None
    started_at: Instant | None
    remarks: dict[str, str]


class ReconciledOut(Output):
    """What the keeper corrected where ledger and reality differed."""

    at: Instant | None = Field(description="When everything was last compared")
    corrected_at: Instant | None
    corrected: dict[str, int] = Field(description="What was last corrected, by kind")
    since_start: dict[str, int] = Field(description="The same since the keeper's start")


class LedgerOut(Output):
    """How far the ledger's chain is verified."""

    rows: int
    total_rows: int
    verified_until: Instant | None
    whole_at: Instant | None = Field(description="When a walk last reached the end without a fault")
    trouble: str


class DatabaseOut(Output):
    """The platform's own database."""

    kind: str
    version: str
    size_bytes: int | None
    revision: str


class DiskOut(Output):
    """The disk that a folder is on; 0 bytes in all where it cannot be read."""

    name: str
    path: str
    total_bytes: int
    free_bytes: int


class GpuHealthOut(Output):
    """The GPUs of one type."""

    gpu_type: str
    total: int
    unhealthy: int
    simulated: int


class HealthOut(Output):
    """How the platform does."""

    as_of: Instant
    troubles: tuple[str, ...] = Field(description="What is amiss, the gravest first; empty where all is well")
    processes: tuple[ProcessOut, ...]
    reconciled: ReconciledOut
    ledger: LedgerOut
    database: DatabaseOut
    disks: tuple[DiskOut, ...]
    gpus: tuple[GpuHealthOut, ...]
    versions: dict[str, str]
    not_enforced: tuple[str, ...] = Field(description="Limits that this place cannot enforce")
    enforced: tuple[str, ...]


class AuditEventOut(Output):
    """One privileged or refused act."""

    id: int
    at: Instant
    actor: str
    action: str
    target: str
    outcome: str
    detail: dict[str, Any]


class AuditPage(Output):
    """A page of the audit trail, newest first."""

    items: tuple[AuditEventOut, ...]
    next_cursor: str | None


def health_out(health: Health, not_enforced: tuple[str, ...], enforced: tuple[str, ...]) -> HealthOut:
    """Return what is known as it is sent."""
    return HealthOut(
        as_of=health.at,
        troubles=troubles(health),
        processes=tuple(
            ProcessOut(name=p.name, state=p.state.value, seen_at=p.seen_at, started_at=p.started_at, remarks=dict(p.remarks)) for p in health.processes
        ),
        reconciled=ReconciledOut(
            at=health.reconciled.at,
            corrected_at=health.reconciled.corrected_at,
            corrected=dict(health.reconciled.corrected),
            since_start=dict(health.reconciled.since_start),
        ),
        ledger=LedgerOut(
            rows=health.ledger.rows,
            total_rows=health.ledger.total_rows,
            verified_until=health.ledger.verified_until,
            whole_at=health.ledger.whole_at,
            trouble=health.ledger.trouble,
        ),
        database=DatabaseOut(
            kind=health.database.kind, version=health.database.version, size_bytes=health.database.size_bytes, revision=health.database.revision
        ),
        disks=tuple(DiskOut(name=d.name, path=d.path, total_bytes=d.total_bytes, free_bytes=d.free_bytes) for d in health.disks),
        gpus=tuple(GpuHealthOut(gpu_type=g.gpu_type, total=g.total, unhealthy=g.unhealthy, simulated=g.simulated) for g in health.gpus),
        versions=dict(health.versions),
        not_enforced=not_enforced,
        enforced=enforced,
    )
