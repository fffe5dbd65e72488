"""Environments as cards, quota as bars, GPUs as dots: the Home and session pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.catalog import Catalog, NodePool
from aiplatform_hub.domain.classes import class_end
from aiplatform_hub.domain.cluster import slot_of
from aiplatform_hub.domain.dimensions import DIMENSIONS
from aiplatform_hub.domain.limits import LimitUsage
from aiplatform_hub.domain.names import is_same_name
from aiplatform_hub.domain.policy import ClassReservation
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.units import GIB, format_bytes
from aiplatform_hub.domain.wait_words import UNKNOWN
from aiplatform_hub.web.view_models.announcements import MaintenanceLine
from aiplatform_hub.web.view_models.charts import spark_label
from aiplatform_hub.web.view_models.formats import (
    END_CAUSES,
    WITHDRAWALS,
    Bar,
    Stamp,
    amount,
    count,
    duration,
    gpus,
    in_minutes,
    money,
    percent,
    server_label,
    stamp,
)
from aiplatform_hub.web.view_models.labels import class_words, gpu_label, project_label, template_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.queue import Line, Wait, since_when, wait
from aiplatform_hub.web.view_models.release import Notice
from aiplatform_hub.web.view_models.starting import AgainNote, StartStep, start_steps

SLOW_START = timedelta(seconds=60)
"""After this a start is called slow."""
_BAD_ENDS = frozenset(
    {
        EndCause.CRASHED,
        EndCause.KILLED,
        EndCause.OUT_OF_MEMORY,
        EndCause.START_FAILED,
        EndCause.LOST,
        EndCause.EVICTED,
        EndCause.PREEMPTED,
        EndCause.DELETED,
        EndCause.NODE_LOST,
    }
)
_RELEASES = frozenset({EndCause.IDLE, EndCause.SESSION_CAP, EndCause.CLASS_BEGINS, EndCause.CULLED, EndCause.NOT_OPENED, EndCause.BUDGET_EXHAUSTED})
"""Ends that its owner did not ask for, and may not have seen coming."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a card: a label with text, an instant or both."""

    label: str
    text: str = ""
    at: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """What is asked before something is ended."""

    verb: str
    text: str
    """What is lost by it."""
    yes: str
    no: str


STOP = Ending("Stop", "Files in your home folder stay. What runs now, and everything only in memory, is lost.", "Stop it", "Keep it running")
WITHDRAW = Ending("Withdraw", "It leaves the queue and loses its place. Nothing has run and nothing is charged.", "Withdraw it", "Keep it waiting")


@dataclass(frozen=True, slots=True)
class EnvironmentCard:
    """One environment: what it is, what it holds, what can be done."""

    id: str
    title: str
    server: str
    state: str
    """``queued``, ``running``, ``starting``, ``stopping`` or ``ended``."""
    badge: str
    tone: str
    facts: tuple[Fact, ...]
    session_url: str
    open_url: str = ""
    pending_url: str = ""
    stop_url: str = ""
    ending: Ending = STOP
    why: str = ""
    """Why it ended or waits, or what a start is doing."""
    wait: Wait | None = None
    """How it waits in the queue; None if it does not."""
    release: Notice | None = None
    """When and why its GPUs are given back; None if it does not run."""
    was_released: bool = False
    """Whether it ended because its GPUs were given back."""
    again: Mapping[str, object] = field(default_factory=dict)
    """The fields that launch the same choice again."""
    again_url: str = ""
    again_note: AgainNote | None = None
    """What starting the same again would be now; None where nobody asked."""
    hide_url: str = ""
    """Where its owner takes it off their list; empty while it is not over."""
    steps: tuple[StartStep, ...] = ()
    """How far its start has come."""
    spark: tuple[int | None, ...] = ()
    """Use of its GPUs in the last hour, in percent; empty where there is no curve."""
    maintenance: tuple[MaintenanceLine, ...] = ()
    """Maintenance windows that it reaches into."""

    @property
    def can_start_again(self) -> bool:
        """Whether the same choice can be made again with one click."""
        return bool(self.again) and (self.again_note is None or self.again_note.can_start)

    @property
    def has_curve(self) -> bool:
        """Whether anything is known of the last hour."""
        return any(percent is not None for percent in self.spark)

    @property
    def spark_label(self) -> str:
        """The curve in words."""
        return spark_label(self.spark)

    @property
    def own_name(self) -> str:
        """The server's name; empty where it only says the title again."""
        return "" if is_same_name(self.title, self.server) else self.server

    @property
    def name(self) -> str:
        """Title and server's name, where they are two."""
        return ", ".join(part for part in (self.title, self.own_name) if part)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount with its currency."""

    amount: Decimal
    currency: str

    def __str__(self) -> str:
        return money(self.amount, self.currency)


def resources(request: LaunchRequest, catalog: Catalog) -> str:
    """Return a request's GPUs, memory and cores in one line."""
    return ", ".join((gpus(request.gpus, gpu_label(catalog, request.gpu_type)), format_bytes(request.memory_bytes), count(request.cpu_cores, "core")))


def options_fields(request: LaunchRequest, server_name: str = "") -> dict[str, object]:
    """Return the Launch form's fields that give this request again."""
    fields: dict[str, object] = {
        "environment_template": request.environment_template,
        "gpus": request.gpus,
        "gpu_type": request.gpu_type,
        "memory_gib": request.memory_bytes // GIB,
        "cpu_cores": request.cpu_cores,
        "project": request.project,
        "max_hours": request.max_hours,
        "server_name": server_name,
    }
    return {name: value for name, value in fields.items() if value not in {None, ""}}


def environment_card(  # noqa: PLR0913  keyword-only
    allocation: Allocation,
    *,
    cost: Money | None,
    catalog: Catalog,
    now: datetime,
    paths: Paths,
    line: Line | None = None,
    windows: Sequence[ClassReservation] = (),
    release: Notice | None = None,
) -> EnvironmentCard:
    """Return the card of one allocation.

    Parameters
    ----------
    line
        For those that wait in the queue.
    windows
        Name the class for which a session makes room.
    release
        For those that run.
    """
    state, badge, tone = _state(allocation)
    waiting = wait(allocation, line, now) if line and allocation.is_queued else None
    again = options_fields(allocation.request, allocation.server_name) if state == "ended" else {}
    return EnvironmentCard(
        id=str(allocation.id),
        title=template_label(catalog, allocation.request.environment_template),
        server=server_label(allocation.server_name),
        state=state,
        badge=waiting.position if waiting else badge,
        tone=tone,
        facts=(*_facts(allocation, cost, catalog, now, waiting), *class_facts(allocation, catalog, windows)),
        session_url=paths.session(allocation.id),
        open_url=paths.server(allocation.user_name, allocation.server_name) if state == "running" else "",
        pending_url=paths.pending(allocation.user_name, allocation.server_name) if state == "starting" else "",
        stop_url=paths.stop(allocation.id) if state in {"queued", "running", "starting"} else "",
        ending=WITHDRAW if state == "queued" else STOP,
        why=waiting.why if waiting else _why(allocation, catalog, now),
        wait=waiting,
        release=release if state == "running" else None,
        was_released=allocation.end_cause in _RELEASES,
        again=again,
        again_url=paths.launch(**again) if again else "",
        hide_url=paths.hide(allocation.id) if allocation.ended_at is not None else "",
        steps=start_steps(allocation, now, has_node_to_start=_pool_to_start(allocation, catalog) is not None),
    )


def _state(allocation: Allocation) -> tuple[str, str, str]:
    if allocation.is_queued:
        return "queued", "Waiting", "queue"
    if allocation.is_open:
        return _open_state(allocation)
    if allocation.state is AllocationState.DENIED:
        return "ended", "Refused", "bad"
    if allocation.state in {AllocationState.WITHDRAWN, AllocationState.EXPIRED} and allocation.held_at is None:
        return "ended", "Withdrawn" if allocation.end_cause in WITHDRAWALS else "Left the queue", ""
    return "ended", "Failed" if allocation.end_cause is EndCause.START_FAILED else "Ended", "bad" if allocation.end_cause in _BAD_ENDS else ""


def _open_state(allocation: Allocation) -> tuple[str, str, str]:
    if allocation.stop_cause is not None:
        return "stopping", "Stopping", "warn"
    is_running = allocation.state is AllocationState.ACTIVE and allocation.ready_at is not None
    return ("running", "Running", "good") if is_running else ("starting", "Starting", "warn")


def _facts(allocation: Allocation, cost: Money | None, catalog: Catalog, now: datetime, waiting: Wait | None) -> tuple[Fact, ...]:
    never_held = allocation.ended_at is not None and allocation.held_at is None
    facts = [Fact("Asks for" if waiting else "Asked for" if never_held else "Uses", resources(allocation.request, catalog))]
    if waiting is not None:
        facts.extend(wait_facts(allocation, waiting, now))
    if allocation.started_at is not None:
        ran = duration((allocation.ended_at or now) - allocation.started_at)
        facts.append(Fact("Ran for", ran) if allocation.ended_at else Fact("Since", f"({ran})", stamp(allocation.started_at)))
    if allocation.ended_at is not None:
        facts.append(Fact("Ended", "(estimated)" if allocation.estimated else "", stamp(allocation.ended_at)))
    if cost is not None and allocation.started_at is not None:
        facts.append(Fact("Cost" if allocation.ended_at else "Cost so far", str(cost)))
    facts.append(Fact("Project", project_label(catalog, allocation.request.project)))
    return tuple(facts)


def class_facts(allocation: Allocation, catalog: Catalog, windows: Sequence[ClassReservation]) -> tuple[Fact, ...]:
    """Return when a session makes room for a class."""
    end = class_end(allocation.must_end_at, allocation.request.project, windows) if allocation.is_open else None
    return () if end is None else (Fact("Ends at the latest", f"({class_words(end, catalog)})", stamp(end.at)),)


def wait_facts(allocation: Allocation, waiting: Wait, now: datetime) -> tuple[Fact, ...]:
    """Return how long a request will wait, since when it does, and until when it may."""
    how_long = "Nobody knows yet" if waiting.how_long == UNKNOWN else waiting.how_long.removesuffix(".")
    estimate = (Fact("Wait", how_long),) if how_long else ()
    return *estimate, Fact("In line since", f"({duration(now - since_when(allocation))})", waiting.since), Fact("Kept until", at=waiting.kept_until)


def _why(allocation: Allocation, catalog: Catalog, now: datetime) -> str:
    if allocation.end_cause is not None:
        never_held = allocation.state is AllocationState.WITHDRAWN and allocation.held_at is None
        return ((WITHDRAWALS.get(allocation.end_cause) if never_held else None) or END_CAUSES[allocation.end_cause]) + "." + _message(allocation)
    if not allocation.is_open or (allocation.ready_at is not None and allocation.stop_cause is None):
        return ""
    if allocation.stop_cause is not None:
        return f"It is being stopped; its {'GPUs are' if allocation.request.gpus else 'memory is'} free again as soon as it has ended.{_message(allocation)}"
    return _start(allocation, catalog, now)


def _message(allocation: Allocation) -> str:
    """Return what whoever stopped it says to its owner."""
    return f" They say: “{allocation.stop_message}”" if allocation.stop_message else ""


def _start(allocation: Allocation, catalog: Catalog, now: datetime) -> str:
    """Return how far a start has come."""
    since = allocation.starting_at or allocation.held_at or allocation.requested_at
    waited = duration(now - since)
    if allocation.started_at is not None:
        slow = " That is slower than usual; its log may say why." if now - since > SLOW_START else ""
        return f"Its program is running, we wait for its first answer ({waited}).{slow}"
    pool = _pool_to_start(allocation, catalog)
    if pool is not None:
        return f"It starts a node, about {duration(timedelta(minutes=pool.minutes_to_start))} ({waited} so far)."
    if allocation.starting_at is not None:
        return f"Its program is being started ({waited})."
    turn = "Its turn has come. " if allocation.queued_at is not None else ""
    return f"{turn}{'GPUs and memory are' if allocation.request.gpus else 'Its memory is'} held; the start begins ({waited})."


def _pool_to_start(allocation: Allocation, catalog: Catalog) -> NodePool | None:
    """Return the pool whose autoscaler has to start a node for a session; None where its node runs."""
    slot = slot_of(allocation.devices[0]) if allocation.devices else None
    return catalog.node_pools.get(slot.node_pool or "") if slot else None


def simulated_label(label: str, *, is_simulated: bool) -> str:
    """Return a GPU's title that says when it is a pretend one."""
    return f"{label} (simulated)" if is_simulated and "simulated" not in label.lower() else label


@dataclass(frozen=True, slots=True)
class GpuRow:
    """GPUs of one type, one dot each."""

    label: str
    text: str
    free: int
    held: int
    bad: int


def gpu_row(  # noqa: PLR0913  keyword-only
    label: str,
    *,
    free: int,
    held: int,
    unhealthy: int,
    is_simulated: bool,
    startable: int = 0,
    minutes_to_start: int | None = None,
    waiting: int = 0,
    drained: int = 0,
) -> GpuRow:
    """Return how many GPUs of one type are free now, how many more an autoscaler may bring, and how many requests wait for them."""
    text = f"{free} of {free + held + unhealthy + drained} free" + (f", {unhealthy} out of order" if unhealthy else "")
    text += f", {drained} drained" if drained else ""
    if startable:
        text += f", {startable} more" + ("" if minutes_to_start is None else f" {in_minutes(minutes_to_start)}")
    if waiting:
        text += f", {count(waiting, 'request waits', 'requests wait')}"
    return GpuRow(simulated_label(label, is_simulated=is_simulated), text, free, held, unhealthy + drained)


def quota_bar(usage: LimitUsage, catalog: Catalog) -> Bar:
    """Return one limit as a bar: what is used of it and by whom."""
    limit, used = usage.limit, usage.used
    label = " ".join(part for part in (gpu_label(catalog, limit.gpu_type), DIMENSIONS[limit.dimension].label) if part)
    if limit.window_days is not None:
        label += f" in {count(limit.window_days, 'day')}"
    whole = amount(limit.dimension, limit.amount)
    if used is None:
        return Bar(label, f"limit {whole}", 0, note="What is used is not measured yet")
    return Bar(
        label,
        f"{amount(limit.dimension, used)} of {whole}",
        percent(used, limit.amount),
        is_full=used >= limit.amount,
        note=f"Used by {', '.join(usage.held_by)}" if usage.held_by else "",
    )


def warned_first(cards: Iterable[EnvironmentCard]) -> tuple[EnvironmentCard, ...]:
    """Return cards as they are, but for those whose owner has to act: they are first."""
    return tuple(sorted(cards, key=lambda card: not (card.release and card.release.is_warning)))


@dataclass(frozen=True, slots=True)
class HomePage:
    """What Home shows."""

    open_cards: tuple[EnvironmentCard, ...]
    ended_cards: tuple[EnvironmentCard, ...]
    last: EnvironmentCard | None
    """The card whose choice the one-click button launches; None hides the button."""
    last_summary: str
    tier: str
    bars: tuple[Bar, ...]
    gpu_rows: tuple[GpuRow, ...]
    place: str = "machine"
    """What a sentence calls where servers run: ``machine`` or ``cluster``."""
    home_folder: str = ""
    """Size of the person's files; empty where it was not measured or a bar says it."""
    hidden: EnvironmentCard | None = None
    """What has just been taken off the list, to offer it back."""

    @property
    def is_warned(self) -> bool:
        """Whether something that runs is about to be taken back."""
        return any(card.release is not None and card.release.is_warning for card in self.open_cards)

    @property
    def is_first_time(self) -> bool:
        """Whether the person has never started anything."""
        return not self.open_cards and not self.ended_cards
