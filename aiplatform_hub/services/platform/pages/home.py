"""Home: a person's environments, quota and what is free."""

from __future__ import annotations

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.pages.base import Page, costs_of
from aiplatform_hub.services.platform.pages.queue import own_lines
from aiplatform_hub.services.platform.pages.release import notices_of
from aiplatform_hub.storage.allocations import AllocationFilter
from aiplatform_hub.web.view_models.environments import GpuRow, HomePage, environment_card, gpu_row, quota_bar, resources, warned_first
from aiplatform_hub.web.view_models.labels import gpu_label, template_label
from aiplatform_hub.web.view_models.paths import Paths

RECENT = 6
"""So many ended environments are shown."""
MOST_QUEUED = 1000
"""More than anybody has: the operator's limit may have been lowered since."""
_QUEUED = frozenset({AllocationState.QUEUED})
_OVER = frozenset({AllocationState.ENDED, AllocationState.EXPIRED, AllocationState.WITHDRAWN})


class HomeHandler(Page):
    """``GET home``."""

    active = "home"
    title = "Home"

    async def get(self) -> None:
        caller = await self.caller()
        self.show("home.html", page=await self.platform.run(home_page, self.factory, caller, self.paths), problem=None)


def home_page(factory: Factory, caller: Caller, paths: Paths) -> HomePage:
    """Read and word everything on Home."""
    with factory.database.read() as connection:
        opened = factory.allocations.open_of(connection, caller.user_id)
        queued = factory.allocations.page(connection, AllocationFilter(user_id=caller.user_id, states=_QUEUED), limit=MOST_QUEUED)
        ended = factory.allocations.page(connection, AllocationFilter(user_id=caller.user_id, states=_OVER), limit=RECENT)
        now = factory.clock()
        releases = notices_of(factory, connection, opened, now)
    catalog = factory.catalog
    costs, lines = costs_of(factory, [*opened, *ended]), own_lines(factory, caller, queued, opened)
    every = (*opened, *queued, *ended)
    windows = factory.policies.current().reservations
    cards = {
        a.id: environment_card(
            a, cost=costs.get(a.id), catalog=catalog, now=now, paths=paths, line=lines.get(a.id), release=releases.get(a.id), windows=windows
        )
        for a in every
    }
    last = next((a for a in ended if a.server_name not in {o.server_name for o in (*opened, *queued)}), None)
    tier = factory.enforcer.tier_name(caller)
    return HomePage(
        open_cards=warned_first(cards[a.id] for a in (*reversed(opened), *reversed(queued))),
        ended_cards=tuple(cards[a.id] for a in ended),
        last=cards[last.id] if last else None,
        last_summary=_summary(factory, last) if last else "",
        tier=catalog.tiers[tier].display_name,
        bars=tuple(quota_bar(usage, catalog) for usage in factory.enforcer.quota_of(caller)),
        gpu_rows=gpu_rows(factory),
        place=factory.settings.place.value,
    )


def _summary(factory: Factory, last: Allocation) -> str:
    uses = resources(last.request, factory.catalog).split(", ", 1)[0]
    return f"{template_label(factory.catalog, last.request.environment_template)} again ({uses[0].lower() + uses[1:] if last.request.gpus == 0 else uses})"


def gpu_rows(factory: Factory) -> tuple[GpuRow, ...]:
    """Return what is free now, by GPU type."""
    return tuple(
        gpu_row(
            gpu_label(factory.catalog, c.name) or c.name,
            free=c.free,
            held=c.held,
            unhealthy=c.unhealthy,
            drained=c.drained,
            is_simulated=c.simulated,
            startable=c.startable,
            minutes_to_start=c.minutes_to_start,
        )
        for c in factory.enforcer.capacity()
    )
