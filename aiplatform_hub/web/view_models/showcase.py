"""One example of each state of each building block, for the page that shows them all in a demo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from aiplatform_hub.web.view_models.activity import LABELS, ActivityBar, ActivityPart
from aiplatform_hub.web.view_models.environments import WITHDRAW, EnvironmentCard, Fact
from aiplatform_hub.web.view_models.formats import Bar, stamp
from aiplatform_hub.web.view_models.inbox import Inbox, InboxEntry
from aiplatform_hub.web.view_models.launch import LaunchForm
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import Problem
from aiplatform_hub.web.view_models.queue import FewerGpus, Wait
from aiplatform_hub.web.view_models.release import Notice
from aiplatform_hub.web.view_models.showcase_form import sample_form

BADGES = (("Ended", ""), ("Running", "good"), ("Starting", "warn"), ("Failed", "bad"), ("Waiting", "queue"))
"""Every tone with a word that wears it."""
ALERTS = (("All is well.", "good"), ("Refused: red, read out at once", ""), ("A warning: amber", "warn"), ("Good to know: blue", "info"))
"""Every kind of message with what it is for."""
BUTTONS = (("The one thing to do", "btn-primary"), ("Something else to do", "btn-quiet"), ("What loses something", "btn-stop"))
"""Every kind of button with what it is for."""
BARS = (
    Bar("GPUs", "0 of 2", 0),
    Bar("Memory", "20 GiB of 32 GiB", 62, note="train-1, notes"),
    Bar("Environments", "5 of 5", 100, is_full=True, note="train-1, notes and 3 more"),
    Bar("Storage", "limit 100 GiB", 0, note="What is used is not measured yet"),
)
"""Nothing used, some, all, and what nobody knows."""


NO_NOTICE = 10**17
"""No notice has so high an id: taking an example away takes nothing of the reader's away."""


@dataclass(frozen=True, slots=True)
class Showcase:
    """What the page shows."""

    cards: tuple[EnvironmentCard, ...]
    form: LaunchForm
    activities: tuple[ActivityBar, ...]
    problem: Problem
    inbox: Inbox


def showcase(now: datetime, paths: Paths) -> Showcase:
    """Return the examples.

    Parameters
    ----------
    now
        The instant that the examples are about.
    """
    return Showcase(
        cards=_cards(now, paths),
        form=sample_form(),
        activities=(_activity(62, 31, 7), _activity(0, 0, 100)),
        problem=_problem(),
        inbox=Inbox((_entry(now, paths, 1, is_urgent=True), _entry(now, paths, 2, is_urgent=False)), 2),
    )


def _card(number: int, state: str, badge: str, tone: str, paths: Paths) -> EnvironmentCard:
    id_ = UUID(int=number)
    facts = (Fact("Uses", "2 × GPU, 16 GiB, 4 CPU cores"), Fact("Project", "Computer vision"))
    return EnvironmentCard(str(id_), "PyTorch", f"sample-{number}", state, badge, tone, facts, paths.session(id_))


def _numbered(card: EnvironmentCard, number: int) -> EnvironmentCard:
    return replace(card, id=str(UUID(int=number)), server=f"sample-{number}")


def _cards(now: datetime, paths: Paths) -> tuple[EnvironmentCard, ...]:
    ran = (Fact("Since", "(2 h 4 min)", stamp(now - timedelta(minutes=124))), Fact("Cost so far", "6.20 EUR"))
    open_ = replace(_card(1, "running", "Running", "good", paths), open_url=paths.server("sample", "sample-1"), stop_url=paths.stop(UUID(int=1)))
    running = replace(open_, facts=(*open_.facts, *ran), release=_notice(now, is_warning=False))
    queued = replace(
        _card(4, "queued", "Next in line", "queue", paths), stop_url=paths.stop(UUID(int=4)), ending=WITHDRAW, why="Waiting for 2 GPUs; 1 is free."
    )
    again = {"environment_template": "sample", "gpus": 2}
    ended = replace(_card(7, "ended", "Ended", "", paths), why="You stopped it.", again=again, again_url=paths.launch(**again))
    warned = _notice(now, is_warning=True)
    return (
        running,
        replace(_numbered(running, 2), release=warned),
        replace(_numbered(running, 3), release=replace(warned, cannot_extend="It cannot be kept longer: 24 h is the most.")),
        replace(queued, wait=_wait(now, is_soon_over=False)),
        replace(_numbered(queued, 5), wait=_wait(now, is_soon_over=True)),
        replace(
            _card(6, "starting", "Starting", "warn", paths),
            why="Its program starts; that takes a few seconds.",
            pending_url=paths.pending("sample", "sample-6"),
        ),
        ended,
        replace(_numbered(ended, 8), badge="Failed", tone="bad", why="It used more memory than it was promised and was ended."),
        replace(_card(9, "stopping", "Stopping", "warn", paths), why="It is being stopped; its GPUs are free again as soon as it has ended."),
    )


def _notice(now: datetime, *, is_warning: bool) -> Notice:
    at = now + timedelta(minutes=4)
    ends = stamp(at) or ""
    if not is_warning:
        return Notice(
            "keep", is_warning=False, reason="", words=("Runs at least until ", ends, "."), countdown=None, now=None, extend_label="", cannot_extend=""
        )
    reason, words = "Your GPUs have been idle for 6 min.", ("They go to who waits at ", ends, ".")
    return Notice("warn", is_warning=True, reason=reason, words=words, countdown=stamp(at), now=stamp(now), extend_label="Keep it 1 h longer", cannot_extend="")


def _wait(now: datetime, *, is_soon_over: bool) -> Wait:
    return Wait(
        position="Next in line",
        why="Waiting for 2 GPUs; 1 is free.",
        since=stamp(now - timedelta(minutes=25)),
        kept_until=stamp(now + timedelta(hours=2)),
        is_soon_over=is_soon_over,
        can_change=True,
        fewer=(FewerGpus(1, "1 GPU: starts now"), FewerGpus(0, "No GPU: starts now")),
        start_now=FewerGpus(1, "Start with 1 GPU now"),
        how_long="About 35 min (10 min – 1 h 50)",
    )


def _activity(used: int, idle: int, unknown: int) -> ActivityBar:
    amounts = (("used", used, 0), ("idle", idle, used), ("unknown", unknown, used + idle))
    return ActivityBar(
        tuple(ActivityPart(kind, LABELS[kind], f"{amount / 10:.1f} GPU-hours, {amount} %", str(before), str(amount)) for kind, amount, before in amounts),
        is_known=unknown < 100,  # noqa: PLR2004 - percent
    )


def _problem() -> Problem:
    held, remedies = "train-1 holds 1 GPU.", ("Stop train-1.", "Choose 1 GPU.")
    return Problem("Your limit is in use", "You may hold 2 GPUs at once; 1 is in use and 2 are asked for.", (held,), remedies)


def _entry(now: datetime, paths: Paths, number: int, *, is_urgent: bool) -> InboxEntry:
    subject = "Your turn has come: PyTorch (sample-1)" if is_urgent else "It was given back: PyTorch (sample-2)"
    parts = ("Open it by ", stamp(now + timedelta(minutes=15)) or "", ".") if is_urgent else ("Its GPUs were idle and somebody waited.",)
    return InboxEntry(NO_NOTICE + number, subject, parts, paths.session(UUID(int=number)), is_urgent=is_urgent, dismiss_url=paths.dismiss(NO_NOTICE + number))
