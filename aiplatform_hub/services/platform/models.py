"""Bodies of the REST API, as pydantic models; the OpenAPI document is made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from aiplatform_hub.errors import AIPlatformError, Reason
from aiplatform_hub.services.platform.budget_models import BudgetAfterOut
from aiplatform_hub.services.platform.energy_models import EnergyOut
from aiplatform_hub.services.platform.launch_models import PackageOut, TermsOut
from aiplatform_hub.services.platform.queue_models import AlternativeOut, QueueOut, WaitOut
from aiplatform_hub.services.platform.release_models import ReleaseOut
from aiplatform_hub.services.platform.wire import Input, Instant, Money, Output

SLUG = r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$"


class ReasonOut(Output):
    """One reason of a refusal or decision."""

    code: str
    message: str
    dimension: str | None = None
    scope: str | None = Field(None, description="Whose limit: `user:alice`, `project:vision` or `machine`")
    limit: str | None = None
    used: str | None = None
    requested: str | None = None
    held_by: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    field: str | None = Field(None, description="The option at fault")
    allowed: tuple[str, ...] = ()
    remedy_codes: tuple[str, ...] = Field((), description="Code of each remedy in turn, such as `try_later`; empty for those without")


class Problem(Output):
    """A refusal, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str = Field(description="Number of this request, to be told to the admin")
    reasons: tuple[ReasonOut, ...] = ()


class RangeOut(Output):
    """An allowed range, both ends included."""

    min: int
    max: int
    default: int


class EnvironmentTemplateOut(Output):
    """One environment that can be started."""

    name: str
    display_name: str
    description: str
    gpus: RangeOut
    gpu_types: tuple[str, ...] = Field(description="Allowed types that this place knows")
    memory_gib: RangeOut
    cpu_cores: RangeOut
    available: bool
    unavailable_reason: str | None = None
    contents: tuple[PackageOut, ...] = Field((), description="What it says is inside")
    logo: str = Field("", description="Name of its picture on the pages")


class TierLimitOut(Output):
    """One limit of a tier."""

    dimension: str
    amount: Money
    unit: str
    gpu_type: str | None = None
    window_days: int | None = None


class TierOut(Output):
    """A named set of limits for a person."""

    name: str
    display_name: str
    limits: tuple[TierLimitOut, ...]


class GpuTypeOut(Output):
    """A kind of GPU with its price."""

    name: str
    display_name: str
    price_per_gpu_hour: Money | None
    currency: str


class ProjectOut(Output):
    """A project that the caller may charge."""

    name: str
    display_name: str
    cost_centre: str


class CatalogOut(Output):
    """What the platform offers."""

    environment_templates: tuple[EnvironmentTemplateOut, ...]
    tiers: tuple[TierOut, ...]
    gpu_types: tuple[GpuTypeOut, ...]
    projects: tuple[ProjectOut, ...] = Field(description="The caller's")
    currency: str
    cpu_only_price_per_hour: Money


class GpuCapacityOut(Output):
    """GPUs of one type."""

    name: str
    total: int
    free: int
    held: int
    unhealthy: int
    drained: int = Field(0, description="Healthy, not held, and not given out: an admin lets nothing new start on them")
    simulated: int
    startable: int = Field(0, description="Free GPUs of nodes that an autoscaler may still start; not in `total`")
    minutes_to_start: int | None = Field(None, description="What the quickest such node usually takes")


class GpuOut(Output):
    """One GPU and what it does now."""

    uuid: str
    index: int
    gpu_type: str
    memory_bytes: int
    is_healthy: bool
    is_drained: bool = Field(False, description="Whether an admin lets nothing new start on it")
    is_simulated: bool
    allocation_id: UUID | None = Field(description="Who holds it")
    utilisation_percent: float | None = Field(description="Null while nobody knows, as always in a cluster")
    memory_used_bytes: int | None = Field(description="As `utilisation_percent`")
    sampled_at: Instant | None


class CapacityOut(Output):
    """What is free now."""

    gpu_types: tuple[GpuCapacityOut, ...]
    gpus: tuple[GpuOut, ...] = Field(default=(), description="Each GPU, for admins and services with the unfiltered scope")
    queue_length: int
    as_of: Instant


class LimitOut(Output):
    """One limit and what is used of it."""

    scope: str
    dimension: str
    limit: Money
    used: Money | None = Field(description="Null when nobody measured it")
    free: Money | None
    unit: str
    gpu_type: str | None = None
    window_days: int | None = None
    source: str = ""
    held_by: tuple[str, ...] = ()


class QuotaOut(Output):
    """A person's tier and limits."""

    user: str
    tier: str
    limits: tuple[LimitOut, ...]
    as_of: Instant


class DecisionRequest(Input):
    """What someone would launch."""

    environment_template: str
    gpus: int | None = None
    gpu_type: str | None = None
    memory_gib: int | None = None
    cpu_cores: int | None = None
    project: str | None = None
    max_hours: int | None = None
    user: str | None = Field(None, description="For whom; the caller by default")
    if_full: Literal["queue", "fail"] = Field("queue", description="What to do when it does not fit now but could later: wait in the queue, or be refused")


class WhatIfBody(DecisionRequest):
    """What someone would launch, and whether to say what else could be asked for."""

    alternatives: bool = Field(default=False, description="Whether to decide on fewer GPUs, other GPU types and the evening, too")


class LaunchBody(DecisionRequest):
    """What to launch."""

    server_name: Annotated[str, StringConstraints(pattern=SLUG)] | None = None


class PriceLine(Output):
    """One line of a price."""

    label: str
    quantity: int
    unit_price: Money
    per_hour: Money


class PriceOut(Output):
    """What an hour costs."""

    currency: str
    per_hour: Money
    lines: tuple[PriceLine, ...]
    rate_card: str


class MaintenanceOut(Output):
    """A maintenance window that a session reaches into."""

    announcement_id: int
    starts_at: Instant
    ends_at: Instant
    text: str


class DecisionOut(Output):
    """What a launch would get now; nothing is held."""

    outcome: Literal["admit", "queue", "ask", "deny"]
    code: str | None
    reasons: tuple[ReasonOut, ...]
    price: PriceOut
    options: dict[str, Any] = Field(description="The request with every default filled in")
    position: int | None = Field(None, description="Its place in the queue if it were asked for now; 1 is next. Null unless it would queue")
    must_end_at: Instant | None = Field(None, description="When a class begins for which it would have to make room. Null unless it would start")
    terms: TermsOut
    budgets: tuple[BudgetAfterOut, ...] = Field((), description="What it would leave of each budget that it would be paid from")
    maintenance: tuple[MaintenanceOut, ...] = Field((), description="Maintenance windows that it would reach into if it started now")
    wait: WaitOut | None = Field(None, description="How long it would wait in the queue; null unless it would, and where nobody can tell")
    alternatives: tuple[AlternativeOut, ...] = Field((), description="What else could be asked for, if the request asked to be told")


class HistoryOut(Output):
    """One step in an allocation's life."""

    at: Instant
    from_state: str | None = Field(alias="from")
    to_state: str = Field(alias="to")
    cause: str
    actor: str


class CostSoFar(Output):
    """What an allocation cost until now."""

    amount: Money
    currency: str
    gpu_seconds: Money


class DecisionSummary(Output):
    """How an allocation was decided."""

    outcome: str
    at: Instant
    reasons: tuple[ReasonOut, ...]


class AllocationOut(Output):
    """Resources promised to one start of one server."""

    id: UUID
    user: str
    server_name: str
    environment_template: str
    gpus: int
    gpu_type: str | None
    devices: tuple[str, ...]
    memory_gib: int
    cpu_cores: int
    project: str
    cost_centre: str
    max_hours: int | None
    state: str
    queue: QueueOut | None = Field(None, description="While it is queued")
    succeeds: UUID | None = Field(None, description="The allocation whose failed start it repeats")
    must_end_at: Instant | None = Field(None, description="When a class begins for which it has to make room")
    release: ReleaseOut | None = Field(None, description="While it is active: whether and when its GPUs may be taken back")
    is_ready: bool
    requested_at: Instant
    held_at: Instant | None
    starting_at: Instant | None
    started_at: Instant | None
    ready_at: Instant | None
    ended_at: Instant | None
    end_cause: str | None
    estimated: bool
    stop_requested_by: str | None
    stop_message: str | None = Field(None, description="What whoever stopped it told its owner")
    url: str | None
    cost_so_far: CostSoFar | None = None
    energy: EnergyOut | None = None
    """None where nobody measured it."""
    decision: DecisionSummary | None = None
    history: tuple[HistoryOut, ...] = ()


class AllocationPage(Output):
    """A page of allocations, newest first."""

    items: tuple[AllocationOut, ...]
    next_cursor: str | None


class QueueRow(Output):
    """One request in the queue: in full where the caller may know of it, else without whose it is."""

    position: int = Field(description="1 is next")
    gpus: int
    gpu_type: str | None
    waiting_seconds: int = Field(description="Since its submit time")
    allocation: AllocationOut | None = Field(description="Null for what is somebody else's")


class QueuePage(Output):
    """The queue in its order."""

    items: tuple[QueueRow, ...]
    next_cursor: str | None
    queue_length: int
    as_of: Instant


class WhyOut(Output):
    """The stored decision, replayed."""

    allocation_id: UUID
    at: Instant
    actor: str
    outcome: str
    reasons: tuple[ReasonOut, ...]
    inputs: dict[str, Any] = Field(description="Request, limits, use and capacity as they were")
    replayed_outcome: str
    replayed_reasons: tuple[ReasonOut, ...]
    agrees: bool = Field(description="Whether the same inputs give the same decision today")


class ReportRowOut(Output):
    """One group of a report."""

    keys: dict[str, str | None] = Field(description="Value by group")
    gpu_seconds: Money
    session_seconds: Money
    estimated_seconds: Money = Field(description="The part whose end nobody saw")
    intervals: int
    used_gpu_seconds: Money = Field(description="The part of `gpu_seconds` in which the session's GPUs were used")
    idle_gpu_seconds: Money = Field(description="The part in which all of them were idle")
    unknown_gpu_seconds: Money = Field(description="The part of which neither is known; the three are the whole")
    amount: Money | None = Field(None, description="In costs only")
    currency: str | None = None


class ReportOut(Output):
    """Usage or costs over a half-open span of time."""

    from_: Instant = Field(alias="from")
    to: Instant
    complete_until: Instant = Field(description="The ledger is closed up to here; later seconds may still grow")
    rows: tuple[ReportRowOut, ...]
    totals: tuple[ReportRowOut, ...] = Field(description="One for each currency")
    rate_cards: tuple[str, ...] = ()


def problem_of(error: AIPlatformError, *, instance: str) -> Problem:
    """Return the problem that explains an error."""
    return Problem(
        type=f"urn:aiplatform:problem:{error.code}",
        title=error.title,
        status=error.status,
        detail=error.message,
        code=error.code,
        instance=instance,
        reasons=reasons_of(error.reasons),
    )


def reasons_of(reasons: Sequence[Reason]) -> tuple[ReasonOut, ...]:
    """Return reasons as they are sent."""
    return tuple(ReasonOut(**asdict(reason)) for reason in reasons)
