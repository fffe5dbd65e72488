"""Reads how the platform does."""

from __future__ import annotations

import platform
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aiplatform_hub import __version__
from aiplatform_hub.config import Place, Settings
from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.health import PROCESSES, DiskHealth, GpuHealth, Health, LedgerHealth, ProcessHealth, Reconciled, process_state
from aiplatform_hub.operations.catalog_files import CatalogFiles
from aiplatform_hub.operations.policies import Policies
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.database_facts import database_facts, ledger_rows
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.heartbeats import Heartbeat, HeartbeatStore

PACKAGES = ("jupyterhub", "jupyterlab", "jupyterhub-kubespawner", "tornado", "sqlalchemy")
"""Whose versions are told; those that are not installed are left out."""
_TOLD_APART = frozenset({
    "reconciled_at", "corrected_at", "corrected", "corrected_since_start", "ledger_rows", "ledger_verified_until", "ledger_whole_at", "ledger_trouble",
})  # fmt: skip
"""Of the keeper's heartbeat: what is more than a remark."""


class HealthReader:
    """Answers *is everything well here*. Reads only."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        settings: Settings,
        database: Database,
        devices: DeviceStore,
        heartbeats: HeartbeatStore,
        policies: Policies,
        files: CatalogFiles,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._database = database
        self._devices = devices
        self._heartbeats = heartbeats
        self._policies = policies
        self._files = files
        self._clock = clock

    def read(self) -> Health:
        """Return what is known.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        now = self._clock()
        with self._database.read() as connection:
            beats = {beat.process: beat for beat in self._heartbeats.all(connection)}
            pool = self._devices.pool(connection)
            facts = database_facts(connection)
            total_rows = ledger_rows(connection)
        detail = beats["keeper"].detail if "keeper" in beats else {}
        return Health(
            at=now,
            processes=tuple(_process(name, beats.get(name), now) for name in (*PROCESSES, *sorted(set(beats) - set(PROCESSES)))),
            reconciled=_reconciled(detail),
            ledger=_ledger(detail, total_rows),
            database=facts,
            disks=self._disks(),
            gpus=gpu_health(pool.devices if pool else ()),
            versions=versions(),
            policy_trouble=self._policies.in_force().trouble,
            catalog_problems=self._files.look().problems,
        )

    def _disks(self) -> tuple[DiskHealth, ...]:
        """Return the disks of the folders that fill up; in a cluster these are volumes that only their pods see."""
        if self._settings.place is Place.CLUSTER:
            return ()
        folders = {"the platform's data": self._settings.data_dir, "people's homes": self._settings.homes_dir}
        return tuple(_disk(name, path) for name, path in folders.items())


def gpu_health(devices: Iterable[GpuDevice]) -> tuple[GpuHealth, ...]:
    """Count GPUs by type."""
    total: Counter[str] = Counter()
    unhealthy: Counter[str] = Counter()
    simulated: Counter[str] = Counter()
    for device in devices:
        total[device.gpu_type] += 1
        unhealthy[device.gpu_type] += not device.is_healthy
        simulated[device.gpu_type] += device.is_simulated
    return tuple(GpuHealth(name, total[name], unhealthy[name], simulated[name]) for name in sorted(total))


def versions() -> dict[str, str]:
    """Return what runs here, by name."""
    return {"AI Platform Hub": __version__, "Python": platform.python_version(), **{name: found for name in PACKAGES if (found := _version(name))}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _process(name: str, beat: Heartbeat | None, now: datetime) -> ProcessHealth:
    if beat is None:
        return ProcessHealth(name, process_state(None, now))
    remarks = {key: _plain(value) for key, value in beat.detail.items() if key not in _TOLD_APART and value not in ([], "", None)}
    return ProcessHealth(name, process_state(beat.at, now), beat.at, beat.started_at, remarks)


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _reconciled(detail: Mapping[str, Any]) -> Reconciled:
    return Reconciled(
        at=_instant(detail.get("reconciled_at")),
        corrected_at=_instant(detail.get("corrected_at")),
        corrected=detail.get("corrected", {}),
        since_start=detail.get("corrected_since_start", {}),
    )


def _ledger(detail: Mapping[str, Any], total_rows: int) -> LedgerHealth:
    return LedgerHealth(
        rows=detail.get("ledger_rows", 0),
        total_rows=total_rows,
        verified_until=_instant(detail.get("ledger_verified_until")),
        whole_at=_instant(detail.get("ledger_whole_at")),
        trouble=detail.get("ledger_trouble", ""),
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _disk(name: str, path: Path) -> DiskHealth:
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return DiskHealth(name, str(path), 0, 0)
    return DiskHealth(name, str(path), usage.total, usage.free)
