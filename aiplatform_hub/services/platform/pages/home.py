"""Home: a person's environments, quota and what is free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.announcements import planned_end
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.domain.supply import GpuTypeCapacity
from aiplatform_hub.domain.units import format_bytes
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.standing_reader import OwnStanding
from aiplatform_hub.services.platform.pages.again import again_notes
from aiplatform_hub.services.platform.pages.base import Page, costs_of
from aiplatform_hub.services.platform.pages.credits import credit_bars
from aiplatform_hub.services.platform.pages.queue import own_lines
from aiplatform_hub.services.platform.pages.release import notices_of
from aiplatform_hub.storage.allocations import AllocationFilter
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.web.view_models.announcements import maintenance_lines
from aiplatform_hub.web.view_models.budgets import budget_bar
from aiplatform_hub.web.view_models.environments import EnvironmentCard, GpuRow, HomePage, Money, environment_card, gpu_row, quota_bar, resources, warned_first
from aiplatform_hub.web.view_models.formats import Bar
from aiplatform_hub.web.view_models.labels import gpu_label, template_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.release import Notice

RECENT = 6
"""So many ended environments are shown."""
_OVER = frozenset({AllocationState.ENDED, AllocationState.EXPIRED, AllocationState.WITHDRAWN})


class HomeHandler(Page):
    """``GET home``."""

    active = "home"
    title = "Home"
    is_live = True

    async def get(self) -> None:
        caller = await self.caller()
        hidden = self.get_query_argument("hidden", "")
        self.show("home.html", page=await self.platform.run(home_page, self.factory, caller, self.paths, hidden), problem=None)


@dataclass(frozen=True, slots=True)
class _Own:
    """What is read of a person's own, in one look."""

    now: datetime
    opened: tuple[Allocation, ...]
    queued: tuple[Allocation, ...]
    ended: tuple[Allocation, ...]
    hidden: Allocation | None
    standing: OwnStanding
    capacity: tuple[GpuTypeCapacity, ...]
    waiting: Mapping[str, int]
    """How many wait for GPUs of each type."""
    costs: Mapping[UUID, Money]
    releases: Mapping[UUID, Notice]
    sparks: Mapping[UUID, tuple[int | None, ...]]
    home_bytes: int | None


def home_page(factory: Factory, caller: Caller, paths: Paths, hidden_id: str = "") -> HomePage:
    """Read and word everything on Home.

    Parameters
    ----------
    hidden_id
        Of what has just been taken off the list; anything else is ignored.
    """
    own = _read(factory, caller, hidden_id)
    cards = _cards(factory, caller, own, paths)
    last = next((a for a in own.ended if a.server_name not in {o.server_name for o in (*own.opened, *own.queued)}), None)
    limits = own.standing.limits
    has_storage_bar = any(usage.limit.dimension == "storage_bytes" for usage in limits)
    budgets = budget_bars(factory, caller) if own.standing.has_budgets else ()
    return HomePage(
        open_cards=warned_first(cards[a.id] for a in (*reversed(own.opened), *reversed(own.queued))),
        ended_cards=tuple(cards[a.id] for a in own.ended),
        last=cards[last.id] if last else None,
        last_summary=_summary(factory, last) if last else "",
        tier=factory.catalog.tiers[own.standing.tier].display_name,
        bars=(*(quota_bar(usage, factory.catalog) for usage in limits), *budgets, *credit_bars(factory, caller)),
        gpu_rows=gpu_rows(factory, own.capacity, own.waiting),
        place=factory.settings.place.value,
        home_folder=format_bytes(own.home_bytes) if own.home_bytes is not None and not has_storage_bar else "",
        hidden=environment_card(own.hidden, cost=None, catalog=factory.catalog, now=own.now, paths=paths) if own.hidden else None,
    )


def _read(factory: Factory, caller: Caller, hidden_id: str) -> _Own:
    with factory.database.read() as connection:
        now, live = factory.clock(), factory.allocations.live(connection)
        opened = tuple(a for a in live.open if a.user_id == caller.user_id)
        queued = [a for a in live.queued if a.user_id == caller.user_id]
        ended = factory.allocations.page(connection, AllocationFilter(user_id=caller.user_id, states=_OVER, is_listed=True), limit=RECENT)
        return _Own(
            now=now,
            opened=opened,
            queued=tuple(sorted(queued, key=lambda a: (a.requested_at, a.id.hex), reverse=True)),
            ended=ended,
            hidden=_hidden(factory, connection, caller, hidden_id),
            standing=factory.standing_reader.of(connection, caller, live.open, now),
            capacity=factory.standing_reader.capacity(factory.devices.pool(connection), live.open),
            waiting=Counter(a.request.gpu_type for a in live.queued if a.request.gpu_type is not None),
            costs=costs_of(factory, connection, [*opened, *ended]),
            releases=notices_of(factory, connection, opened, now),
            sparks=factory.series.sparklines(connection, [a.id for a in opened if a.request.gpus and a.ready_at], now),
            home_bytes=factory.storage_usage.find(connection, caller.user_name),
        )


def _cards(factory: Factory, caller: Caller, own: _Own, paths: Paths) -> dict[UUID, EnvironmentCard]:
    """Word each of a person's own, with what only Home shows of it."""
    lines = own_lines(factory, caller, own.queued, own.opened)
    windows = factory.policies.current().reservations
    notes = again_notes(factory, caller, own.ended, [entry.name for entry in own.capacity])
    cards = {}
    for a in (*own.opened, *own.queued, *own.ended):
        card = environment_card(
            a,
            cost=own.costs.get(a.id),
            catalog=factory.catalog,
            now=own.now,
            paths=paths,
            line=lines.get(a.id),
            release=own.releases.get(a.id),
            windows=windows,
        )
        ahead = factory.announcements.in_the_way(own.now, planned_end(a.started_at or a.held_at, a.request.max_hours)) if a.is_open else ()
        cards[a.id] = replace(card, spark=own.sparks.get(a.id, ()), again_note=notes.get(a.id), maintenance=maintenance_lines(ahead))
    return cards


def _hidden(factory: Factory, connection: Connection, caller: Caller, text: str) -> Allocation | None:
    """Return what a person has hidden, if that is what the text names."""
    try:
        found = factory.allocations.find(connection, UUID(text))
    except ValueError:
        return None
    is_theirs = found is not None and found.user_name == caller.user_name and factory.hidden.is_hidden(connection, found.id)
    return found if is_theirs else None


def _summary(factory: Factory, last: Allocation) -> str:
    uses = resources(last.request, factory.catalog).split(", ", 1)[0]
    return f"{template_label(factory.catalog, last.request.environment_template)} again ({uses[0].lower() + uses[1:] if last.request.gpus == 0 else uses})"


def budget_bars(factory: Factory, caller: Caller) -> tuple[Bar, ...]:
    """Return the budgets that a person's sessions are paid from."""
    projects = tuple(project.name for project in factory.catalog.projects_of(caller.groups, caller.projects))
    now = factory.clock()
    return tuple(budget_bar(each, factory.budgets.runway(each), now) for each in factory.budgets.of(caller, projects))


def gpu_rows(factory: Factory, capacity: Iterable[GpuTypeCapacity], waiting: Mapping[str, int]) -> tuple[GpuRow, ...]:
    """Return what is free now and how many wait, by GPU type."""
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
            waiting=waiting.get(c.name, 0),
        )
        for c in capacity
    )
