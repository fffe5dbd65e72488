"""Gathers what a decision depends on, in the transaction of whoever decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.budgets import Claim, claim_of, planned_hours
from aiplatform_hub.domain.catalog import Catalog, Project, RateCard
from aiplatform_hub.domain.charges import hourly_price
from aiplatform_hub.domain.limit_grants import LimitGrant, raised
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.queueing import Outlook, RequestMemory, Standing, View, line_id, line_of
from aiplatform_hub.domain.quota import Capacity, Decision, DeviceState, Limit, Observed, limits_for, tier_of
from aiplatform_hub.domain.rates import card_at
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.operations.decision_inputs import DecisionInputs
from aiplatform_hub.operations.queue_json import OutlookMemory
from aiplatform_hub.storage.budgets import BudgetStore, Payer
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.devices import DeviceStore, Pool
from aiplatform_hub.storage.facts import ALWAYS, Facts, FactsQuery, FactStore
from aiplatform_hub.storage.live_allocations import Live

_MICROSECONDS_PER_HOUR = 3_600_000_000
_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything of one instant that is not about one person."""

    now: datetime
    pool: Pool
    live: Live


class DecisionReader:
    """Reads facts and makes decision inputs of them.

    Parameters
    ----------
    cards
        Gives every rate card.
    policy
        Gives the policy that counts now.
    """

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        catalog: Catalog,
        devices: DeviceStore,
        facts: FactStore,
        budgets: BudgetStore,
        cards: Callable[[], tuple[RateCard, ...]],
        policy: Callable[[], Policy],
        max_queued_per_user: int,
        is_kueue: bool = False,
    ) -> None:
        self.catalog = catalog
        self._policy = policy
        self._devices = devices
        self._facts = facts
        self._budgets = budgets
        self._cards = cards
        self._max_queued = max_queued_per_user
        self._is_kueue = is_kueue
        self._requests = RequestMemory()
        self._outlook = OutlookMemory()
        self._empty: tuple[Pool | None, Capacity] = (None, Capacity(0, 0))

    @property
    def policy(self) -> Policy:
        """The policy that counts now; it may be another one the next time."""
        return self._policy()

    def lock(self, connection: Connection) -> None:
        """Take the write lock, for what needs no look at the place."""
        self._devices.lock(connection)

    def pool(self, connection: Connection, *, is_locking: bool) -> Pool:
        """Return what the place has, and take the write lock if asked.

        Raises
        ------
        ServiceUnavailableError
            Before the first registration.
        """
        pool = self._devices.pool(connection, is_locking=is_locking)
        if pool is None:
            raise ServiceUnavailableError("The platform does not know this machine's resources yet; try again in a few seconds.", retry_after_seconds=5)
        return pool

    def facts(  # noqa: PLR0913  two of them by keyword
        self, connection: Connection, caller: Caller, project: str | None, now: datetime, *, key: str | None = None, has_queue: bool = False
    ) -> Facts:
        """Return what the database knows of a person and a project, in one statement; in another one the budgets, where there are any."""
        own = tier_of(caller, self.catalog, None)
        windows = dict.fromkeys(_windows(own.limits), ALWAYS)
        for tier in self.catalog.tiers.values():
            for days in _windows(tier.limits) - {days for days, tiers in windows.items() if not tiers}:
                windows[days] = windows.get(days, ALWAYS) | {tier.name}
        shared = self._project(project)
        query = FactsQuery(
            user_id=caller.user_id,
            user_name=caller.user_name,
            project=project,
            now=now,
            user_windows=windows,
            project_windows=_windows(shared.limits) if shared else frozenset(),
            groups=caller.groups,
            idempotency_key=key,
            has_queue=has_queue,
        )
        facts = self._facts.read(connection, query)
        if not facts.has_budgets:
            return facts
        payer = Payer(caller.user_name, project or "", shared.cost_centre if shared else "")
        return replace(facts, budgets=self._budgets.of(connection, payer, now))

    def limits(self, caller: Caller, project: str | None, facts: Facts) -> tuple[Limit, ...]:
        """Return the limits of a person and a project."""
        limits = limits_for(caller, self._project(project), self.catalog, facts.granted_tier, facts.grant_expires_at)
        return raised(limits, facts.limit_grants)

    def limit_grants(self, connection: Connection, now: datetime) -> tuple[LimitGrant, ...]:
        """Return the raised limits in force, whoever they are for."""
        return self._facts.limit_grants(connection, now)

    def observed(self, caller: Caller, project: str | None, facts: Facts) -> Observed:
        """Return what was measured."""
        subjects = {"user": caller.user_name, "project": project or ""}
        hours = {(scope, subjects[scope], days): Decimal(amount) / _MICROSECONDS_PER_HOUR for (scope, days), amount in facts.gpu_microseconds.items()}
        return Observed(storage_bytes=facts.storage_bytes, gpu_hours=hours)

    def capacity(self, pool: Pool, holders: Iterable[Allocation]) -> Capacity:
        """Return what a pool has, with who holds it."""
        known, empty = self._empty
        if pool != known:
            empty = self._capacity(pool)
            self._empty = (pool, empty)
        return empty.with_holders(holders)

    def inputs(self, caller: Caller, draft: Allocation, scene: Scene, facts: Facts, *, may_wait: bool = False) -> DecisionInputs:
        """Return the inputs of a decision about a request that has no place in the queue yet.

        Parameters
        ----------
        draft
            The request as it would wait.
        may_wait
            Whether whoever asks wants to wait.
        """
        capacity, policy = self.capacity(scene.pool, scene.live.open), self.policy
        is_alone = not (may_wait or self._is_kueue or scene.live.queued or policy.reservations or policy.project_limits)
        standing = None if is_alone else self._standing(draft, scene, capacity, facts, policy, may_wait=may_wait)
        return self.inputs_with(caller, draft, scene, facts, standing, capacity)

    def inputs_with(  # noqa: PLR0913, PLR0917  what a decision depends on
        self, caller: Caller, draft: Allocation, scene: Scene, facts: Facts, standing: Standing | None, capacity: Capacity | None = None
    ) -> DecisionInputs:
        """Return the inputs of a decision about a request whose standing is known."""
        project = draft.request.project
        return DecisionInputs(
            request=draft.request,
            caller=caller,
            limits=self.limits(caller, project, facts),
            open_allocations=scene.live.open,
            capacity=capacity or self.capacity(scene.pool, scene.live.open),
            observed=self.observed(caller, project, facts),
            standing=standing,
            claims=self._claims(caller, draft.request, facts, scene.now),
        )

    def _claims(self, caller: Caller, request: LaunchRequest, facts: Facts, now: datetime) -> tuple[Claim, ...]:
        """Return what a launch wants of each budget that it would be paid from. One without GPUs is counted as it runs, and holds nothing before."""
        if not facts.budgets:
            return ()
        card, tier = card_at(self._cards(), now), tier_of(caller, self.catalog, facts.granted_tier).name
        price = hourly_price(
            gpus=request.gpus,
            gpu_type=request.gpu_type,
            cpu_cores=request.cpu_cores,
            memory_bytes=request.memory_bytes,
            project=request.project,
            tier=tier,
            card=card,
            instant=now,
        )
        hours = planned_hours(request.max_hours) if request.gpus else 0
        claims = (claim_of(each.budget, each.spending, each.limit_micros, price, card.currency, hours, now) for each in facts.budgets)
        return tuple(claim for claim in claims if request.gpus or claim.fits)

    def outlook(self, facts: Facts) -> Outlook:
        """Return what the dispatcher knew in its last pass; the same value as long as the store gives the same JSON."""
        return self._outlook.of(facts.outlook)

    def _standing(  # noqa: PLR0913  private
        self, draft: Allocation, scene: Scene, capacity: Capacity, facts: Facts, policy: Policy, *, may_wait: bool
    ) -> Standing | None:
        queued, line = [a for a in scene.live.queued if a.id != draft.id], None
        if draft.request.gpus:
            outlook = self.outlook(facts)
            if _may_be_behind(draft, queued, outlook, policy):
                line = line_of(View(scene.now.timestamp(), scene.live.open, (*queued, draft), capacity), outlook, policy, self._requests)
        is_kueue = self._is_kueue and bool(draft.request.gpus)
        if line is None and not may_wait and not is_kueue:
            return None
        mine = sum(a.user_id == draft.user_id for a in queued)
        is_queued = len(queued) < len(scene.live.queued)
        return Standing(line_id(draft.id), may_wait=may_wait, is_queued=is_queued, owner_queued=mine, max_queued=self._max_queued, line=line, is_kueue=is_kueue)

    def _project(self, name: str | None) -> Project | None:
        return None if name is None else self.catalog.projects.get(name)

    def _capacity(self, pool: Pool) -> Capacity:
        """Return what a pool has, as if nobody held anything."""
        states = tuple(map(DeviceState, pool.devices))
        if not pool.is_cluster:
            return Capacity(memory_bytes=pool.memory_bytes, cpu_cores=pool.cpu_cores, devices=states)
        names = {device.gpu_type for device in pool.devices}
        labels = {name: kind.display_name for name, kind in self.catalog.gpu_types.items() if name in names}
        return Capacity(memory_bytes=pool.memory_bytes, cpu_cores=pool.cpu_cores, devices=states, is_cluster=True, gpu_labels=labels, shapes=pool.shapes)


def _may_be_behind(draft: Allocation, queued: Sequence[Allocation], outlook: Outlook, policy: Policy) -> bool:
    """Return whether the planner has a say: somebody waits for such GPUs, or the policy keeps some."""
    gpu_type = draft.request.gpu_type
    is_behind = any(a.request.gpus and a.request.gpu_type == gpu_type and a.id not in outlook.blocked for a in queued)
    return is_behind or bool(policy.reservations or policy.project_limits)


def next_place(scene: Scene) -> datetime:
    """Return the submit time of who comes last now: later than all others', also where the clock went back."""
    latest = max((a.queued_at for a in scene.live.queued if a.queued_at is not None), default=None)
    return scene.now if latest is None else max(scene.now, latest + _MOMENT)


def must_end_of(decision: Decision) -> datetime | None:
    """Return when a session has to make room for a class; None if for none."""
    return None if decision.must_end_seconds is None else datetime.fromtimestamp(decision.must_end_seconds, UTC)


def _windows(limits: Sequence[Any]) -> frozenset[int]:
    return frozenset(limit.window_days for limit in limits if limit.window_days is not None)
