"""Words of the queue: why a request does not start though what it asks for is free, and why it may not wait."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from aiplatform_hub.domain.queue_lanes import lanes_for
from aiplatform_hub.domain.queue_values import PlannerInput, ReasonCode
from aiplatform_hub.domain.queueing import Standing
from aiplatform_hub.domain.quota_reasons import quantity
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.errors import QUEUE, CapacityError, QueueFullError, Reason

QUEUE_IT = "Queue it on the Launch page: it starts by itself when its turn comes."


def behind(request: LaunchRequest, line: PlannerInput, code: ReasonCode | None, request_id: str) -> Reason:
    """Return the reason that what is free is somebody else's to take."""
    message = _KEPT.get(code, _waited_for)(request, line, request_id)
    return Reason(CapacityError.code, message, dimension="gpus", scope="machine", requested=str(request.gpus), remedies=(QUEUE_IT,), remedy_codes=(QUEUE,))


def _waited_for(request: LaunchRequest, line: PlannerInput, request_id: str) -> str:
    lanes = lanes_for(line)
    mine = next((waiting for waiting in reversed(line.waiting) if waiting.id == request_id), None)
    others = sum(lanes.by_type.get(gpu_type, 0) for gpu_type in {None, request.gpu_type}) + line.left_out.like_it
    others -= int(mine is not None and not mine.blocked_by)
    who = "1 request waits" if others == 1 else f"{others} requests wait"
    asked = quantity("gpus", Decimal(request.gpus), request.gpu_type)
    return f"{who} for {request.gpu_type} GPUs, and those that are free are not yours to take yet; you ask for {asked}."


def _limited(request: LaunchRequest, line: PlannerInput, _request_id: str) -> str:
    limit = quantity("gpus", Decimal(line.policy.project_limits.get(request.project, 0)))
    asked = quantity("gpus", Decimal(request.gpus))
    return f"The members of project {request.project} may together hold {limit} at once by the queue's policy; you ask for {asked} more."


def _kept_for_a_class(request: LaunchRequest, _line: PlannerInput, _request_id: str) -> str:
    asked = quantity("gpus", Decimal(request.gpus), request.gpu_type)
    return f"The {request.gpu_type} GPUs that are free are kept for a class that runs or is about to begin; you ask for {asked}."


_KEPT: dict[ReasonCode | None, Callable[[LaunchRequest, PlannerInput, str], str]] = {
    ReasonCode.PROJECT_LIMIT: _limited,
    ReasonCode.CLASS: _kept_for_a_class,
}
"""What the planner says of requests that wait for nobody; all others stand behind somebody."""


def kueue_first(request: LaunchRequest) -> Reason:
    """Return the reason that GPUs are never given out at a door where Kueue gives them out."""
    asked = quantity("gpus", Decimal(request.gpus), request.gpu_type)
    message = f"Kueue gives out this cluster's GPUs and has to admit the {asked} first; what is queued starts as soon as it does."
    return Reason(CapacityError.code, message, dimension="gpus", scope="machine", requested=str(request.gpus), remedies=(QUEUE_IT,))


def queue_full(standing: Standing) -> Reason:
    """Return the reason that nobody may have more in the queue."""
    most, mine = standing.max_queued, standing.owner_queued
    message = f"You have {mine} {'request' if mine == 1 else 'requests'} in the queue; one person may have {most}."
    return Reason(QueueFullError.code, message, limit=str(most), used=str(mine), requested="1", remedies=("Withdraw a request that you do not need any more.",))
