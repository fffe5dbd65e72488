"""Admin's pages below Now, with what a person might have typed in every free text."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from aiplatform_hub.catalog.loader import Inspection, Origin
from aiplatform_hub.clients.hub_api import HubPeople, HubUser
from aiplatform_hub.domain.gpu_weeks import GpuSpan, Waited, waits, week
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
from aiplatform_hub.domain.limit_grants import GrantScope, LimitGrant
from aiplatform_hub.domain.limits import Limit, LimitUsage
from aiplatform_hub.domain.memberships import Membership
from aiplatform_hub.domain.people import tier_choice
from aiplatform_hub.domain.policy import SHIPPED
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.operations.cost_reporter import ReportRow
from aiplatform_hub.operations.efficiency import IdleNow, Past
from aiplatform_hub.operations.people import PersonRecord, PersonRights
from aiplatform_hub.operations.projects import ProjectRecord
from aiplatform_hub.storage.audit import AuditEvent
from aiplatform_hub.storage.grants import Grant
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models.admin_tabs import admin_tabs
from aiplatform_hub.web.view_models.audit import audit_page
from aiplatform_hub.web.view_models.catalogue import catalogue_page, look_as
from aiplatform_hub.web.view_models.efficiency import efficiency_page, forecast_view
from aiplatform_hub.web.view_models.health import health_page
from aiplatform_hub.web.view_models.memberships import memberships_part
from aiplatform_hub.web.view_models.people import GrantForm, PersonPage, RaiseForm, people_page, person_page
from aiplatform_hub.web.view_models.projects import project_cards
from tests.web.samples import CATALOG, HOSTILE, NOW, PATHS, RUNNING, frame

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


GRANT = Grant(UUID(int=9), HOSTILE, "default", NOW + timedelta(days=3), HOSTILE, HOSTILE, NOW)
RAISED = LimitGrant(
    id=UUID(int=11),
    scope=GrantScope.USER,
    name=HOSTILE,
    dimension="gpus",
    amount=Decimal(4),
    reason=HOSTILE,
    expires_at=NOW + timedelta(days=3),
    granted_by=HOSTILE,
    granted_at=NOW,
)
ADA = HubUser(7, HOSTILE, is_admin=True, groups=frozenset({"vision", HOSTILE}))
RECORD = PersonRecord(ADA, tier_choice((), CATALOG, "default"), CATALOG.projects_of(frozenset({"vision"}), frozenset()), GRANT, sessions=2, gpus=3)
FILES = Inspection({"tiers": {"default": Origin(Path("/srv/catalog/tiers.yaml"), 3)}}, ())
POOL = LimitUsage(Limit("project", "vision", "gpus", Decimal(3)), Decimal(3), held_by=(HOSTILE,))


def people() -> str:
    page = people_page(
        HubPeople(60, (ADA,)), (RECORD,), search=HOSTILE, project="vision", offset=50, limit=5, grants=(GRANT,), catalog=CATALOG, now=NOW, paths=PATHS
    )
    return shown("people", "admin-people.html", page=page)


def person_view(form: GrantForm, done: UUID | None = None) -> PersonPage:
    own = LimitUsage(Limit("user", HOSTILE, "gpus", Decimal(2)), Decimal(1), held_by=(HOSTILE,))
    raised = LimitUsage(Limit("user", HOSTILE, "environments", Decimal(9), source=f"grant by {HOSTILE} until 2026-11-30 00:00 UTC"), Decimal(1))
    unmeasured = LimitUsage(Limit("user", HOSTILE, "storage_bytes", Decimal(GIB)), None)
    ended = replace(GRANT, id=UUID(int=10), revoked_at=NOW)
    return person_page(
        PersonRights(RECORD, (own, raised, unmeasured, POOL), (GRANT, ended)),
        policy=replace(SHIPPED, project_limits={"vision": 2}),
        policy_version=3,
        max_queued=10,
        files=FILES,
        catalog=CATALOG,
        form=form,
        done=done,
        now=NOW,
        paths=PATHS,
        limit_grants=(RAISED, replace(RAISED, id=UUID(int=12), scope=GrantScope.GROUP, revoked_at=NOW)),
        raise_form=RaiseForm("gpus", HOSTILE, f"group:{HOSTILE}", HOSTILE, HOSTILE, {"amount": HOSTILE, "dimension": HOSTILE, "reason": HOSTILE}),
    )


def person() -> str:
    problems = {"reason": f"Say why. {HOSTILE}", "expires_at": HOSTILE, "tier": HOSTILE, "": HOSTILE}
    return shown("people", "admin-person.html", page=person_view(GrantForm("default", HOSTILE, HOSTILE, problems), GRANT.id))


MEMBERS = memberships_part(
    (
        Membership(UUID(int=1), HOSTILE, "vision", NOW - timedelta(days=9), NOW + timedelta(days=9), HOSTILE, "bea", NOW),
        Membership(UUID(int=2), "ada", "vision", NOW + timedelta(days=9), None, "next term", "bea", NOW),
        Membership(UUID(int=3), "ada", "vision", NOW - timedelta(days=9), None, "by mistake", "bea", NOW, NOW - timedelta(days=8), "cleo"),
    ),
    CATALOG,
    PATHS,
    NOW,
    typed={"user": HOSTILE},
    problem=None,
    done="",
)


def projects() -> str:
    records = (
        (ProjectRecord(CATALOG.projects["personal"], (), 1.0, 0.25, None, Decimal(0), {}), HubPeople(12, (ADA,))),
        (ProjectRecord(CATALOG.projects["vision"], (POOL,), 3.0, 0.75, 2, Decimal("12.5"), {"EUR": Decimal(18)}), HubPeople(6, (ADA,))),
    )
    return shown("projects", "admin-projects.html", cards=project_cards(records, FILES, CATALOG, PATHS), members=MEMBERS)


def efficiency() -> str:
    start = NOW - timedelta(days=28)
    row = ReportRow({"user": HOSTILE}, Decimal(36000), Decimal(36000), Decimal(0), 1, used_gpu_seconds=Decimal(9000), idle_gpu_seconds=Decimal(27000))
    cells = week([GpuSpan(NOW - timedelta(hours=3), NOW, 4)], [GpuSpan(NOW - timedelta(hours=1), NOW, 2)], NOW - timedelta(days=2), NOW)
    past = Past(start, NOW, 4, cells, (row,), row, waits((Waited(1, 0.0), Waited(2, 4000.0, is_waiting=True))))
    figures = {"useful_fraction": 0.61, "light_wait_hours": {"p50": 0.5, "p95": 9.3}, "four_gpu_wait_hours": {"p50": None, "p95": None}}
    forecast = forecast_view(
        {"in_force": figures, "shipped": figures}, is_running=False, made_at=NOW, trouble=HOSTILE, sessions=200, days=28, gpus=4, is_old=True
    )
    idle = (IdleNow(HOSTILE_RUNNING, NOW - timedelta(minutes=35)),)
    page = efficiency_page(past, idle, forecast=forecast, policy_version=3, catalog=CATALOG, now=NOW, paths=PATHS)
    return shown("efficiency", "admin-efficiency.html", page=page)


HOSTILE_RUNNING = replace(RUNNING, user_name=HOSTILE, server_name=HOSTILE, request=replace(RUNNING.request, project=HOSTILE))
ADMIN_PAGES = {
    "admin-people": people,
    "admin-person": person,
    "admin-projects": projects,
    "admin-efficiency": efficiency,
    "admin-health": health,
    "admin-audit": audit,
    "admin-catalogue": catalogue,
}
