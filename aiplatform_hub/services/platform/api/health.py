"""How the platform does, and who did what: for admins."""

from __future__ import annotations

from aiplatform_hub.domain.health import Health
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.api.admin import DEFAULT_LIMIT, MAX_LIMIT, AdminApiHandler, page_parameters
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.enforcement import Enforcement, enforcement
from aiplatform_hub.services.platform.health_models import AuditEventOut, AuditPage, HealthOut, health_out
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route
from aiplatform_hub.storage.audit import AuditEvent


class HealthHandler(AdminApiHandler):
    """``GET health``."""

    async def get(self) -> None:
        """Answer with everything that is known."""
        self.check_reads()
        health, bounds = await self.platform.run(read_health, self.platform.factory, bool(self.platform.hub_auth.hub_host))
        self.reply(health_out(health, bounds.not_enforced, bounds.enforced))


def read_health(factory: Factory, has_own_origins: bool) -> tuple[Health, Enforcement]:
    """Return how the platform does and which limits bind. Reads the database and disk."""
    health = factory.health.read()
    return health, enforcement(factory.settings, has_gpus=bool(health.gpus), has_own_origins=has_own_origins)


class AuditHandler(AdminApiHandler):
    """``GET audit``."""

    async def get(self) -> None:
        """Answer with a page of the trail."""
        self.check_reads()
        limit = self.number("limit", DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
        before = self.number("cursor", 0)
        actor = self.get_query_argument("actor", "")
        found = await self.platform.run(self.platform.factory.audit_trail.latest, limit=limit + 1, before_id=before or None, actor=actor or None)
        cursor = str(found[limit - 1].id) if len(found) > limit else None
        self.reply(AuditPage(items=tuple(_event(event) for event in found[:limit]), next_cursor=cursor))


def _event(event: AuditEvent) -> AuditEventOut:
    return AuditEventOut(
        id=event.id or 0, at=event.at, actor=event.actor, action=event.action, target=event.target, outcome=event.outcome, detail=dict(event.detail)
    )


RESOURCES = (
    Resource(
        HealthHandler,
        (
            Route(
                method="GET",
                path="api/v1/health",
                summary="How the platform does: processes, corrections, ledger, database, disks, GPUs, versions",
                description="For admins. Which limits this place cannot enforce is said in words.",
                scope=READ,
                replies={200: Reply("What is known", HealthOut)},
            ),
        ),
    ),
    Resource(
        AuditHandler,
        (
            Route(
                method="GET",
                path="api/v1/audit",
                summary="Privileged and refused acts, newest first",
                description="For admins.",
                scope=READ,
                parameters=(*page_parameters(cursor="`next_cursor` of the page before"), Parameter("actor", "Only acts of this person", {"type": "string"})),
                replies={200: Reply("A page", AuditPage)},
                errors=(400,),
            ),
        ),
    ),
)
