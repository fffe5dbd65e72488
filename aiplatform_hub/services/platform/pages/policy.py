"""The policy in force, in plain words, with what it means for the reader's sessions."""

from __future__ import annotations

from aiplatform_hub.config import Place
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.pages.base import Page
from aiplatform_hub.services.platform.release_news import told_of
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.policy import PolicyPage, policy_page, session_row


class PolicyHandler(Page):
    """``GET policy``."""

    active = "policy"
    title = "Policy"

    async def get(self) -> None:
        caller = await self.caller()
        self.show("policy.html", page=await self.platform.run(read_page, self.factory, caller, self.paths))


def read_page(factory: Factory, caller: Caller, paths: Paths) -> PolicyPage:
    """Read and word everything on the page."""
    now, catalog = factory.clock(), factory.catalog
    with factory.database.read() as connection:
        opened = factory.allocations.open_of(connection, caller.user_id)
        told = told_of(factory, connection, opened, now)
    rows = [session_row(told[a.id], catalog, paths) for a in opened if a.id in told]
    projects = frozenset(project.name for project in catalog.projects_of(caller.groups))
    settings = factory.settings
    return policy_page(
        factory.policies.current(),
        stop_inactive_minutes=settings.stop_inactive_minutes if settings.place is Place.MACHINE else 0,  # a cluster's culler is the chart's to set
        catalog=catalog,
        projects=projects,
        sessions=rows,
        now=now,
    )
