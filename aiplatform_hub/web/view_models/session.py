"""One allocation: what happened, why it was admitted, what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiplatform_hub.domain.allocations import Allocation, AllocationEvent, AllocationState, EndCause
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.errors import Reason
from aiplatform_hub.web.view_models.environments import EnvironmentCard, Fact, resources
from aiplatform_hub.web.view_models.formats import END_CAUSES, Stamp, server_label, stamp

CAUSES = {
    "admitted": "Asked for and admitted; GPUs and memory held",
    "denied": "Asked for and refused",
    "starting": "The start began",
    "started": "The program began to run; the meter started",
    "ready": "It answered; ready to use",
    "renamed": "Renamed",
    **{cause.value: sentence for cause, sentence in END_CAUSES.items()},
}
"""Sentence by cause of a transition."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the timeline."""

    at: Stamp | None
    text: str
    actor: str


@dataclass(frozen=True, slots=True)
class CostRow:
    """One cost line, worded."""

    start: Stamp | None
    end: Stamp | None
    what: str
    hours: str
    price: str
    amount: str


@dataclass(frozen=True, slots=True)
class SessionPage:
    """What the page of one allocation shows."""

    card: EnvironmentCard
    facts: tuple[Fact, ...]
    steps: tuple[Step, ...]
    verdict: str
    reasons: tuple[str, ...]
    costs: tuple[CostRow, ...]
    total: str
    log: str
    log_note: str


def session_facts(allocation: Allocation, catalog: Catalog) -> tuple[Fact, ...]:
    """Return everything that was promised, in words."""
    request = allocation.request
    facts = [
        Fact("Owner", allocation.user_name),
        Fact("Server", server_label(allocation.server_name)),
        Fact("Resources", resources(request, catalog)),
        Fact("GPUs", ", ".join(allocation.devices) or "none"),
        Fact("Charged to", f"{request.project}, cost centre {request.cost_centre}"),
        Fact("Asked for", f"by {allocation.actor}, through {DOORS.get(allocation.door, allocation.door)}", stamp(allocation.requested_at)),
    ]
    if request.max_hours:
        facts.append(Fact("Planned", f"{request.max_hours} h"))
    facts.append(Fact("Number", str(allocation.id)))
    return tuple(facts)


DOORS = {"rest": "the REST API", "hub": "the hub", "page": "the Launch page"}
"""Where a request came in, in words."""


def steps(allocation: Allocation, events: Sequence[AllocationEvent]) -> tuple[Step, ...]:
    """Return the timeline, oldest first: the decision, then each transition."""
    first = "denied" if allocation.state is AllocationState.DENIED else "admitted"
    later = [e for e in events if e.from_state is not None or e.cause not in {"admitted", "denied"}]
    return (
        Step(stamp(allocation.requested_at), CAUSES[first], allocation.actor),
        *(Step(stamp(e.at), _cause(e.cause, allocation), e.actor) for e in later),
    )


def _cause(cause: str, allocation: Allocation) -> str:
    text = CAUSES.get(cause, cause)
    is_guess = allocation.estimated and cause == (allocation.end_cause or EndCause.LOST).value
    return f"{text} (time estimated)" if is_guess else text


def why(outcome: str, reasons: Sequence[Reason]) -> tuple[str, tuple[str, ...]]:
    """Return the decision as a sentence and its reasons."""
    lines = tuple(dict.fromkeys(line for r in reasons for line in (r.message, *r.remedies) if line))
    return ("It was admitted: it fitted every limit and what was free." if outcome == "admit" else "It was refused:"), lines
