"""What a page calls the catalogue's names; one that left the catalogue keeps its name."""

from __future__ import annotations

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.classes import ClassEnd


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


def tier_label(catalog: Catalog, name: str) -> str:
    """Return a tier's title."""
    tier = catalog.tiers.get(name)
    return tier.display_name if tier else name


def class_words(end: ClassEnd, catalog: Catalog) -> str:
    """Say for which class a session ends."""
    if not end.projects:
        return "when a class begins"
    names = " and ".join(project_label(catalog, name) for name in end.projects)
    return f"when the class of project {names} begins" if len(end.projects) == 1 else f"when classes of the projects {names} begin"
