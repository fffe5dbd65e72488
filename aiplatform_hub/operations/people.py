"""What the platform knows of people whom the hub has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from aiplatform_hub.clients.hub_api import HubUser
from aiplatform_hub.domain.catalog import Catalog, Project
from aiplatform_hub.domain.limits import PROJECT, LimitUsage, server_label
from aiplatform_hub.domain.memberships import projects_by_user
from aiplatform_hub.domain.people import TierChoice, tier_choice
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.operations.quota_enforcer import QuotaEnforcer
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.grants import Grant, GrantStore
from aiplatform_hub.storage.memberships import MembershipStore

PAST_GRANTS = 20
"""So many grants of a person are told, the newest."""


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """One person, with what they have now."""

    user: HubUser
    tier: TierChoice
    projects: tuple[Project, ...]
    grant: Grant | None
    """The one in force that counts: the newest."""
    sessions: int
    """Open now."""
    gpus: int
    """Held now."""


@dataclass(frozen=True, slots=True)
class PersonRights:
    """What one person may do, in full."""

    record: PersonRecord
    limits: tuple[LimitUsage, ...]
    """Their tier's limits, then those of each of their projects."""
    grants: tuple[Grant, ...]
    """In force and past, the newest first."""


class PeopleDirectory:
    """Puts together what hub, catalogue and database know of people. Reads only."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        catalog: Catalog,
        grants: GrantStore,
        allocations: AllocationStore,
        memberships: MembershipStore,
        enforcer: QuotaEnforcer,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._grants = grants
        self._allocations = allocations
        self._memberships = memberships
        self._enforcer = enforcer
        self._clock = clock

    def describe(self, users: Sequence[HubUser]) -> tuple[PersonRecord, ...]:
        """Return what these people have now, in the same order."""
        with self._database.read() as connection:
            granted = self._grants.newest_of(connection, [user.name for user in users], self._clock())
            opened = self._allocations.open(connection)
            members = projects_by_user(self._memberships.counting(connection, self._clock()), self._clock())
        sessions = Counter(allocation.user_id for allocation in opened)
        gpus: Counter[int] = Counter()
        for allocation in opened:
            gpus[allocation.user_id] += allocation.request.gpus
        return tuple(
            PersonRecord(
                user=user,
                tier=tier_choice(user.groups, self._catalog, granted[user.name].tier if user.name in granted else None),
                projects=self._catalog.projects_of(user.groups, members.get(user.name, frozenset())),
                grant=granted.get(user.name),
                sessions=sessions[user.id],
                gpus=gpus[user.id],
            )
            for user in users
        )

    def rights(self, user: HubUser) -> PersonRights:
        """Return what one person may do and what of it they use."""
        (record,) = self.describe([user])
        caller = Caller(user.id, user.name, user.groups)
        limits = list(self._enforcer.quota_of(caller))
        for project in record.projects:
            if project.limits:
                rows = [row for row in self._enforcer.quota_of(caller, project.name) if row.limit.scope == PROJECT]
                limits += [replace(row, held_by=tuple(f"{a.user_name}: {server_label(a)}" for a in row.holders)) for row in rows]
        with self._database.read() as connection:
            grants = self._grants.of(connection, user.name, limit=PAST_GRANTS)
        return PersonRights(record, tuple(limits), grants)
