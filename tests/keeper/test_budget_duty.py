"""The keeper tells of budgets those whom the hub names, once, and counts though the hub is away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from aiplatform_hub.clients.hub_api import HubPeople, HubUser
from aiplatform_hub.domain.memberships import Membership
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.services.keeper.budgets import BudgetDuty
from tests.operations.test_budget_limits import Limits
from tests.operations.test_budgets import DRAFT
from tests.support.chain import Chain, chain, person, want

__all__ = ["chain"]

PEOPLE = (
    HubUser(1, "ada", is_admin=True, groups=frozenset()),
    HubUser(2, "bob", is_admin=False, groups=frozenset({"vision"})),
    HubUser(3, "eve", is_admin=False, groups=frozenset()),
    HubUser(4, "zoe", is_admin=True, groups=frozenset({"vision"})),
)


@dataclass
class Hub:
    """Knows some people, one on a page; may be away."""

    is_away: bool = False
    asked: list[Any] = field(default_factory=list)

    async def people(self, *, groups: Any = None, offset: int = 0, limit: int = 1) -> HubPeople:
        self.asked.append(groups)
        if self.is_away:
            raise ServiceUnavailableError("The hub is away.")
        found = [one for one in PEOPLE if groups is None or one.groups & set(groups)]
        return HubPeople(len(found), tuple(found[offset : offset + min(limit, 1)]))


@pytest.fixture
def limits(chain: Chain) -> Limits:
    chain.register(8)
    return Limits(chain)


def duty(limits: Limits, hub: Any) -> BudgetDuty:
    parts = {"budget_settler": limits.settler, "budget_warnings": limits.warnings, "budget_days": limits.days, "catalog": limits.chain.catalog}
    now = limits.clock()
    spans = [
        Membership(UUID(int=number), name, "vision", now - timedelta(days=9), now + timedelta(days=days), "", "boss", now)
        for number, (name, days) in enumerate((("mia", 1), ("old", 0)))
    ]
    parts |= {"clock": limits.clock, "memberships": SimpleNamespace(all=lambda project: [each for each in spans if each.project == project])}
    return BudgetDuty(factory=SimpleNamespace(**parts), hub=hub)


def told(limits: Limits) -> list[str]:
    return sorted(name for name in ("ada", "bob", "eve", "zoe", "mia", "old", "user1") for _ in limits.notices.of(name, limit=9))


@pytest.mark.parametrize(
    ("scope", "name", "who"),
    [
        ("project", "vision", ["ada", "bob", "mia", "zoe"]),
        ("cost_centre", "lab", ["ada", "zoe"]),
        ("person", "user1", ["user1"]),
    ],
)
def test_who_is_told_and_that_once(limits: Limits, scope: str, name: str, who: list[str]) -> None:
    limits.budgets.set(replace(DRAFT, scope=scope, name=name, amount=Decimal(8)), "boss")
    limits.chain.hold(person(1, "vision"), "a", replace(want(2, project="vision"), max_hours=2))
    for _ in range(2):
        asyncio.run(duty(limits, Hub()).look())
    assert told(limits) == who


def test_where_a_project_names_leads_they_are_told_and_not_all_members(limits: Limits) -> None:
    limits.budgets.set(replace(DRAFT, name="vision", amount=Decimal(8)), "boss")
    limits.chain.hold(person(1, "vision"), "a", replace(want(2, project="vision"), max_hours=2))
    catalog = limits.chain.catalog
    led = replace(catalog, projects=catalog.projects | {"vision": replace(catalog.projects["vision"], leads=("eve",))})
    keeper = duty(limits, Hub())
    keeper._factory.catalog = led
    asyncio.run(keeper.look())
    assert told(limits) == ["ada", "eve", "zoe"]


def test_of_the_project_that_everybody_has_admins_are_told(limits: Limits) -> None:
    limits.budgets.set(replace(DRAFT, amount=Decimal(8)), "boss")
    limits.start(1, 2, hours=2)
    asyncio.run(duty(limits, Hub()).look())
    assert told(limits) == ["ada", "zoe"]


def test_while_the_hub_is_away_it_counts_and_tells_later(limits: Limits) -> None:
    limits.budgets.set(replace(DRAFT, amount=Decimal(8)), "boss")
    limits.run(limits.start(1, 2, hours=2), hours=1)
    with pytest.raises(ServiceUnavailableError):
        asyncio.run(duty(limits, Hub(is_away=True)).look())
    assert limits.money()[0] == 4
    assert told(limits) == []
    asyncio.run(duty(limits, None).look())
    assert told(limits) == []
    asyncio.run(duty(limits, Hub()).look())
    assert told(limits) == ["ada", "zoe"]


def test_a_hub_that_nobody_needs_is_not_asked_and_days_are_kept(limits: Limits) -> None:
    hub = Hub()
    limits.budgets.set(DRAFT, "boss")
    asyncio.run(duty(limits, hub).look())
    asyncio.run(duty(limits, hub).keep_days())
    assert hub.asked == []
    assert len(limits.budgets.all()[0].daily_micros) == 14
