"""Estimates of waits, as commands print them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiplatform_hub.domain.wait_estimates import WaitEstimate
from aiplatform_hub.domain.wait_words import about, how_long

_OWN = frozenset({"quota_in_use", "unknown_owner"})
"""Reasons to wait about which no estimate tells anything."""


def estimate_of(wait: Mapping[str, Any] | None) -> WaitEstimate | None:
    """Return what is left now of an estimate that the platform sent."""
    if wait is None:
        return None
    since = (datetime.now(UTC) - datetime.fromisoformat(wait["as_of"])).total_seconds()
    return WaitEstimate(wait["p10_seconds"], wait["p50_seconds"], wait["p90_seconds"]).after(max(0.0, since))


def place_and_wait(queue: Mapping[str, Any]) -> str:
    """Return place, reason and how long, as sentences."""
    message: str = queue["reason"]["message"]
    if queue["reason"]["code"] in {*_OWN, "new"}:
        return message
    return f"{message} {how_long(estimate_of(queue.get('wait')))}"


def in_short(queue: Mapping[str, Any] | None) -> str | None:
    """Return how long in a few words, for a table; None if nobody can tell."""
    wait = None if queue is None else estimate_of(queue.get("wait"))
    return None if wait is None else about(wait)
