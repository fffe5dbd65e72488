"""The decision: does a request fit every limit of the person, the project's pool and the place? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.budgets import Claim, budget_reasons
from aiplatform_hub.domain.dimensions import DIMENSIONS, Kind
from aiplatform_hub.domain.limits import (
    MACHINE,
    PROJECT,
    USER,
    Capacity,
    DeviceState,
    Limit,
    LimitUsage,
    Observed,
    amount_of,
    amounts_used,
    limits_for,
    tier_of,
    usage_against,
)
from aiplatform_hub.domain.node_shapes import Oversize
from aiplatform_hub.domain.planner import verdict_on
from aiplatform_hub.domain.queue_reasons import behind, kueue_first, queue_full
from aiplatform_hub.domain.queueing import Standing
from aiplatform_hub.domain.quota_reasons import Situation, Violation, is_none_ready, reason_of
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.errors import AIPlatformError, BudgetExhaustedError, CapacityError, QueueFullError, QuotaExceededError, QuotaInUseError, Reason

__all__ = [
    "MACHINE",
    "PROJECT",
    "USER",
    "Capacity",
    "Decision",
    "DeviceState",
    "Limit",
    "LimitUsage",
    "Observed",
    "Outcome",
    "decide",
    "limits_for",
    "refusal",
    "tier_of",
    "usage_against",
]

CAPACITY_RETRY_SECONDS = 30
"""What a refusal for want of capacity suggests to wait."""

_REFUSALS: tuple[type[AIPlatformError], ...] = (QuotaExceededError, BudgetExhaustedError, QueueFullError, QuotaInUseError, CapacityError)
"""Errors of a denial; where a request hits several limits, the first of these that applies wins."""


class Outcome(StrEnum):
    """What a decision comes to."""

    ADMIT = "admit"
    QUEUE = "queue"
    """It does not fit now, but could later, and waits."""
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome with everything that led to it."""

    outcome: Outcome
    error_code: str | None = None
    """Code of the refusal; None when admitted."""
    reasons: tuple[Reason, ...] = ()
    """Every limit that the request does not fit; what it waits for, if it is queued."""
    devices: tuple[str, ...] = ()
    """UUIDs of the GPUs to lease, in order; all of one node."""
    node_pool: str | None = None
    """Name of the pool whose autoscaler has to start a node for it."""
    must_end_seconds: float | None = None
    """When a class begins for which it has to make room, in seconds of the epoch."""
    impossible_because: str = ""
    """In a cluster: why no node could ever give so many GPUs, or the rest beside them."""

    @property
    def is_admitted(self) -> bool:
        """Whether the request may be held."""
        return self.outcome is Outcome.ADMIT


def decide(  # noqa: PLR0913, PLR0917  a decision has eight inputs, all of them values
    request: LaunchRequest,
    caller: Caller,
    limits: Sequence[Limit],
    open_allocations: Sequence[Allocation],
    capacity: Capacity,
    observed: Observed,
    standing: Standing | None = None,
    claims: Sequence[Claim] = (),
) -> Decision:
    """Decide on a request against limits and the machine or cluster.

    Parameters
    ----------
    request
        What is asked for.
    caller
        Who will own the server.
    limits
        Limits of the caller and of the request's project, from :func:`limits_for`.
    open_allocations
        Open allocations of everybody.
    capacity
        What the machine or cluster has, and which GPUs are held.
    observed
        Storage and metered GPU-hours.
    standing
        How the request stands to the queue; None if nobody waits and nobody wants to.
    claims
        What it wants of each budget that it is paid from. One that does not fit is refused, though it might wait: waiting fills no budget.
    """
    standing = standing or Standing()
    bounds = (*limits, *capacity.limits(request.gpu_type))
    used = (_with_unusable(usage, capacity) for usage in amounts_used(bounds, caller, open_allocations, observed))
    too_large = {one.dimension: one for one in capacity.oversizes(request)}
    is_over = any(_of_a_node(usage, too_large) or _violation(request, usage, capacity) for usage in used)
    unpaid = budget_reasons(claims)
    if not is_over and not unpaid:
        return _in_turn(request, capacity, standing)
    usages = tuple(_with_unusable(usage, capacity) for usage in usage_against(bounds, caller, open_allocations, observed))
    found = (_of_a_node(usage, too_large) or _violation(request, usage, capacity) for usage in usages)
    violations = [violation for violation in found if violation is not None]
    situation = Situation(request, caller, usages, capacity)
    reasons = tuple(reason_of(violation, situation) for violation in violations)
    if QuotaExceededError.code not in {reason.code for reason in reasons}:
        return Decision(Outcome.DENY, BudgetExhaustedError.code, (*unpaid, *reasons)) if unpaid else _not_now(reasons, standing)
    never = (reason.message for violation, reason in zip(violations, reasons, strict=True) if capacity.is_cluster and _is_impossible(violation))
    return Decision(Outcome.DENY, QuotaExceededError.code, reasons, impossible_because=next(never, ""))


def _in_turn(request: LaunchRequest, capacity: Capacity, standing: Standing) -> Decision:
    """Admit what fits, unless somebody who waits is entitled to those GPUs, or Kueue has to be asked first."""
    if request.gpus and standing.is_kueue and not standing.is_admitted:
        return _not_now((kueue_first(request),), standing)
    devices, must_end = capacity.devices_for(request.gpu_type, request.gpus) if request.gpus else [], None
    if request.gpus and standing.line is not None:
        verdict = verdict_on(standing.line, standing.request_id) if standing.plan is None else standing.plan.verdict_on(standing.request_id)
        start = verdict.start
        devices = [] if start is None else capacity.devices_on(start.node, request.gpus)
        must_end = None if start is None else start.must_end_seconds
        if not devices:
            return _not_now((behind(request, standing.line, verdict.code, standing.request_id),), standing)
    node_pool = devices[0].node_pool if devices else None
    return Decision(Outcome.ADMIT, devices=tuple(device.uuid for device in devices), node_pool=node_pool, must_end_seconds=must_end)


def _not_now(reasons: tuple[Reason, ...], standing: Standing) -> Decision:
    """Queue what could start later, if it may wait."""
    if not standing.may_wait:
        codes = {reason.code for reason in reasons}
        return Decision(Outcome.DENY, next(error.code for error in _REFUSALS if error.code in codes), reasons)
    if not standing.is_queued and standing.owner_queued >= standing.max_queued:
        return Decision(Outcome.DENY, QueueFullError.code, (queue_full(standing), *reasons))
    return Decision(Outcome.QUEUE, reasons=reasons)


def refusal(decision: Decision) -> AIPlatformError:
    """Return the error of a denial, carrying every reason.

    Raises
    ------
    ValueError
        If the decision admits or queues.
    """
    for error in _REFUSALS:
        if error.code == decision.error_code:
            message = " ".join(dict.fromkeys(reason.message for reason in decision.reasons))
            return error(message, decision.reasons, CAPACITY_RETRY_SECONDS if error.status == CapacityError.status else None)
    raise ValueError("a request that was not denied has no refusal")


def _is_impossible(violation: Violation) -> bool:
    """Whether no node could ever give so many GPUs, or what is asked for beside them."""
    if violation.oversize is not None:
        return violation.oversize.is_of_gpus
    return _is_of_gpus(violation.usage.limit) and violation.code == QuotaExceededError.code


def _of_a_node(usage: LimitUsage, too_large: Mapping[str, Oversize]) -> Violation | None:
    """Return how no node has what is asked for, whatever all of them have together."""
    oversize = too_large.get(usage.limit.dimension) if usage.limit.scope == MACHINE else None
    if oversize is None:
        return None
    largest = LimitUsage(replace(usage.limit, amount=Decimal(oversize.largest)), Decimal(0))
    return Violation(largest, Decimal(oversize.wanted), QuotaExceededError.code, oversize)


def _is_of_gpus(limit: Limit) -> bool:
    """Whether it is what the place has of GPUs."""
    return limit.scope == MACHINE and limit.dimension == "gpus"


def _with_unusable(usage: LimitUsage, capacity: Capacity) -> LimitUsage:
    """Count the place's GPUs by what is really free: unhealthy ones and leases still open count as used."""
    limit = usage.limit
    if not _is_of_gpus(limit):
        return usage
    used = limit.amount - len(capacity.free_devices(limit.gpu_type))
    return LimitUsage(limit, used, usage.holders, usage.held_by)


def _violation(request: LaunchRequest, usage: LimitUsage, capacity: Capacity) -> Violation | None:
    """Return how a request does not fit a limit; None if it does."""
    limit, kind = usage.limit, DIMENSIONS[usage.limit.dimension].kind
    if usage.used is None:
        return None
    if _is_of_gpus(limit):
        return None if capacity.most_free(limit.gpu_type) >= request.gpus else _node_violation(request, usage, capacity)
    if kind is Kind.CONCURRENT:
        requested = amount_of(request, limit)
        is_over = requested > 0 and usage.used + requested > limit.amount
        in_use = CapacityError.code if limit.scope == MACHINE else QuotaInUseError.code
        never_fits = requested > limit.amount and not is_none_ready(limit)
        return Violation(usage, requested, QuotaExceededError.code if never_fits else in_use) if is_over else None
    if not request.gpus:
        return None
    if kind is Kind.OBSERVED:
        return Violation(usage, Decimal(0), QuotaInUseError.code) if usage.used > limit.amount else None
    requested = Decimal(request.gpus * (request.max_hours or 0))
    never_fits = requested > limit.amount or not limit.amount
    is_over = usage.used >= limit.amount or usage.used + requested > limit.amount
    return Violation(usage, requested, QuotaExceededError.code if never_fits else QuotaInUseError.code) if is_over else None


def _node_violation(request: LaunchRequest, usage: LimitUsage, capacity: Capacity) -> Violation:
    """Return how no node can give the GPUs."""
    never_fits = request.gpus > capacity.largest(request.gpu_type)
    return Violation(usage, Decimal(request.gpus), QuotaExceededError.code if never_fits else CapacityError.code)
