"""How far a start has come, in steps, and what it would be to start the same again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.catalog import NodePool
from aiplatform_hub.web.view_models.formats import duration, price
from aiplatform_hub.web.view_models.launch_chips import chip_note

if TYPE_CHECKING:
    from aiplatform_hub.operations.prospects import Prospect


@dataclass(frozen=True, slots=True)
class StartStep:
    """One step of a start."""

    label: str
    text: str
    """How long it took or has taken so far; empty for what is to come."""
    state: str
    """``done``, ``now`` or ``next``."""


def start_steps(allocation: Allocation, now: datetime, *, has_node_to_start: bool = False) -> tuple[StartStep, ...]:
    """Return the steps of a start that goes on; none for anything else.

    Parameters
    ----------
    has_node_to_start
        Whether an autoscaler brings its node first.
    """
    if not allocation.is_open or allocation.ready_at is not None or allocation.stop_cause is not None:
        return ()
    held = "GPUs and memory held" if allocation.request.gpus else "Memory held"
    program = "Node and program started" if has_node_to_start else "Program started"
    marks = (allocation.requested_at, allocation.held_at, allocation.started_at, allocation.ready_at)
    steps, since, is_now = [], allocation.requested_at, True
    for label, done_at in zip((held, program, "First answer"), marks[1:], strict=True):
        if done_at is not None:
            steps.append(StartStep(label, duration(done_at - since), "done"))
            since = done_at
            continue
        steps.append(StartStep(label, f"{duration(now - since)} so far" if is_now else "", "now" if is_now else "next"))
        is_now = False
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class AgainNote:
    """What it would be to start the same choice again now."""

    price: str
    note: str
    tone: str
    can_start: bool
    """Whether there is a button for it; without one the choice has to be changed first."""


def again_note(gpus: int, prospect: Prospect, per_hour: Decimal | None, currency: str | None, node_pools: Mapping[str, NodePool]) -> AgainNote:
    """Return price and prospect of the same choice."""
    note, tone = chip_note(gpus, prospect.decision, node_pools, prospect.before, prospect.wait)
    is_at_once = tone == "good" and prospect.decision.node_pool is None
    words = "starts at once" if is_at_once else f"joins the queue, {note.removeprefix('queue, ')}" if tone == "queue" else note
    return AgainNote(price(per_hour, currency), words, tone, can_start=tone != "warn")


def cannot_again(message: str) -> AgainNote:
    """Return why the same choice cannot be made any more."""
    return AgainNote("", message, "warn", can_start=False)
