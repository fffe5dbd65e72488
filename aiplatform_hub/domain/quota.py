"""The decision: does a request fit every limit of the person, the project's pool and the machine? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from aiplatform_hub.domain.allocations import Allocation
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
    limits_for,
    tier_of,
    usage_against,
)
from aiplatform_hub.domain.quota_reasons import Situation, Violation, reason_of
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.errors import AIPlatformError, CapacityError, QuotaExceededError, QuotaInUseError, Reason

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

_REFUSALS: tuple[type[AIPlatformError], ...] = (QuotaExceededError, QuotaInUseError, CapacityError)
"""Errors of a denial; where a request hits several limits, the first of these that applies wins."""


class Outcome(StrEnum):
    """What a decision comes to."""

    ADMIT = "admit"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome with everything that led to it."""

    outcome: Outcome
    error_code: str | None = None
    """Code of the refusal; None when admitted."""
    reasons: tuple[Reason, ...] = ()
    """Every limit that the request does not fit."""
    devices: tuple[str, ...] = ()
    """UUIDs of the GPUs to lease, in order."""

    @property
    def is_admitted(self) -> bool:
        """Whether the request may be held."""
        return self.outcome is Outcome.ADMIT


def decide(  # noqa: PLR0913, PLR0917  a decision has six inputs, all of them values
    request: LaunchRequest, caller: Caller, limits: Sequence[Limit], open_allocations: Sequence[Allocation], capacity: Capacity, observed: Observed
) -> Decision:
    """Decide on a request against limits and the machine.

    Parameters
    ----------
    request
        What is asked for.
    caller
        Who will own the server.
    limits
        Limits of the caller and of the request's project, from :func:`limits_for`.
    open_allocations
        Open allocations of everybody on this machine.
    capacity
        What the machine has, and which GPUs are held.
    observed
        Storage and metered GPU-hours.
    """
    usages = usage_against((*limits, *capacity.limits(request.gpu_type)), caller, open_allocations, observed)
    usages = tuple(_with_unusable(usage, capacity) for usage in usages)
    violations = [violation for usage in usages if (violation := _violation(request, usage)) is not None]
    if not violations:
        devices = capacity.free_devices(request.gpu_type)[: request.gpus]
        return Decision(Outcome.ADMIT, devices=tuple(device.uuid for device in devices))
    situation = Situation(request, caller, usages, capacity)
    reasons = tuple(reason_of(violation, situation) for violation in violations)
    codes = {reason.code for reason in reasons}
    return Decision(Outcome.DENY, next(error.code for error in _REFUSALS if error.code in codes), reasons)


def refusal(decision: Decision) -> AIPlatformError:
    """Return the error of a denial, carrying every reason.

    Raises
    ------
    ValueError
        If the decision admits.
    """
    for error in _REFUSALS:
        if error.code == decision.error_code:
            message = " ".join(reason.message for reason in decision.reasons)
            return error(message, decision.reasons, CAPACITY_RETRY_SECONDS if error is CapacityError else None)
    raise ValueError("an admitted request has no refusal")


def _with_unusable(usage: LimitUsage, capacity: Capacity) -> LimitUsage:
    """Count the machine's GPUs by what is really free: unhealthy ones and leases still open count as used."""
    limit = usage.limit
    if limit.scope != MACHINE or limit.dimension != "gpus":
        return usage
    used = limit.amount - len(capacity.free_devices(limit.gpu_type))
    return LimitUsage(limit, used, usage.holders, usage.held_by)


def _violation(request: LaunchRequest, usage: LimitUsage) -> Violation | None:
    """Return how a request does not fit a limit; None if it does."""
    limit, kind = usage.limit, DIMENSIONS[usage.limit.dimension].kind
    if usage.used is None:
        return None
    if kind is Kind.CONCURRENT:
        requested = amount_of(request, limit)
        is_over = requested > 0 and usage.used + requested > limit.amount
        in_use = CapacityError.code if limit.scope == MACHINE else QuotaInUseError.code
        return Violation(usage, requested, QuotaExceededError.code if requested > limit.amount else in_use) if is_over else None
    if not request.gpus:
        return None
    if kind is Kind.OBSERVED:
        return Violation(usage, Decimal(0), QuotaInUseError.code) if usage.used > limit.amount else None
    requested = Decimal(request.gpus * (request.max_hours or 0))
    never_fits = requested > limit.amount or not limit.amount
    is_over = usage.used >= limit.amount or usage.used + requested > limit.amount
    return Violation(usage, requested, QuotaExceededError.code if never_fits else QuotaInUseError.code) if is_over else None
