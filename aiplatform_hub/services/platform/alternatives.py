"""What else could be asked for, as the REST API sends it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from aiplatform_hub.domain.options import options_of
from aiplatform_hub.domain.quota_reasons import quantity
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.wait_words import alternative_sentence
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.prospects import Alternative, Prospect
from aiplatform_hub.services.platform.queue_models import AlternativeOut
from aiplatform_hub.services.platform.queue_views import wait_out


def alternative_out(one: Alternative, factory: Factory) -> AlternativeOut:
    """Return an alternative with its sentence."""
    prospect, asked_at = one.prospect, one.asked_at
    refusal = next((reason.message for reason in prospect.decision.reasons), "It would be refused.")
    waits = prospect.decision.is_admitted or prospect.before is not None or asked_at is not None
    return AlternativeOut(
        kind=one.kind,
        options=options_of(one.request),
        asked_at=asked_at,
        outcome=prospect.decision.outcome.value,
        wait=wait_out(prospect.wait, asked_at or factory.clock()),
        message=alternative_sentence(_what(one), prospect.chance, is_now=asked_at is None) if waits else f"{_what(one)}: {refusal}",
    )


def fewer_gpus_out(request: LaunchRequest, fewer: Mapping[int, Prospect], factory: Factory) -> tuple[AlternativeOut, ...]:
    """Return what a queued request would come to with fewer GPUs, the most first."""
    others = [Alternative("fewer_gpus", _with(request, gpus), prospect) for gpus, prospect in sorted(fewer.items(), reverse=True)]
    return tuple(alternative_out(other, factory) for other in others)


def _with(request: LaunchRequest, gpus: int) -> LaunchRequest:
    values = {name: getattr(request, name) for name in LaunchRequest.__slots__}
    return LaunchRequest(**{**values, "gpus": gpus, "gpu_type": request.gpu_type if gpus else None})


def _what(one: Alternative) -> str:
    if one.asked_at is not None:
        return f"Asked for at {one.asked_at.astimezone():%H:%M %Z}"
    if not one.request.gpus:
        return "Without GPUs"
    return f"With {quantity('gpus', Decimal(one.request.gpus), one.request.gpu_type if one.kind == 'gpu_type' else None)}"
