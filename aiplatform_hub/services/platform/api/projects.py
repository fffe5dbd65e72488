"""Projects: members, shared limits, shares and use, for admins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import Field

from aiplatform_hub.clients.hub_api import HubPeople
from aiplatform_hub.domain.catalog import Project
from aiplatform_hub.operations.projects import ProjectRecord
from aiplatform_hub.services.platform.api.admin import AdminApiHandler
from aiplatform_hub.services.platform.api.quota import limit_out
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.base import Platform
from aiplatform_hub.services.platform.models import LimitOut
from aiplatform_hub.services.platform.routes import Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Money, Output

SOME = 5
"""So many members are named at once."""


class ProjectRecordOut(Output):
    """One project, with its use since the start of the UTC month."""

    name: str
    display_name: str
    cost_centre: str
    is_personal: bool = Field(description="Everybody's own: every person is in it")
    groups: tuple[str, ...] = Field(description="JupyterHub groups whose members belong to it")
    members: int
    some_members: tuple[str, ...] = Field(description="The first by name; `GET people?project=` gives all")
    limits: tuple[LimitOut, ...] = Field(description="Of the shared pool")
    share: float = Field(description="Weight in the queue's fair share")
    share_fraction: float = Field(description="Part of all projects' weights")
    gpu_limit: int | None = Field(description="GPUs that the policy lets it hold at once")
    gpu_hours: Money
    costs: dict[str, Money] = Field(description="By currency")


class ProjectsOut(Output):
    """Every project of the catalogue."""

    items: tuple[ProjectRecordOut, ...]


class ProjectsHandler(AdminApiHandler):
    """``GET projects``."""

    async def get(self) -> None:
        """Answer with every project."""
        self.check_reads()
        records, members = await read_projects(self.platform)
        self.reply(ProjectsOut(items=tuple(_out(record, some) for record, some in zip(records, members, strict=True))))


async def read_projects(platform: Platform) -> tuple[tuple[ProjectRecord, ...], Sequence[HubPeople]]:
    """Return every project, with some of its members in the same order."""
    catalog = platform.factory.catalog
    members = asyncio.gather(*(members_of(platform, project) for project in catalog.projects.values()))
    records = await platform.run(platform.factory.projects.read)
    return records, await members


async def members_of(platform: Platform, project: Project) -> HubPeople:
    """Return how many people belong to a project, and some of them."""
    return await platform.hub.people(groups=None if project.is_personal else project.groups, limit=SOME)


def _out(record: ProjectRecord, members: HubPeople) -> ProjectRecordOut:
    project = record.project
    return ProjectRecordOut(
        name=project.name,
        display_name=project.display_name,
        cost_centre=project.cost_centre,
        is_personal=project.is_personal,
        groups=project.groups,
        members=members.total,
        some_members=tuple(person.name for person in members.people),
        limits=tuple(limit_out(row) for row in record.limits),
        share=record.share,
        share_fraction=record.share_fraction,
        gpu_limit=record.gpu_limit,
        gpu_hours=record.gpu_hours,
        costs=dict(record.costs),
    )


RESOURCES = (
    Resource(
        ProjectsHandler,
        (
            Route(
                method="GET",
                path="api/v1/projects",
                summary="Projects with members, shared limits, share, cost centre and use of the month",
                description="For admins.",
                scope=READ,
                replies={200: Reply("The projects", ProjectsOut)},
            ),
        ),
    ),
)
