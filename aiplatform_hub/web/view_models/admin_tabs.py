"""The pages below Admin, in the order in which they are shown."""

from __future__ import annotations

from dataclasses import dataclass

from aiplatform_hub.web.view_models.paths import Paths

TABS = (
    ("now", "Now", "admin"),
    ("people", "People", "admin/people"),
    ("projects", "Projects", "admin/projects"),
    ("efficiency", "Efficiency", "admin/efficiency"),
    ("health", "Health", "admin/health"),
    ("catalogue", "Catalogue", "admin/catalogue"),
    ("audit", "Audit", "admin/audit"),
    ("announcements", "Announcements", "admin/announcements"),
    ("prices", "Prices", "admin/prices"),
    ("budgets", "Budgets", "admin/budgets"),
    ("credits", "Credits", "admin/credits"),
    ("chargeback", "Chargeback", "admin/chargeback"),
)
"""Name, label and address below the platform's of each page."""


@dataclass(frozen=True, slots=True)
class Tab:
    """One entry of Admin's own navigation."""

    label: str
    href: str
    is_current: bool


def admin_tabs(current: str, paths: Paths) -> tuple[Tab, ...]:
    """Return the entries; ``current`` names the page that is shown."""
    return tuple(Tab(label, f"{paths.platform}{address}", name == current) for name, label, address in TABS)
