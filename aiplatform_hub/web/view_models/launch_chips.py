"""GPU counts to choose from, each with what would happen now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from aiplatform_hub.domain.catalog import EnvironmentTemplate, NodePool, Range
from aiplatform_hub.domain.classes import ClassEnd
from aiplatform_hub.domain.dimensions import DIMENSIONS
from aiplatform_hub.domain.session_terms import SessionTerms
from aiplatform_hub.domain.wait_estimates import WaitEstimate
from aiplatform_hub.domain.wait_words import about_with_range
from aiplatform_hub.errors import Reason
from aiplatform_hub.web.view_models.formats import amount, count, in_minutes

if TYPE_CHECKING:
    from datetime import datetime

    from aiplatform_hub.domain.quota import Decision

NO_POOLS: Mapping[str, NodePool] = {}

GPU_CHIPS = range(5)
"""The counts that have a chip; a template with more adds its own."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A GPU count to choose, with what would happen now."""

    value: int
    title: str
    note: str
    tone: str
    is_chosen: bool
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Quote:
    """What would happen now, and what it would cost."""

    decisions: Mapping[int, Decision]
    """Dry run by GPU count, for the other choices as they are."""
    per_hour: Decimal | None = None
    currency: str | None = None
    before: Mapping[int, int] = field(default_factory=dict)
    """How many in the queue would come first, by GPU count, where that is known."""
    ends: Mapping[int, ClassEnd] = field(default_factory=dict)
    """When it would have to make room for a class, by GPU count, where it would."""
    waits: Mapping[int, WaitEstimate] = field(default_factory=dict)
    """How long it would wait, by GPU count, where that is known."""
    terms: SessionTerms | None = None
    """How long the choice would run; None where nobody asked."""
    now: datetime | None = None
    """When it would start if it starts at once; None where nobody asked."""


def chips_of(chosen: int, template: EnvironmentTemplate, quote: Quote, node_pools: Mapping[str, NodePool]) -> tuple[Chip, ...]:
    """Return a chip for each count that people may think of."""
    numbers = sorted({*GPU_CHIPS, *range(template.gpus.minimum, template.gpus.maximum + 1)})
    return tuple(_chip(number, chosen, template, quote, node_pools) for number in numbers)


def range_words(numbers: Range, one: str) -> str:
    """Return a range with its noun, such as ``2 to 4 GPUs``."""
    if numbers.minimum == numbers.maximum:
        return "No GPU" if numbers.maximum == 0 else count(numbers.maximum, one)
    return f"{numbers.minimum} to {numbers.maximum} {one}s"


def _chip(number: int, chosen: int, template: EnvironmentTemplate, quote: Quote, node_pools: Mapping[str, NodePool]) -> Chip:
    decision = quote.decisions.get(number)
    title = "No GPU" if number == 0 else count(number, "GPU")
    if not template.gpus.minimum <= number <= template.gpus.maximum:
        takes = range_words(template.gpus, "GPU")
        note = f"{template.display_name} takes {takes[0].lower() + takes[1:] if takes == 'No GPU' else takes}"
        return Chip(number, title, note, "", is_chosen=False, is_enabled=False)
    if decision is not None and decision.impossible_because:
        return Chip(number, title, decision.impossible_because, "", is_chosen=False, is_enabled=False)
    note, tone = chip_note(number, decision, node_pools, quote.before.get(number), quote.waits.get(number))
    return Chip(number, title, note, tone, is_chosen=number == chosen)


def chip_note(
    number: int, decision: Decision | None, node_pools: Mapping[str, NodePool] = NO_POOLS, before: int | None = None, wait: WaitEstimate | None = None
) -> tuple[str, str]:
    """Return what a dry run says about a GPU count, in a few words, and its tone."""
    if decision is None:
        return "", ""
    if waits(decision):
        return about_with_range(wait) if wait else _queue_note(decision, before), "queue"
    if decision.node_pool is not None:
        return f"on a new node{when_ready(decision.node_pool, node_pools)}", "good"
    if not decision.reasons and decision.error_code is None:
        return ("free now" if number else "starts now"), "good"
    reason = decision.reasons[0] if decision.reasons else Reason(decision.error_code or "", "not possible now")
    return _short(decision.error_code or reason.code, reason), "warn"


def waits(decision: Decision | None) -> bool:
    """Return whether it would join the queue."""
    return decision is not None and decision.outcome == "queue"


def before_you(number: int) -> str:
    """Return how many come first."""
    return "1 waits" if number == 1 else f"{number} wait"


def when_ready(node_pool: str, node_pools: Mapping[str, NodePool]) -> str:
    """Return when a node of a pool would be there."""
    return f", {in_minutes(node_pools[node_pool].minutes_to_start)}" if node_pool in node_pools else ""


def _queue_note(decision: Decision, before: int | None) -> str:
    """Return how many come first; where the queue has no say, what it waits for."""
    if before is not None:
        return f"queue, {before_you(before)} before you" if before else "queue, next in line"
    reason = next((r for r in decision.reasons if r.code == "quota_in_use"), decision.reasons[0])
    words = _short(reason.code, reason)
    return words if words.startswith(_OVER) else f"queue, {words}"


_OVER = "over your limit"


def _short(code: str, reason: Reason) -> str:
    if reason.dimension is None or reason.limit is None:
        return reason.message
    what = "" if reason.dimension == "gpus" else f" {DIMENSIONS[reason.dimension].label.lower()}"
    limit = amount(reason.dimension, Decimal(reason.limit))
    used = amount(reason.dimension, Decimal(reason.used or 0))
    holders = f": {', '.join(reason.held_by)}" if reason.held_by else ""
    if code == "quota_exceeded" and reason.scope == "machine" and what:
        return reason.message
    if code == "quota_exceeded":
        return f"{_OVER}: {limit}{what}"
    if code == "quota_in_use" and len(reason.held_by) == 1 and (reason.scope or "").startswith("user:"):
        return f"{_OVER}{f' of {limit}{what}' if what else ''}: stop {reason.held_by[0]}"
    if code == "quota_in_use":
        return f"{used} of {limit}{what} in use{holders}"
    return f"not free now: {used} of {limit}{what} in use"
