"""Admin's pages below Now, with what a person might have typed in every free text."""

from __future__ import annotations

from pathlib import Path

from aiplatform_hub.catalog.loader import Inspection, Origin
from aiplatform_hub.domain.health import (
    DatabaseHealth,
    DiskHealth,
    GpuHealth,
    Health,
    LedgerHealth,
    ProcessHealth,
    ProcessState,
    Reconciled,
)
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.storage.audit import AuditEvent
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models.admin_tabs import admin_tabs
from aiplatform_hub.web.view_models.audit import audit_page
from aiplatform_hub.web.view_models.catalogue import catalogue_page, look_as
from aiplatform_hub.web.view_models.health import health_page
from tests.web.samples import CATALOG, HOSTILE, NOW, PATHS, frame

HEALTH = Health(
    at=NOW,
    processes=(
        ProcessHealth("hub", ProcessState.WELL, NOW, NOW, {"pid": "1", "note": HOSTILE}),
        ProcessHealth("keeper", ProcessState.NEVER_SEEN),
    ),
    reconciled=Reconciled(NOW, NOW, {"lost": 1}, {"lost": 3, "ended": 1}),
    ledger=LedgerHealth(5_000, 12_345, NOW, None, HOSTILE),
    database=DatabaseHealth("SQLite", "3.40.1", 5 * GIB, "0006"),
    disks=(DiskHealth("people's homes", "/srv", 100 * GIB, 2 * GIB),),
    gpus=(GpuHealth("h100", 4, 1, 0),),
    versions={"Python": "3.11.2"},
    catalog_problems=("tiers.yaml:3 wrong",),
)


def shown(tab: str, page_template: str, **values: object) -> str:
    return render(page_template, frame("admin", is_admin=True), tabs=admin_tabs(tab, PATHS), **values)


def health() -> str:
    page = health_page(HEALTH, not_enforced=("GPUs are advisory.",), enforced=("Memory limits bind.",), place="machine", catalog=CATALOG)
    return shown("health", "admin-health.html", page=page)


def audit() -> str:
    events = [AuditEvent(NOW, HOSTILE, "stop", HOSTILE, outcome, {"code": HOSTILE}, id=9 - n) for n, outcome in enumerate(("refused", "done"))]
    return shown("audit", "admin-audit.html", page=audit_page(events, limit=1, actor=HOSTILE, is_first=False, paths=PATHS))


def catalogue() -> str:
    files = Inspection({"tiers": {"default": Origin(Path("/srv/catalog/tiers.yaml"), 3)}}, (f"tiers.yaml:3 {HOSTILE}",))
    look = look_as(Caller(7, HOSTILE, frozenset({"vision"})), "default", {"pytorch": HOSTILE}, CATALOG, PATHS)
    page = catalogue_page(CATALOG, files, folders=("/srv/catalog",), unavailable={"pytorch": "Not built."}, now=NOW, look=look)
    return shown("catalogue", "admin-catalogue.html", page=page, as_user=HOSTILE, problem=f"There is no {HOSTILE}.")


ADMIN_PAGES = {"admin-health": health, "admin-audit": audit, "admin-catalogue": catalogue}
