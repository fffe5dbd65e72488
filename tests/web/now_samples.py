"""Admin's first page as it looks with one of each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.drains import Drain, DrainKind
from aiplatform_hub.domain.queue_moves import MoveNote
from aiplatform_hub.domain.queueing import QueueEntry, WaitCode, WaitReason
from aiplatform_hub.domain.release import Action, Cause, ReleaseView
from aiplatform_hub.errors import InvalidOptionError
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models import now as view
from aiplatform_hub.web.view_models.environments import Money
from aiplatform_hub.web.view_models.problem import problem_of
from aiplatform_hub.web.view_models.queue import Line
from tests.web.samples import CATALOG, HOSTILE, INTEREST, NOW, PATHS, QUEUED, RUNNING, frame

PROBLEM = problem_of(InvalidOptionError(HOSTILE))

DEVICES = tuple(GpuDevice(f"GPU-{letter}", "h100", 80 * 1024**3, index=index, product_name=HOSTILE) for index, letter in enumerate("abc"))
IDLE = replace(RUNNING, id=UUID(int=8), user_name=HOSTILE, server_name=HOSTILE, devices=("GPU-c",))
MOVED = replace(QUEUED, user_name=HOSTILE, moved_up_at=NOW)
BEHIND = replace(QUEUED, id=UUID(int=9))
VIEW = ReleaseView(
    action=Action.WARN,
    deadline=NOW + timedelta(minutes=5),
    why=Cause.IDLE,
    is_if_somebody_waits=True,
    is_somebody_waiting=False,
    extended_until=None,
    can_extend_until=NOW + timedelta(hours=1),
    idle_since=NOW - timedelta(minutes=12),
    guaranteed_until=NOW,
)
KNOWN = view.Known(
    samples={"GPU-a": GpuSample(NOW, 92.4, 12 * 1024**3), "GPU-b": GpuSample(NOW, 61.0, 1024**3), "GPU-c": GpuSample(NOW, 0.0, 1024**3)},
    idle_since={IDLE.id: NOW - timedelta(minutes=12)},
    views={IDLE.id: VIEW},
    costs={RUNNING.id: Money(Decimal("6.2"), "EUR")},
    now=NOW,
)


def requests() -> tuple[view.RequestRow, ...]:
    """Two that wait; the first was moved up, and overtook the second."""
    reason = WaitReason(WaitCode.CAPACITY, requested="2", free="1")
    notes = {MOVED: MoveNote("root", HOSTILE), BEHIND: MoveNote(overtaken_for=(HOSTILE,))}
    lines = {a: Line(QueueEntry(a.id, place, reason, note), INTEREST) for place, (a, note) in enumerate(notes.items(), 1)}
    return tuple(view.request_row(a, line, catalog=CATALOG, now=NOW, paths=PATHS) for a, line in lines.items())


def now_page(**changes: object) -> view.NowPage:
    drained = (*DEVICES[:2], replace(DEVICES[2], is_drained=True))
    page = view.NowPage(
        sessions=tuple(view.session_row(a, KNOWN, CATALOG, PATHS) for a in (RUNNING, IDLE)),
        requests=requests(),
        gpus=view.gpu_lines(drained, (RUNNING, IDLE), CATALOG, KNOWN.samples, (Drain(4, DrainKind.GPU, "GPU-c", NOW, "root", HOSTILE),)),
        sessions_in_all=2,
        requests_in_all=2,
        sessions_found=2,
        requests_found=2,
    )
    return replace(page, **changes)


def html_of(page_template: str, **values: object) -> str:
    """Return one of the pages below Admin."""
    return render(page_template, frame("admin", is_admin=True), tabs=(), **values)


def asks_before_a_stop() -> str:
    losses = tuple(view.loss(a, KNOWN, CATALOG, PATHS) for a in (RUNNING, IDLE, QUEUED))
    return html_of("now_stop.html", losses=losses, sentences=view.loss_sentences(losses), message=f'"{HOSTILE}', problem=None)


def asks_before_a_move() -> str:
    moved, behind = requests()
    return html_of("now_move.html", row=behind, overtaken=(moved,), reason=HOSTILE, problem=PROBLEM)


def asks_before_a_drain() -> str:
    return html_of("now_drain.html", kind="gpu", target="GPU-c", name=HOSTILE, sessions=now_page().sessions, reason=HOSTILE, problem=PROBLEM)


def says_why_not() -> str:
    return html_of("now_problem.html", problem=PROBLEM)


PAGES = {"now_stop": asks_before_a_stop, "now_move": asks_before_a_move, "now_drain": asks_before_a_drain, "now_problem": says_why_not}
