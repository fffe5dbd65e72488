"""What a page calls the catalogue's names; one that left the catalogue keeps its name."""

from __future__ import annotations

from aiplatform_hub.domain.catalog import Catalog


def template_label(catalog: Catalog, name: str) -> str:
    """Return an environment template's title."""
    template = catalog.environment_templates.get(name)
    return template.display_name if template else name


def gpu_label(catalog: Catalog, name: str | None) -> str | None:
    """Return a GPU type's title."""
    kind = catalog.gpu_types.get(name or "")
    return kind.display_name if kind else name


def project_label(catalog: Catalog, name: str) -> str:
    """Return a project's title."""
    project = catalog.projects.get(name)
    return project.display_name if project else name
