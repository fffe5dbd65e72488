"""The keeper's part of budgets: it counts what sessions cost, and tells people when little is left."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial

from aiplatform_hub.clients.hub_api import HubApiClient, HubUser
from aiplatform_hub.domain.budgets import Budget, Scope
from aiplatform_hub.domain.catalog import Project
from aiplatform_hub.factory import Factory

BUDGET_SECONDS = 5.0
"""Time between two looks at what sessions have cost."""
DAYS_SECONDS = 60.0
"""Time between two looks whether a day is over that forecasts need."""
_PAGE = 200


class BudgetDuty:
    """Counts, and tells.

    Parameters
    ----------
    hub
        Asked who belongs to a project, and who is an admin. None never asks: then only people whose own budget it is are told.
    """

    def __init__(self, *, factory: Factory, hub: HubApiClient | None) -> None:
        self._factory = factory
        self._hub = hub

    async def look(self) -> None:
        """Count, then tell.

        Raises
        ------
        ServiceUnavailableError
            If the database or the hub does not answer; what was to be told is told by a later look.
        """
        await asyncio.to_thread(self._factory.budget_settler.settle)
        warnings = self._factory.budget_warnings
        for passed in await asyncio.to_thread(warnings.due):
            people = await self._people(passed.present.budget)
            if people is not None:
                await asyncio.to_thread(warnings.tell, passed, people)

    async def keep_days(self) -> None:
        """Store what was spent on days that are over."""
        await asyncio.to_thread(self._factory.budget_days.refresh)

    async def _people(self, budget: Budget) -> frozenset[str] | None:
        """Return who is told of a budget; None where nobody can say."""
        if budget.scope is Scope.PERSON:
            return frozenset({budget.name})
        if self._hub is None:
            return None
        project = self._factory.catalog.projects.get(budget.name) if budget.scope is Scope.PROJECT else None
        concerned = frozenset() if project is None or project.is_personal else frozenset(project.leads) or await self._members(self._hub, project)
        return concerned | {person.name for person in await self._all(self._hub) if person.is_admin}

    async def _members(self, hub: HubApiClient, project: Project) -> frozenset[str]:
        """Return who belongs to a project now, by a group or for a span."""
        of_groups = await self._all(hub, project.groups) if project.groups else ()
        now, spans = self._factory.clock(), await asyncio.to_thread(partial(self._factory.memberships.all, project=project.name))
        return frozenset({person.name for person in of_groups} | {each.user_name for each in spans if each.counts_at(now)})

    @staticmethod
    async def _all(hub: HubApiClient, groups: Collection[str] | None = None) -> tuple[HubUser, ...]:
        found: list[HubUser] = []
        while True:
            page = await hub.people(groups=groups, offset=len(found), limit=_PAGE)
            found += page.people
            if not page.people or len(found) >= page.total:
                return tuple(found)
