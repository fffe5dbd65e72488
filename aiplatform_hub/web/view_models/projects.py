"""Projects for an admin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from aiplatform_hub.catalog.loader import Inspection
from aiplatform_hub.clients.hub_api import HubPeople
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.operations.projects import ProjectRecord
from aiplatform_hub.web.view_models.catalogue import origin_text
from aiplatform_hub.web.view_models.environments import Fact, quota_bar
from aiplatform_hub.web.view_models.formats import Bar, count, hours, money
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.people import people_url


@dataclass(frozen=True, slots=True)
class Member:
    """One member, as a link."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class ProjectCard:
    """One project."""

    id: str
    title: str
    name: str
    kind: str
    """Empty, or that it is everybody's own."""
    members_text: str
    members: tuple[Member, ...]
    """The first of them."""
    people_url: str
    """Where all of them are."""
    limits: tuple[Bar, ...]
    facts: tuple[Fact, ...]


def project_cards(records: Iterable[tuple[ProjectRecord, HubPeople]], files: Inspection, catalog: Catalog, paths: Paths) -> tuple[ProjectCard, ...]:
    """Return every project; the personal one last."""
    cards = [(record.project.is_personal, project_card(record, members, files, catalog, paths)) for record, members in records]
    return tuple(card for _, card in sorted(cards, key=lambda pair: (pair[0], pair[1].title.lower())))


def project_card(record: ProjectRecord, members: HubPeople, files: Inspection, catalog: Catalog, paths: Paths) -> ProjectCard:
    """Return one project."""
    project = record.project
    centre = catalog.cost_centres.get(project.cost_centre)
    cost = ", ".join(money(value, currency) for currency, value in sorted(record.costs.items())) or "nothing"
    bound = "none" if record.gpu_limit is None else f"{count(record.gpu_limit, 'GPU')} at once"
    query = "" if project.is_personal else "?" + urlencode({"project": project.name})
    return ProjectCard(
        id=f"project-{quote(project.name, safe='')}",
        title=project.display_name,
        name=project.name,
        kind="everybody's own" if project.is_personal else "",
        members_text=count(members.total, "member") if project.groups or project.is_personal else "No group belongs to it: only who is a member for a span.",
        members=tuple(Member(person.name, people_url(paths, person.name)) for person in members.people) if not project.is_personal else (),
        people_url=people_url(paths) + query,
        limits=tuple(quota_bar(row, catalog) for row in record.limits),
        facts=(
            Fact("Cost centre", centre.display_name if centre else project.cost_centre),
            Fact("Groups", ", ".join(project.groups) or "none"),
            *((Fact("Leads", ", ".join(project.leads)),) if project.leads else ()),
            Fact("Fair share", f"{record.share:g} ({record.share_fraction * 100:.0f} % of all)"),
            Fact("Limit of the policy", bound),
            Fact("This month", f"{hours(record.gpu_hours * 3600)} GPU-hours, {cost}"),
            Fact("From", origin_text(files.origins.get("projects", {}).get(project.name))),
        ),
    )
