"""One allocation: what happened, why it was admitted, what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiplatform_hub.domain.allocations import Allocation, AllocationEvent, AllocationState, EndCause
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.errors import Reason
from aiplatform_hub.web.view_models.activity import ActivityBar
from aiplatform_hub.web.view_models.environments import EnvironmentCard, Fact, resources
from aiplatform_hub.web.view_models.formats import END_CAUSES, WITHDRAWALS, Stamp, count, server_label, stamp
from aiplatform_hub.web.view_models.session_series import EfficiencyCard, SeriesView
from aiplatform_hub.web.view_models.timeline import Timeline

CAUSES = {
    "admitted": "Asked for and admitted; GPUs and memory held",
    "denied": "Asked for and refused",
    "queued": "Asked for; it did not fit then, so it joined the queue",
    "dispatched": "Its turn came: GPUs and memory held",
    "changed": "Asked for another number of GPUs",
    "confirmed": "Its owner still wants it",
    "requeued": "The start failed: back to the front of the queue",
    "queued_again": "Nobody had opened it: in the queue again, behind the others",
    "opened": "Opened",
    "given_back": "JupyterHub could not be asked to start it: back to its place in the queue",
    "starting": "The start began",
    "started": "The program began to run; the meter started",
    "ready": "It answered; ready to use",
    "renamed": "Renamed",
    "release_warned": "Its owner was warned that its GPUs may be taken back",
    "release_called_off": "The warning is over",
    "reclaimed": "Kueue wants its GPUs back for others",
    "reclaim_over": "Kueue leaves it its GPUs after all",
    "release_begins": "Its GPUs are taken back: it is being stopped",
    "extended": "Extended",
    "moved_up": "An admin moved it to the front of the queue",
    "move_undone": "An admin put it back to its place in the queue",
    "stop_withdrawn": "It goes on: the stop could not be carried out, or was not due any more",
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
    activity: ActivityBar | None = None
    """None where no GPU has run."""
    timeline: Timeline | None = None
    """None where it was refused."""
    series: SeriesView | None = None
    """None where it has not run."""
    efficiency: EfficiencyCard | None = None
    """None while it goes on, and where nothing is known of its GPUs."""
    energy: str = ""
    """What energy its GPUs took, in a sentence; empty where nobody measured it."""
    smaller_url: str = ""
    """Where the same is started with the GPUs that would have done; empty where there are not fewer."""
    move_url: str = ""
    """Where an admin charges it to another project; empty for others, and while it goes on."""

    @property
    def smaller_label(self) -> str:
        """What the link to a smaller start says."""
        fewer = self.efficiency.smaller_gpus if self.efficiency else None
        return f"Start again with {count(fewer, 'GPU')}" if fewer else "Start again without a GPU"


def steps_with_idleness(steps: tuple[Step, ...], idle: Iterable[tuple[Stamp | None, str]]) -> tuple[Step, ...]:
    """Return the timeline with the times at which GPUs were idle for long, oldest first."""
    every = (*steps, *(Step(at, text, "as measured") for at, text in idle))
    return tuple(sorted(every, key=lambda step: step.at.iso if step.at else ""))


def session_facts(allocation: Allocation, catalog: Catalog, waiting: tuple[Fact, ...] = ()) -> tuple[Fact, ...]:
    """Return everything that was promised, or is waited for, in words."""
    request = allocation.request
    facts = [
        Fact("Owner", allocation.user_name),
        Fact("Server", server_label(allocation.server_name)),
        Fact("Resources", resources(request, catalog)),
        *(waiting or (Fact("GPUs", ", ".join(allocation.devices) or "none"),)),
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
    first = next((e for e in events if e.from_state is None and e.to_state is AllocationState.QUEUED), None)
    decided = "denied" if allocation.state is AllocationState.DENIED else "admitted"
    later = [e for e in events if e is not first and (e.from_state is not None or e.cause not in {"admitted", "denied"})]
    return (
        Step(stamp(first.at if first else allocation.requested_at), CAUSES[first.cause if first else decided], allocation.actor),
        *(Step(stamp(e.at), _cause(e, allocation), e.actor) for e in later),
    )


def _cause(event: AllocationEvent, allocation: Allocation) -> str:
    if event.to_state is AllocationState.WITHDRAWN and event.from_state is AllocationState.QUEUED and event.cause in set(WITHDRAWALS):
        return WITHDRAWALS[EndCause(event.cause)]
    text = CAUSES.get(event.cause, event.cause)
    is_guess = allocation.estimated and event.cause == (allocation.end_cause or EndCause.LOST).value
    return f"{text} (time estimated)" if is_guess else text


def why(outcome: str, reasons: Sequence[Reason]) -> tuple[str, tuple[str, ...]]:
    """Return the decision as a sentence and its reasons."""
    lines = tuple(dict.fromkeys(line for r in reasons for line in (r.message, *r.advice(is_waiting=outcome == "queue")) if line))
    verdicts = {"admit": "It was admitted: it fitted every limit and what was free.", "queue": "It joined the queue:"}
    return verdicts.get(outcome, "It was refused:"), lines
