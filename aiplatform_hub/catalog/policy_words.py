"""A policy's numbers as people read them, and what differs between two policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiplatform_hub.catalog.lengths import format_length
from aiplatform_hub.catalog.policies import NEVER, PolicyModel, field_of
from aiplatform_hub.domain.policy import ClassReservation, Policy

NONE = "none"


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """One key of which two policies say something else."""

    key: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.key}: {self.before} -> {self.after}"


def policy_words(policy: Policy) -> dict[str, str]:
    """Return what each key of a policy file would say, in the reference's order."""
    return {key: _words(key, getattr(policy, field_of(key))) for key in PolicyModel.model_fields}


def changes_between(before: Policy, after: Policy) -> tuple[PolicyChange, ...]:
    """Return what differs, in the reference's order."""
    keys = (key for key in PolicyModel.model_fields if getattr(before, field_of(key)) != getattr(after, field_of(key)))
    return tuple(PolicyChange(key, _words(key, getattr(before, field_of(key))), _words(key, getattr(after, field_of(key)))) for key in keys)


def _words(key: str, value: Any) -> str:
    if value is None:
        return NEVER
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if key == field_of(key) else format_length(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(key, amount)}" for name, amount in sorted(value.items())) or NONE
    return "; ".join(window_words(window) for window in value) or NONE


def window_words(window: ClassReservation) -> str:
    """Return a class's window in one line."""
    gpus = "1 GPU" if window.gpus == 1 else f"{window.gpus} GPUs"
    kind = f" of {window.gpu_type}" if window.gpu_type else ""
    return f"{window.project} {gpus}{kind} {_instant(window.start_seconds)} to {_instant(window.end_seconds)}"


def _instant(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
