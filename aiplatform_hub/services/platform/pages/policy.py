"""The policy in force, in plain words, with what it means for the reader's sessions."""

from __future__ import annotations

from aiplatform_hub.domain.inactivity import InactivityLimit, limits_in_order
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.pages.base import Page
from aiplatform_hub.services.platform.release_news import told_of
from aiplatform_hub.services.platform.terms import place_seconds
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.policy import PolicyPage, policy_page, session_row


class PolicyHandler(Page):
    """``GET policy``."""

    active = "policy"
    title = "Policy"
    is_live = True

    async def get(self) -> None:
        caller = await self.caller()
        self.show("policy.html", page=await self.platform.run(read_page, self.factory, caller, self.paths))


def read_page(factory: Factory, caller: Caller, paths: Paths) -> PolicyPage:
    """Read and word everything on the page."""
    now, catalog, policy = factory.clock(), factory.catalog, factory.policies.current()
    tier = factory.enforcer.tier_name(caller)
    with factory.database.read() as connection:
        opened = factory.allocations.open_of(connection, caller.user_id)
        told = told_of(factory, connection, opened, now)
        place = place_seconds(factory, connection)
        unused = {a.id: factory.inactivity_limits.of(connection, a, place) for a in opened if not a.request.gpus}
    projects = [project.name for project in catalog.projects_of(caller.groups, caller.projects)]
    return policy_page(
        policy,
        unused=_limits(factory, caller, tier, projects, place),
        catalog=catalog,
        projects=frozenset(projects),
        sessions=[session_row(told[a.id], catalog, paths, unused.get(a.id)) for a in opened if a.id in told],
        now=now,
    )


def _limits(factory: Factory, caller: Caller, tier: str, projects: list[str], place: float | None) -> tuple[InactivityLimit, ...]:
    templates = factory.catalog.environment_templates.values()
    own = [t.name for t in templates if not t.allowed_groups or caller.groups & set(t.allowed_groups)]
    return limits_in_order(factory.policies.current(), projects=projects, tier=tier, environment_templates=own, place_seconds=place)
