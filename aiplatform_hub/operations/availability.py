"""Which environments cannot be started here at all, whoever asks, and what is inside them."""

from __future__ import annotations

from collections.abc import Mapping

from aiplatform_hub.clients.environment_locks import contents
from aiplatform_hub.clients.environments import unavailable_reason
from aiplatform_hub.config import Place, Settings
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.contents import Package
from aiplatform_hub.domain.supply import impossible_templates
from aiplatform_hub.operations.quota_enforcer import QuotaEnforcer


def unavailable_templates(catalog: Catalog, settings: Settings, enforcer: QuotaEnforcer) -> dict[str, str]:
    """Return why an environment cannot start and what brings it, by name of each environment template that cannot.

    On a machine its programs are not built; in a cluster no node has the GPUs that it needs at least. Reads disk or database.
    """
    if settings.place is Place.CLUSTER:
        return impossible_templates(catalog, enforcer.whole_capacity())
    reasons = {name: unavailable_reason(template, settings.environments_dir) for name, template in catalog.environment_templates.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def templates_for_others(catalog: Catalog, groups: frozenset[str]) -> dict[str, str]:
    """Return a reason by name of each environment template that is not for members of these groups."""
    others = [t for t in catalog.environment_templates.values() if t.allowed_groups and not groups & set(t.allowed_groups)]
    return {t.name: f"Only for members of {' or '.join(t.allowed_groups)}. An admin can add you to the group." for t in others}


def inside_of_templates(catalog: Catalog, settings: Settings) -> Mapping[str, tuple[Package, ...]]:
    """Return what each environment template says is inside, with versions, by its name. Reads disk."""
    is_cluster = settings.place is Place.CLUSTER
    return {name: contents(template, settings.environments_dir, is_cluster=is_cluster) for name, template in catalog.environment_templates.items()}
