"""Admin's first page: every session, the queue and the GPUs as they are now, and what can be done about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from uuid import UUID

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import Allocation, GpuDevice
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.drains import Drain, DrainKind
from aiplatform_hub.domain.release import Cause, ReleaseView
from aiplatform_hub.domain.units import format_bytes
from aiplatform_hub.web.view_models.environments import EnvironmentCard, Money, environment_card, resources, simulated_label
from aiplatform_hub.web.view_models.formats import Stamp, count, duration, gpus, server_label, stamp
from aiplatform_hub.web.view_models.labels import gpu_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.queue import Line, since_when

MOST_ROWS = 200
"""So many sessions, and so many requests, are shown at once; the filter finds the others."""
_BUSY_PERCENT = 5.0
"""From this utilisation on a session is said to work now."""
_ENDS = {
    Cause.IDLE: "its GPUs are idle",
    Cause.CAP: "longest time of a session",
    Cause.CLASS: "a class begins",
    Cause.PREEMPTED: "Kueue wants them back",
    Cause.BUDGET: "budget spent",
    Cause.INACTIVE: "nobody uses it",
}


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session that holds something."""

    id: str
    card: EnvironmentCard
    user: str
    project: str
    holds: str
    use: str
    """What its GPUs do now, for example ``73 %``; ``unknown`` while nobody knows, empty without GPUs."""
    use_percent: int | None
    idle: str
    """For how long they have been idle; empty where they are not, or nobody knows."""
    since: Stamp | None
    cost: str
    ends: Stamp | None
    """When it may be taken back; None where nothing does."""
    ends_why: str
    can_extend: bool


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request in the queue."""

    id: str
    position: int
    card: EnvironmentCard
    user: str
    project: str
    asks: str
    since: Stamp | None
    waited: str
    is_moved: bool
    can_move: bool


@dataclass(frozen=True, slots=True)
class GpuLine:
    """One GPU."""

    name: str
    uuid: str
    utilisation: str
    """What it last did; ``unknown`` while nobody knows."""
    memory: str
    """What of it is in use, where that is known, and all of it."""
    state: str
    tone: str
    holder: str
    drain_id: int | None = None
    """Of the drain that is about this GPU alone; None where there is none."""
    note: str = ""
    """Who drains it, and why."""
    can_drain: bool = False


@dataclass(frozen=True, slots=True)
class NowPage:
    """What Admin's first page shows."""

    sessions: tuple[SessionRow, ...]
    requests: tuple[RequestRow, ...]
    gpus: tuple[GpuLine, ...]
    query: str = ""
    is_idle_only: bool = False
    sessions_in_all: int = 0
    requests_in_all: int = 0
    sessions_found: int = 0
    requests_found: int = 0
    machine_drain_id: int | None = None
    """Of the drain of the whole machine."""
    machine_note: str = ""
    place: str = "machine"
    done: str = ""
    """What was just done, as a sentence."""

    @property
    def is_filtered(self) -> bool:
        """Whether not everything is looked at."""
        return bool(self.query or self.is_idle_only)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the rows of sessions."""

    samples: Mapping[str, GpuSample]
    idle_since: Mapping[UUID, datetime]
    views: Mapping[UUID, ReleaseView]
    costs: Mapping[UUID, Money]
    now: datetime


def session_row(session: Allocation, known: Known, catalog: Catalog, paths: Paths) -> SessionRow:
    """Return one session."""
    id_, now, view = session.id, known.now, known.views.get(session.id)
    percent = use_of(session, known.samples)
    idle_since, cost = known.idle_since.get(id_), known.costs.get(id_)
    ends = view.deadline if view else session.must_end_at
    return SessionRow(
        id=str(id_),
        card=environment_card(session, cost=cost, catalog=catalog, now=now, paths=paths),
        user=session.user_name,
        project=session.request.project,
        holds=resources(session.request, catalog),
        use="" if not session.devices else "unknown" if percent is None else f"{percent:.0f} %",
        use_percent=None if percent is None else round(percent),
        idle=f"idle for {duration(now - idle_since)}" if idle_since else "",
        since=stamp(session.started_at or session.held_at),
        cost=str(cost) if cost else "–",
        ends=stamp(ends),
        ends_why=_ends_why(view),
        can_extend=view is not None and view.can_extend_until is not None,
    )


def use_of(session: Allocation, samples: Mapping[str, GpuSample]) -> float | None:
    """Return the mean utilisation of a session's GPUs in per cent; None while one of them is not known."""
    found = [samples[device].utilisation_percent for device in session.devices if device in samples]
    return fmean(found) if found and len(found) == len(session.devices) else None


def _ends_why(view: ReleaseView | None) -> str:
    if view is None or view.why is None or view.deadline is None:
        return ""
    return _ENDS[view.why] + (", if somebody waits" if view.is_if_somebody_waits and not view.is_somebody_waiting else "")


def request_row(  # noqa: PLR0913  keyword-only
    queued: Allocation, line: Line, *, catalog: Catalog, now: datetime, paths: Paths, is_kueue: bool = False
) -> RequestRow:
    """Return one request in the queue."""
    position = line.entry.position if line.entry else 0
    return RequestRow(
        id=str(queued.id),
        position=position,
        card=environment_card(queued, cost=None, catalog=catalog, now=now, paths=paths, line=line),
        user=queued.user_name,
        project=queued.request.project,
        asks=resources(queued.request, catalog),
        since=stamp(since_when(queued)),
        waited=duration(now - since_when(queued)),
        is_moved=queued.moved_up_at is not None,
        can_move=position > 1 and bool(queued.request.gpus) and not is_kueue,
    )


def matches(allocation: Allocation, catalog: Catalog, query: str) -> bool:
    """Return whether every word of a search is in the person, project, environment, server or GPU type."""
    request = allocation.request
    template = catalog.environment_templates.get(request.environment_template)
    parts = (
        allocation.user_name,
        request.project,
        request.environment_template,
        template.display_name if template else "",
        server_label(allocation.server_name),
        request.gpu_type or "",
        gpu_label(catalog, request.gpu_type) or "",
        *allocation.devices,
    )
    text = "\n".join(parts).casefold()
    return all(word in text for word in query.casefold().split())


def gpu_lines(
    devices: Sequence[GpuDevice], holders: Sequence[Allocation], catalog: Catalog, samples: Mapping[str, GpuSample], drains: Iterable[Drain] = ()
) -> tuple[GpuLine, ...]:
    """Return every GPU with its holder and what it does: those of one node together, those that an autoscaler may still start last."""
    by_uuid = {uuid: allocation for allocation in holders for uuid in allocation.devices}
    by_gpu = {drain.target: drain for drain in drains if drain.kind is DrainKind.GPU}
    ordered = sorted(devices, key=lambda device: (device.node is None and device.node_pool is not None, device.node or device.uuid, device.index))
    return tuple(
        _gpu(device, by_uuid.get(device.uuid), catalog, samples.get(device.uuid), by_gpu.get(device.uuid))
        for device in (ordered if any(d.node or d.node_pool for d in devices) else devices)
    )


def _gpu(device: GpuDevice, holder: Allocation | None, catalog: Catalog, sample: GpuSample | None, drain: Drain | None) -> GpuLine:
    state, tone = _state(device, is_held=holder is not None)
    name = device.product_name or gpu_label(catalog, device.gpu_type) or device.gpu_type
    label = simulated_label(name, is_simulated=device.is_simulated)
    is_slot = bool(device.node or device.node_pool)  # its id names node and number
    memory = format_bytes(device.memory_bytes) if device.memory_bytes or not is_slot else "–"
    return GpuLine(
        name=label if is_slot else f"{device.index}: {label}",
        uuid=device.uuid,
        utilisation=f"{sample.utilisation_percent:.0f} %" if sample else "unknown",
        memory=f"{format_bytes(sample.memory_bytes)} of {memory}" if sample else memory,
        state=state,
        tone=tone,
        holder=f"{holder.user_name}: {server_label(holder.server_name)}" if holder else "",
        drain_id=drain.id if drain else None,
        note=drain_note(drain) if drain else "",
        can_drain=not is_slot and not device.is_drained,
    )


def _state(device: GpuDevice, *, is_held: bool) -> tuple[str, str]:
    if device.node_pool and not is_held:
        return "not started", ""
    if not device.is_healthy:
        return "out of order", "bad"
    if device.is_drained:
        return ("drained, still held" if is_held else "drained"), "warn"
    return ("held", "queue") if is_held else ("free", "good")


def drain_note(drain: Drain) -> str:
    """Return who drains something, and why."""
    return f"by {drain.by}: {drain.reason}"


@dataclass(frozen=True, slots=True)
class Loss:
    """What one session or request loses by a stop."""

    id: str
    name: str
    user: str
    holds: str
    ran: str
    use: str
    cost: str
    is_waiting: bool
    is_busy: bool


def loss(allocation: Allocation, known: Known, catalog: Catalog, paths: Paths) -> Loss:
    """Return what is lost by a stop of one session or request."""
    row = session_row(allocation, known, catalog, paths)
    since = allocation.started_at or allocation.held_at
    waited = f"waits for {duration(known.now - since_when(allocation))}"
    return Loss(
        id=row.id,
        name=row.card.name,
        user=row.user,
        holds=gpus(allocation.request.gpus, gpu_label(catalog, allocation.request.gpu_type)),
        ran=waited if allocation.is_queued else f"runs for {duration(known.now - since)}" if since else "",
        use=row.idle or row.use or "–",
        cost=row.cost,
        is_waiting=allocation.is_queued,
        is_busy=(row.use_percent or 0) >= _BUSY_PERCENT,
    )


def loss_sentences(losses: Sequence[Loss]) -> tuple[str, ...]:
    """Return what a stop of all of them means."""
    running, waiting = [each for each in losses if not each.is_waiting], [each for each in losses if each.is_waiting]
    busy, people = sum(each.is_busy for each in running), len({each.user for each in losses})
    found = []
    if running:
        found.append(
            f"{count(len(running), 'session stops', 'sessions stop')}. Files in home folders stay; what runs now, and everything only in memory, is lost."
        )
    if busy:
        found.append(f"{busy} of them {'uses its' if busy == 1 else 'use their'} GPUs now: that work is lost.")
    if waiting:
        found.append(
            f"{count(len(waiting), 'request leaves', 'requests leave')} the queue and {'loses its place' if len(waiting) == 1 else 'lose their places'}."
        )
    if people > 1:
        found.append(f"{people} people are told.")
    return tuple(found)
