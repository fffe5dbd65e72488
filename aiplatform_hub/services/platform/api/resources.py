"""Every resource of the REST API, and what serves its description."""

from __future__ import annotations

from aiplatform_hub import metrics
from aiplatform_hub.services.platform.api import (
    allocations,
    alternatives,
    announcements,
    billing,
    budgets,
    catalog,
    catalog_entries,
    chargeback,
    desk,
    disputes,
    drains,
    efficiency,
    events,
    health,
    hidden,
    invoice_documents,
    invoices,
    limit_grants,
    memberships,
    notifications,
    people,
    policy,
    presets,
    projects,
    push,
    queue,
    quota,
    rate_cards,
    releases,
    reports,
    series,
    session_moves,
    usage,
)
from aiplatform_hub.services.platform.api import credits as credits_
from aiplatform_hub.services.platform.base import ApiHandler
from aiplatform_hub.services.platform.openapi import document
from aiplatform_hub.services.platform.routes import Reply, Resource, Route


class OpenApiHandler(ApiHandler):
    """``GET openapi.json``."""

    def get(self) -> None:
        """Answer with the description of the whole API."""
        self.reply(document(ROUTES, server=self.platform.settings.api_prefix))


class MetricsHandler(ApiHandler):
    """``GET metrics``, for Prometheus."""

    def get(self) -> None:
        """Answer with this process's counters."""
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(metrics.exposition())


OWN_RESOURCES = (
    Resource(
        OpenApiHandler,
        (
            Route(
                method="GET",
                path="api/v1/openapi.json",
                summary="This description",
                scope=None,
                is_public=True,
                replies={200: Reply("An OpenAPI 3.1 document", media_type="application/json", is_object=True)},
            ),
        ),
    ),
    Resource(
        MetricsHandler,
        (
            Route(
                method="GET",
                path="metrics",
                summary="Counters for Prometheus",
                scope="read:metrics",
                replies={200: Reply("Prometheus text", media_type="text/plain")},
            ),
        ),
    ),
)
RESOURCES: tuple[Resource, ...] = (
    *catalog.RESOURCES,
    *catalog_entries.RESOURCES,
    *quota.RESOURCES,
    *allocations.RESOURCES,
    *hidden.RESOURCES,
    *releases.RESOURCES,
    *series.RESOURCES,
    *session_moves.RESOURCES,
    *desk.RESOURCES,
    *drains.RESOURCES,
    *alternatives.RESOURCES,
    *presets.RESOURCES,
    *queue.RESOURCES,
    *notifications.RESOURCES,
    *announcements.RESOURCES,
    *budgets.RESOURCES,
    *credits_.RESOURCES,
    *billing.RESOURCES,
    *disputes.RESOURCES,
    *push.RESOURCES,
    *policy.RESOURCES,
    *usage.RESOURCES,
    *events.RESOURCES,
    *people.RESOURCES,
    *projects.RESOURCES,
    *limit_grants.RESOURCES,
    *memberships.RESOURCES,
    *efficiency.RESOURCES,
    *health.RESOURCES,
    *invoices.RESOURCES,
    *invoice_documents.RESOURCES,
    *rate_cards.RESOURCES,
    *reports.RESOURCES,
    *chargeback.RESOURCES,
    *OWN_RESOURCES,
)
"""All of them, in the order of the documentation."""
ROUTES: tuple[Route, ...] = tuple(route for resource in RESOURCES for route in resource.routes)
