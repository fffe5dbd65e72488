"""Bodies about the queue's policy."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import Field, create_model

from aiplatform_hub.domain.classes import instant_of
from aiplatform_hub.domain.policy import ClassReservation, Policy
from aiplatform_hub.operations.policies import PolicyInForce
from aiplatform_hub.services.platform.wire import Input, Instant, Output


class ClassWindowOut(Output):
    """GPUs that are kept for the members of a project from one instant until another."""

    project: str
    gpus: int
    gpu_type: str | None = Field(description="Null for any type")
    start: Instant
    end: Instant = Field(description="Exclusive")


_OTHERS = {
    "reservations": tuple[ClassWindowOut, ...],
    "gpu_type_weights": dict[str, float],
    "project_shares": dict[str, float],
    "project_limits": dict[str, int],
    "project_inactive_after_seconds": dict[str, float | None],
    "tier_inactive_after_seconds": dict[str, float | None],
    "environment_template_inactive_after_seconds": dict[str, float | None],
}
_HINTS = get_type_hints(Policy)
PolicyNumbers = create_model(  # each number of the domain's policy, under the same name
    "PolicyNumbers",
    __base__=Output,
    __doc__="Every number of the policy, as its reference explains them; what ends in `_seconds` is in seconds, and null is never.",
    **{field.name: (_OTHERS.get(field.name, _HINTS[field.name]), ...) for field in fields(Policy)},  # type: ignore[call-overload]  # made of data
)


class PolicyOut(Output):
    """The policy that the queue follows now."""

    version: int = Field(description="0 is the shipped policy")
    applied_at: Instant | None = Field(description="Null for the shipped policy")
    numbers: PolicyNumbers  # type: ignore[valid-type]  # made of data


class PolicyBody(Input):
    """A policy to follow."""

    document: str = Field(description="A policy file's text, YAML; keys that it lacks are as shipped")


def policy_out(found: PolicyInForce) -> PolicyOut:
    """Return what counts as it is sent."""
    values: dict[str, Any] = {field.name: getattr(found.policy, field.name) for field in fields(Policy)}
    values |= {name: dict(values[name]) for name in _OTHERS if name != "reservations"}
    values["reservations"] = tuple(_window(window) for window in found.policy.reservations)
    return PolicyOut(version=found.version, applied_at=found.applied_at, numbers=PolicyNumbers(**values))


def _window(window: ClassReservation) -> ClassWindowOut:
    return ClassWindowOut(
        project=window.project,
        gpus=window.gpus,
        gpu_type=window.gpu_type,
        start=instant_of(window.start_seconds),
        end=instant_of(window.end_seconds),
    )
