"""Which queued requests may be planned for now, which wait for something of their own, and which are over. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from aiplatform_hub.domain.allocations import Allocation, EndCause
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.dimensions import DIMENSIONS, Kind
from aiplatform_hub.domain.limit_grants import LimitGrant, raised
from aiplatform_hub.domain.limits import PROJECT, USER, Limit, amount_of, limits_for
from aiplatform_hub.domain.options import options_of, resolve
from aiplatform_hub.domain.queueing import WaitCode, WaitReason
from aiplatform_hub.domain.quota_reasons import plain
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.errors import InvalidOptionError, ProfileForbiddenError


@dataclass(frozen=True, slots=True)
class Around:
    """What is looked at besides a request."""

    now: datetime
    interest: timedelta
    """How long an owner's word that they want it holds."""
    catalog: Catalog
    people: Mapping[str, Caller | None]
    """Owners by name, as the hub knows them; None for those whom it does not know."""
    granted: Mapping[str, str] = field(default_factory=dict)
    """Granted tiers by owner's name."""
    open: Sequence[Allocation] = ()
    limit_grants: Sequence[LimitGrant] = ()
    """Raised limits in force, whoever they are for."""


@dataclass(frozen=True, slots=True)
class Eligible:
    """The request may be planned for."""

    caller: Caller
    request: LaunchRequest
    """As the catalogue states it now: its project may have another cost centre."""


Judgement = Eligible | WaitReason | EndCause
"""What becomes of a queued request."""


class Eligibility:
    """Judges queued requests; remembers what is the same for many."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._limits: dict[tuple[int, str], tuple[tuple[Limit, Decimal], ...]] = {}
        self._since = around.now - around.interest
        self._judged: dict[tuple[int, LaunchRequest], Judgement] = {}
        self._known: dict[tuple[int, int], tuple[LaunchRequest, Judgement]] = {}
        self._resolved: dict[tuple[frozenset[str], frozenset[str], LaunchRequest], LaunchRequest | EndCause] = {}
        self._by_user: dict[int, list[Allocation]] = {}
        self._by_project: dict[str, list[Allocation]] = {}
        for allocation in around.open:
            self._by_user.setdefault(allocation.user_id, []).append(allocation)
            self._by_project.setdefault(allocation.request.project, []).append(allocation)

    def of(self, allocation: Allocation) -> Judgement:
        """Return whether a queued request may be planned for, else what it waits for or why it is over."""
        if allocation.confirmed_at is not None and allocation.confirmed_at <= self._since:
            return EndCause.INTEREST_EXPIRED
        people, name = self._around.people, allocation.user_name
        caller = people.get(name)
        if caller is None and name not in people:
            return WaitReason(WaitCode.UNKNOWN_OWNER, "user", f"user:{name}")
        if caller is None or caller.user_id != allocation.user_id:
            return EndCause.OWNER_GONE
        known = self._known.get((caller.user_id, id(allocation.request)))
        return self._same_for_equals(allocation.request, caller) if known is None else known[1]

    def _same_for_equals(self, request: LaunchRequest, caller: Caller) -> Judgement:
        """Judge a request as an equal one of the same person. Most are the same object: to hash one takes longer than all else."""
        key = (caller.user_id, request)
        verdict = self._judged.get(key)
        if verdict is None:
            verdict = self._judged[key] = self._judge(request, caller)
        self._known[caller.user_id, id(request)] = (request, verdict)
        return verdict

    def _judge(self, stored: LaunchRequest, caller: Caller) -> Judgement:
        key = (caller.groups, caller.projects, stored)  # nothing else of the person decides what their options mean
        request = self._resolved.get(key)
        if request is None:
            request = self._resolved[key] = _resolved(stored, caller, self._around.catalog)
        if isinstance(request, EndCause):
            return request
        found = (_over(request, limit, used) for limit, used in self._used(caller, request.project))
        over = [each for each in found if each is not None]
        never = [each for each in over if isinstance(each, EndCause)]
        return next(iter(never + over), Eligible(caller, request))

    def _used(self, caller: Caller, project: str) -> tuple[tuple[Limit, Decimal], ...]:
        """Return the concurrent limits of a person and a project, with what is used of each."""
        key = (caller.user_id, project)
        if key not in self._limits:
            catalog = self._around.catalog
            limits = limits_for(caller, catalog.projects.get(project), catalog, self._around.granted.get(caller.user_name))
            limits = raised(limits, [grant for grant in self._around.limit_grants if grant.is_for(caller)])
            mine = {USER: self._by_user.get(caller.user_id, []), PROJECT: self._by_project.get(project, [])}
            concurrent = [limit for limit in limits if DIMENSIONS[limit.dimension].kind is Kind.CONCURRENT]
            self._limits[key] = tuple((limit, sum((amount_of(a.request, limit) for a in mine[limit.scope]), Decimal(0))) for limit in concurrent)
        return self._limits[key]


def _over(request: LaunchRequest, limit: Limit, used: Decimal) -> WaitReason | EndCause | None:
    requested = amount_of(request, limit)
    if not requested or used + requested <= limit.amount:
        return None
    if requested > limit.amount:
        return EndCause.NEVER_FITS
    free = plain(max(Decimal(0), limit.amount - used))
    return WaitReason(WaitCode.QUOTA_IN_USE, limit.dimension, limit.owner, plain(requested), free, plain(limit.amount), plain(used))


def _resolved(request: LaunchRequest, caller: Caller, catalog: Catalog) -> LaunchRequest | EndCause:
    """Return what the same options mean now, or why they are refused."""
    if request.environment_template not in catalog.environment_templates:
        return EndCause.TEMPLATE_REMOVED
    if request.project not in catalog.projects:
        return EndCause.PROJECT_CLOSED
    try:
        return resolve(options_of(request), catalog=catalog, caller=caller)
    except ProfileForbiddenError:
        return EndCause.NOT_ALLOWED
    except InvalidOptionError:
        return EndCause.OPTIONS_REFUSED
